"""The interpreters that have the peers: given by the user, or made once from the requirements."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
WORKSHOP = HERE / ".bench"
"""Environments and results of single runs: all that git ignores."""


def interpreter(home: str, given: dict[str, Path | None]) -> Path:
    """The Python of a home ("own", "peers", "keras-tuner"); installs it on the first call."""
    if home == "own":
        return Path(sys.executable)
    return given.get(home) or _made(home)


def _made(home: str) -> Path:
    requirements = HERE / f"requirements-{home}.txt"
    folder = WORKSHOP / home
    python, ready = folder / "bin" / "python", folder / "ready.txt"
    wanted = requirements.read_text(encoding="utf-8")
    if ready.exists() and ready.read_text(encoding="utf-8") == wanted:
        return python
    print(f"Installing {requirements.name} into .bench/{home} (once; some minutes)", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    # The pins of Afina's own environment are not meant for this one.
    environment = {k: v for k, v in os.environ.items() if "CONSTRAINT" not in k}
    install = [str(python), "-m", "pip", "install", "--quiet", "--requirement", str(requirements)]
    subprocess.run(install, check=True, env=environment)
    ready.write_text(wanted, encoding="utf-8")
    return python


def variables() -> dict[str, str]:
    """What every worker starts with: one thread, so that results do not hang on the machine."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "KERAS", "JAX"))}
    threads = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    return {
        **kept,
        **dict.fromkeys(threads, "1"),
        "KERAS_BACKEND": "jax",
        "PYTHONPATH": str(HERE.parents[1] / "src"),  # of Afina the peers need only the spaces
        "PYTHONHASHSEED": "0",
        "AFINA_BENCH_PYTHON": sys.executable,  # where Keras is, for the live problems
        "PYTHONWARNINGS": "ignore",
    }
