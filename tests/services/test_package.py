"""Wheel and source archive install into empty environments, and a search runs there in silence."""

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import afina

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(
        os.environ.get("AFINA_SERVICE") != "package", reason="needs hatchling and a package index"
    ),
    pytest.mark.timeout(1800),
]

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
"""What the classifiers of pyproject.toml may name, as far as it is found here."""

BACKENDS = {"jax": "jax", "tensorflow": "tensorflow-cpu", "torch": "torch==2.13.0"}

SEARCH = """
import afina as kt
import keras
import numpy as np

def build(hp):
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(hp.Int("units", 2, 4))])
    model.add(keras.layers.Dense(2, activation="softmax"))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model

x, y = np.random.default_rng(0).random((64, 4)), np.arange(64) % 2
tuner = kt.RandomSearch(build, "val_accuracy", max_trials=2, seed=0)
tuner.search(x, y, epochs=2, validation_split=0.25, verbose=0)
assert len(tuner.get_best_models()) == 1
print("units:", tuner.get_best_hyperparameters()[0].get("units"))
"""


def python_of(version: str) -> Path | None:
    """An interpreter of this version: of the path, or of pyenv."""
    if (found := shutil.which(f"python{version}")) is not None:
        works = subprocess.run([found, "-c", "import venv, ensurepip"], check=False)
        if works.returncode == 0:
            return Path(found)
    every = (Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python")
    return next(iter(sorted(every)), None)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel and the source archive of this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder)], cwd=ROOT, check=True
    )
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return {"wheel": wheel, "source": source}


def empty_environment(python: Path, folder: Path, *packages: str) -> Path:
    subprocess.run([str(python), "-m", "venv", str(folder)], check=True)
    inside = folder / "bin" / "python"
    install = [str(inside), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, *packages], env=without_ours(), check=True)
    return inside


def without_ours() -> dict[str, str]:
    """The variables of a user who has none of this checkout's."""
    ours = ("PYTHONPATH", "XLA_FLAGS", "KERAS_BACKEND", "PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT")
    return {name: value for name, value in os.environ.items() if name not in ours}


def run_in(python: Path, folder: Path, backend: str, *command: str) -> str:
    variables = {**without_ours(), "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [str(python), *command], cwd=folder, env=variables, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr
    return done.stdout


def test_the_wheel_and_the_source_archive_hold_what_they_should(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built["wheel"]) as wheel:
        names = wheel.namelist()
        metadata = wheel.read(next(name for name in names if name.endswith("METADATA"))).decode()
    assert "afina/py.typed" in names
    assert not [name for name in names if not name.startswith("afina")]
    assert f"Version: {afina.__version__}" in metadata
    assert "License-Expression: Apache-2.0" in metadata
    assert "# Afina" in metadata  # the README is the description
    with tarfile.open(built["source"]) as source:
        inside = {name.split("/", 1)[-1] for name in source.getnames()}
    assert {"README.md", "CHANGELOG.md", "LICENSE", "src/afina/py.typed"} <= inside


@pytest.mark.parametrize("version", PYTHONS)
def test_the_wheel_runs_on_each_python(version: str, built: dict[str, Path], tmp_path) -> None:
    python = python_of(version)
    if python is None:
        pytest.skip(f"no Python {version} here")
    inside = empty_environment(python, tmp_path / "env", f"{built['wheel']}[jax]")
    assert run_in(inside, tmp_path, "jax", "-c", SEARCH).startswith("units:")
    assert "Keras" in run_in(inside, tmp_path, "jax", "-m", "afina", "--version")
    assert "units" in run_in(inside, tmp_path, "jax", "-m", "afina", "best", "untitled_project")


def test_the_wheel_runs_with_the_lowest_versions_that_are_declared(built, tmp_path) -> None:
    python = python_of("3.11")  # later ones have no wheels of that age
    if python is None:
        pytest.skip("no Python 3.11 here")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = [*project["dependencies"], *project["optional-dependencies"]["jax"]]
    lowest = [each.replace(">=", "==") for each in declared]
    assert all("==" in each for each in lowest)
    inside = empty_environment(python, tmp_path / "env", str(built["wheel"]), *lowest)
    assert run_in(inside, tmp_path, "jax", "-c", SEARCH).startswith("units:")


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_source_archive_runs_on_each_backend(backend, built, tmp_path) -> None:
    python = Path(sys.executable)
    inside = empty_environment(python, tmp_path / "env", str(built["source"]), BACKENDS[backend])
    assert run_in(inside, tmp_path, backend, "-c", SEARCH).startswith("units:")


def test_without_a_backend_the_error_says_what_to_install(built: dict[str, Path], tmp_path) -> None:
    inside = empty_environment(Path(sys.executable), tmp_path / "env", str(built["wheel"]))
    done = subprocess.run(
        [str(inside), "-c", "import afina; afina.Hyperband"],
        cwd=tmp_path,
        env=without_ours(),
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "pip install 'afina[jax]'" in done.stderr
