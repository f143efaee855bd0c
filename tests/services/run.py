"""Runs a part of the tests beside other versions and packages than those that are pinned.

    python tests/services/run.py [--only tensorflow packages ...] [--folder .services] [--fresh]
    python tests/services/run.py --only package  # before a release: each backend, installed anew

Each environment is a folder of its own, made once: the pinned versions, less Keras where another
one takes its place. A nightly build is fetched again each day. A test that fails because of a bug
of Keras' own is named in `known.py`, with the bug; any other failure is ours, and ends with exit 1.
Keras Tuner's own tests are fetched from its wheel: see `keras_tuner_suite.py`.
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
import zipfile
from concurrent.futures import ThreadPoolExecutor
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
    "tests/compat/test_user_programs.py",
)
"""What Keras Tuner's users call, on any backend."""

ON_JAX = ("tests/tuners/test_remote_search.py",)
"""Searches of another backend's users that train on JAX."""


ON_TENSORFLOW = (
    "tests/testing/test_trainers.py",
    "tests/training/fused/test_callbacks.py",
    "tests/training/fused/test_equality.py",
    "tests/training/test_on_tensorflow.py",
    "tests/training/test_quick_layers_on_tensorflow.py",
    "tests/training/test_numbers_on_tensorflow.py",
    "tests/training/test_streams_on_tensorflow.py",
    "tests/training/test_widths_on_tensorflow.py",
)
"""Fused epochs on TensorFlow."""

ON_TORCH = (
    "tests/testing/test_trainers.py",
    "tests/training/fused/test_callbacks.py",
    "tests/training/test_on_torch.py",
    "tests/training/test_own_code_on_torch.py",
    "tests/training/test_widths_on_torch.py",
)
"""Fused epochs on PyTorch."""


STREAMS = ("tests/training/test_streams.py", "tests/training/test_streams_of_others.py")
"""Streams of data; the second needs TensorFlow and PyTorch."""


def lines(name: str) -> tuple[str, ...]:
    """The requirements in a file of the project."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line and not line.startswith("#"))


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

    alone: tuple[str, ...] = ()
    """What is installed without its own dependencies: Keras Tuner, or an old NumPy."""

    environment: str = ""
    """Another service whose environment this one runs in."""

    wheel: str = ""
    """A release of Keras Tuner whose wheel has its tests in it: they are run."""

    at_once: int = 2
    """How many processes run the tests."""

    for_release: bool = False
    """Whether it runs before a release only, where `--only` names it: it takes ten minutes."""

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
    "streams": Service(
        "jax",
        ("jax", "tensorflow-cpu", "torch==2.13.0", "lightning"),
        (*STREAMS, "tests/integrations/test_lightning.py"),
    ),
    "tensorflow": Service(
        "tensorflow",
        (),
        (*FACE, *ON_JAX, *ON_TENSORFLOW, *STREAMS),
        environment="streams",
    ),
    "torch": Service("torch", (), (*FACE, *ON_JAX, *ON_TORCH), environment="streams"),
    "packages": Service(
        "jax",
        ("jax", "tensorflow-cpu==2.20.0", "dm-tree==0.1.10"),
        ("tests/services/test_packages.py",),
        alone=("autokeras==3.0.0", "keras-tuner-extensionpack==0.1.0"),
    ),
    "keras-tuner": Service("jax", (), (), environment="packages", wheel="keras-tuner==1.3.5"),
    "integrations": Service(
        "jax",
        (
            *("jax", "tensorboard", "mlflow-skinny", "alembic", "wandb", "mcp>=2"),
            *("nbclient", "nbformat", "ipykernel", "matplotlib", "plotly", "jinja2"),
        ),
        ("tests/integrations/test_integrations.py", "tests/notebooks/test_notebooks.py"),
        at_once=1,  # MLflow's database is made once
    ),
    "ray": Service(
        "jax",
        ("ray", "fsspec", "jax", "psycopg[binary]", "optuna==5.0.0"),
        ("tests/run/test_ray.py",),
        at_once=0,  # one cluster
    ),
    "optuna": Service("jax", (), ("tests/migration/test_optuna.py",), environment="ray"),
    "postgres": Service(
        "jax",
        (),
        ("tests/store/test_postgres.py", "tests/services/test_many_workers.py", "tests/faults"),
        environment="ray",
        system=("initdb", "postgresql"),
    ),
    "site": Service(
        "jax",
        ("jax", *lines("website/requirements.txt")),
        ("tests/services/test_site.py",),
        at_once=0,  # it is built once
    ),
    "package": Service(
        "jax",
        ("jax", "hatchling"),
        ("tests/services/test_package.py",),
        at_once=0,  # pip shares a cache
        for_release=True,
    ),
}


def main() -> int:
    """Runs the services that were asked for; the exit code is 0 if all passed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    usual = [name for name, service in SERVICES.items() if not service.for_release]
    parser.add_argument("--only", nargs="+", choices=SERVICES, default=usual)
    parser.add_argument("--folder", type=Path, default=ROOT / ".services")
    parser.add_argument("--fresh", action="store_true", help="make the environments anew")
    options = parser.parse_args()
    homes = list(dict.fromkeys(SERVICES[name].environment or name for name in options.only))
    ended = {}
    # The environments are made one after another while tests run in those that are ready.
    with ThreadPoolExecutor(1) as maker:
        making = {
            home: maker.submit(
                environment, home, SERVICES[home], options.folder / home, fresh=options.fresh
            )
            for home in homes
        }
        for name in options.only:
            if (needed := SERVICES[name].system) is not None:
                install(*needed)
            began = time.monotonic()
            python = making[SERVICES[name].environment or name].result()
            ready = time.monotonic()
            if SERVICES[name].wheel:
                passed = run_suite(SERVICES[name], python, options.folder / name)
            else:
                passed = run_tests(name, SERVICES[name], python)
            times = f"waited {ready - began:.0f} s, tests {time.monotonic() - ready:.0f} s"
            ended[name] = passed
            print(f"== {name}: {'passed' if passed else 'FAILED'} ({times})", flush=True)
    return 0 if all(ended.values()) else 1


def environment(name: str, service: Service, folder: Path, *, fresh: bool) -> Path:
    """The interpreter of a service's environment, which is made unless it is there."""
    python, stamp = folder / "bin" / "python", folder / "made-of.txt"
    wanted = [*dependencies(keras=not service.own_keras), *TOOLS, *service.packages]
    alone = ["--no-deps", *service.alone]
    day = datetime.date.today().isoformat() if service.daily else ""
    made_of = "\n".join(
        [*wanted, *alone, day, (ROOT / "constraints.txt").read_text(encoding="utf-8")]
    )
    if not fresh and stamp.is_file() and stamp.read_text(encoding="utf-8") == made_of:
        return python
    print(f"== {name}: making {folder}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--constraint", "constraints.txt"]
    subprocess.run([*pip, *wanted], cwd=ROOT, check=True)
    if service.alone:
        subprocess.run([*pip, *alone], cwd=ROOT, check=True)
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
    command = [
        *pytest(python, service.at_once),
        "-p",
        "tests.services.known",
        "-r",
        "fExX",
        *service.tests,
    ]
    variables = {**environment_variables(service), "AFINA_SERVICE": name}
    return subprocess.run(command, cwd=ROOT, env=variables).returncode == 0


def run_suite(service: Service, python: Path, folder: Path) -> bool:
    """Whether those of Keras Tuner's own tests pass that are expected to."""
    tests = unpack(service.wheel, python, folder)
    command = [
        *pytest(python, service.at_once),
        "-p",
        "tests.services.keras_tuner_suite",
        "-r",
        "fEX",
    ]
    command += ["-c", os.devnull, "--rootdir", str(tests), "--import-mode=importlib"]
    command += ["--timeout", "300", "-W", "ignore", str(tests)]
    return subprocess.run(command, cwd=tests, env=environment_variables(service)).returncode == 0


def unpack(wheel: str, python: Path, folder: Path) -> Path:
    """The folder with the tests of a wheel and nothing else, fetched unless it is there."""
    tests = folder / "tests"
    if tests.is_dir():
        return tests
    pip = [str(python), "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    subprocess.run([*pip, wheel], check=True)
    (file,) = folder.glob("*.whl")
    with zipfile.ZipFile(file) as packed:
        names = [name for name in packed.namelist() if name.endswith("_test.py")]
        packed.extractall(folder, names)
    (folder / "keras_tuner").rename(tests)  # of the old name it would be imported as Keras Tuner
    return tests


def pytest(python: Path, at_once: int) -> list[str]:
    """The command that runs tests in an environment, by so many processes."""
    return [str(python), "-m", "pytest", "-q", "-n", str(at_once), "-p", "no:cacheprovider"]


def environment_variables(service: Service) -> dict[str, str]:
    """What the tests of a service see: its backend, this Afina, and these tests."""
    variables = {
        "KERAS_BACKEND": service.backend,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    return {**os.environ, **variables}


if __name__ == "__main__":
    sys.exit(main())
