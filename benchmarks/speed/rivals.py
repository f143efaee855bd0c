"""Who runs: packages, backends, the Python that has them, and the environment they start in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parents[1] / "src"
WORKSHOP = HERE / ".bench"
"""Environment, caches, projects: all that git ignores, on the disk of the checkout."""

REQUIREMENTS = HERE / "requirements-rivals.txt"
BACKENDS = ("jax", "tensorflow", "torch")
STOCK = "keras-tuner"
OURS = "afina"
REFERENCE = f"{STOCK}-jax"
"""Keras Tuner's fastest backend on a CPU, and so the fair comparison."""

OWN_SETTINGS = ("AFINA", "CUDA", "JAX", "KERAS", "MKL", "OMP", "OPENBLAS", "PYTHON", "TF", "XLA")
"""Variables that begin so are taken out: every rival runs with its own defaults."""


@dataclass(frozen=True)
class Rival:
    """One package on one backend."""

    name: str
    """As on the command line: the package's distribution and the backend."""

    package: str
    """Name to import."""

    backend: str
    python: Path
    """The interpreter that has them."""

    source: Path = SOURCE
    """Where Afina's package is; other packages are installed."""

    train_on: str | None = None
    """The option `train_on=` of Afina's tuners."""

    @property
    def ours(self) -> bool:
        return self.package == OURS


def create_rival(name: str, rival_python: Path | None) -> Rival:
    """The rival of this name; makes Keras Tuner's environment where none is given.

    Raises:
        ValueError: There is no such rival.
    """
    distribution, _, backend = name.rpartition("-")
    if distribution not in (STOCK, OURS) or backend not in BACKENDS:
        raise ValueError(
            f"rivals are {STOCK} and {OURS} on {BACKENDS}, such as {STOCK}-jax, not {name!r}"
        )
    if distribution == OURS:
        return Rival(name, OURS, backend, Path(sys.executable))
    return Rival(name, "keras_tuner", backend, rival_python or made_environment())


def made_environment(requirements: Path = REQUIREMENTS) -> Path:
    """The interpreter of an environment; installs it on the first call (about 1 GB).

    Args:
        requirements: A file `requirements-NAME.txt` beside this one.
    """
    name = requirements.stem.removeprefix("requirements-")
    folder = WORKSHOP / name
    python, ready = folder / "bin" / "python", folder / "ready.txt"
    wanted = requirements.read_text(encoding="utf-8")
    if ready.exists() and ready.read_text(encoding="utf-8") == wanted:
        return python
    print(f"Installing {name} into {folder.relative_to(HERE)} (once; some minutes)", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    # The pins of Afina's own environment are not meant for this one.
    environment = {k: v for k, v in os.environ.items() if "CONSTRAINT" not in k}
    install = [str(python), "-m", "pip", "install", "--quiet", "--requirement", str(requirements)]
    subprocess.run(install, check=True, env=environment, cwd=HERE)
    ready.write_text(wanted, encoding="utf-8")
    return python


def environment(rival: Rival, programs: Path | None, *, own_cache: bool) -> dict[str, str]:
    """The variables that a run starts with.

    Args:
        rival: Who runs.
        programs: Where JAX is to keep all compiled programs, however small; None tells it nothing.
        own_cache: Whether Afina's own cache, which it has without being told, is to be there
            instead. Keras Tuner has none: then nothing is set for it.
    """
    found = {k: v for k, v in os.environ.items() if not k.startswith(OWN_SETTINGS)}
    found["KERAS_BACKEND"] = rival.backend
    found["KERAS_HOME"] = str(WORKSHOP / "keras")  # not the settings of whoever measures
    if rival.backend == "tensorflow":
        found["TF_CPP_MIN_LOG_LEVEL"] = "2"
    if rival.ours:
        found["PYTHONPATH"] = str(rival.source)
        found["AFINA_COMPILE_CACHE"] = str(programs) if programs and own_cache else "off"
    if programs is not None and not own_cache:
        found["JAX_COMPILATION_CACHE_DIR"] = str(programs)
        found["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        found["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    return found


def versions(rival: Rival) -> dict[str, str]:
    """Versions of Python and of what is compared; also loads all modules into the disk's cache."""
    code = (
        "import importlib, importlib.metadata as m, json, platform, sys\n"
        f"importlib.import_module({rival.package!r}); import keras\n"
        "found = {'python': platform.python_version()}\n"
        f"for name in ('afina', 'keras-tuner', 'keras', {rival.backend!r}, 'numpy'):\n"
        "    for each in (name, name + '-cpu'):\n"
        "        try: found[name] = m.version(each)\n"
        "        except m.PackageNotFoundError: pass\n"
        "print(json.dumps(found))\n"
    )
    done = subprocess.run(
        [str(rival.python), "-c", code],
        env=environment(rival, None, own_cache=False),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{rival.name} does not start:\n{done.stderr}")
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found
