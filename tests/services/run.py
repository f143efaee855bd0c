"""Runs a part of the tests beside other versions and packages than those that are pinned.

    python tests/services/run.py [--only nightly tensorflow torch postgres] [--folder F] [--fresh]

Each environment is a folder of its own, made once: the pinned versions, less Keras where another
one takes its place. A nightly build is fetched again each day. A test that fails because of a bug
of Keras' own is named in `known.py`, with the bug; any other failure is ours, and ends with exit 1.
"""

from __future__ import annotations

import argparse
import datetime
import os
import shutil
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

TOOLS = ("pytest", "pytest-timeout", "pytest-xdist", "hypothesis", "scikit-learn", "pandas")
"""What the tests need beside what Afina needs."""

FACE = (
    "tests/tuners/test_tuner.py",
    "tests/compat/test_base_tuner.py",
    "tests/compat/test_hyperband.py",
    "tests/compat/test_keras_tuner.py",
    "tests/compat/test_search.py",
)
"""What Keras Tuner's users call, on any backend."""


@dataclass(frozen=True)
class Service:
    """An environment and the tests that run in it."""

    backend: str
    packages: tuple[str, ...]
    """What is installed beside Afina's own dependencies."""

    tests: tuple[str, ...]
    own_keras: bool = False
    """Whether one of the packages takes Keras' place."""

    daily: bool = False
    """Whether a new build comes out each day."""

    system: tuple[str, str] | None = None
    """A program of the system that is needed, and Debian's package that has it."""


SERVICES = {
    "nightly": Service(
        "jax",
        ("keras-nightly", "jax"),
        (
            *FACE,
            "tests/tuners/test_resume.py",  # kills searches of JAX; TensorFlow cannot be forked
            "tests/training/test_checkpoint.py",
            "tests/training/test_choice.py",
            "tests/training/test_order.py",
            "tests/training/fused/test_callbacks.py",
            "tests/training/fused/test_data.py",
            "tests/training/fused/test_initializers.py",
            "tests/training/fused/test_key.py",
            "tests/tuners/test_training_choice.py",
        ),
        own_keras=True,
        daily=True,
    ),
    "tensorflow": Service("tensorflow", ("tensorflow-cpu",), FACE),
    "torch": Service("torch", ("torch==2.13.0",), FACE),
    "postgres": Service(
        "jax",
        ("jax", "psycopg[binary]"),
        ("tests/store/test_postgres.py", "tests/services/test_many_workers.py"),
        system=("initdb", "postgresql"),
    ),
}


def main() -> int:
    """Runs the services that were asked for; the exit code is 0 if all passed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SERVICES, default=list(SERVICES))
    parser.add_argument("--folder", type=Path, default=ROOT / ".services")
    parser.add_argument("--fresh", action="store_true", help="make the environments anew")
    options = parser.parse_args()
    ended = {}
    for name in options.only:
        began = time.monotonic()
        if (needed := SERVICES[name].system) is not None:
            install(*needed)
        python = environment(name, SERVICES[name], options.folder / name, fresh=options.fresh)
        made = time.monotonic()
        passed = run_tests(name, SERVICES[name], python)
        times = f"environment {made - began:.0f} s, tests {time.monotonic() - made:.0f} s"
        ended[name] = passed
        print(f"== {name}: {'passed' if passed else 'FAILED'} ({times})", flush=True)
    return 0 if all(ended.values()) else 1


def environment(name: str, service: Service, folder: Path, *, fresh: bool) -> Path:
    """The interpreter of a service's environment, which is made unless it is there."""
    python, stamp = folder / "bin" / "python", folder / "made-of.txt"
    wanted = [*dependencies(keras=not service.own_keras), *TOOLS, *service.packages]
    day = datetime.date.today().isoformat() if service.daily else ""
    made_of = "\n".join([*wanted, day, (ROOT / "constraints.txt").read_text(encoding="utf-8")])
    if not fresh and stamp.is_file() and stamp.read_text(encoding="utf-8") == made_of:
        return python
    print(f"== {name}: making {folder}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--constraint", "constraints.txt"]
    subprocess.run([*pip, *wanted], cwd=ROOT, check=True)
    stamp.write_text(made_of, encoding="utf-8")
    return python


def install(program: str, package: str) -> None:
    """Installs a package of Debian's, where root may; its tests are skipped where it cannot be."""
    there = shutil.which(program) or any(Path("/usr/lib").glob(f"{package}/*/bin/{program}"))
    if not there and os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"== installing {package}", flush=True)
        subprocess.run(["apt-get", "install", "--yes", "--quiet", package], check=False)


def dependencies(*, keras: bool) -> list[str]:
    """What Afina needs, with or without Keras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed: list[str] = project["dependencies"]
    return [each for each in needed if keras or not each.startswith("keras")]


def run_tests(name: str, service: Service, python: Path) -> bool:
    """Whether the service's tests pass, but for those that fail by a known bug of Keras'."""
    command = [str(python), "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider"]
    command += ["-p", "tests.services.known", "-r", "fExX", *service.tests]
    variables = {
        "KERAS_BACKEND": service.backend,
        "PYTHONPATH": str(ROOT / "src"),
        "AFINA_SERVICE": name,
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
