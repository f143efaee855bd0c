"""`afina --version` says what is installed."""

import platform
from importlib import metadata

import pytest
from click.testing import CliRunner

import afina
from afina.cli import main


def lines() -> list[str]:
    told = CliRunner().invoke(main, ["--version"])
    assert told.exit_code == 0
    return told.output.splitlines()


def test_the_version_names_afina_python_keras_and_the_backends() -> None:
    told = lines()
    assert told[0] == f"afina, version {afina.__version__}"
    assert platform.python_version() in told[1]
    assert told[2].startswith("Keras 3") or "nightly" in told[2]
    assert any(line.startswith(("JAX", "TensorFlow", "PyTorch")) for line in told[3:])


def test_the_version_marks_the_backend_that_keras_runs_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: "9.9")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert "PyTorch 9.9 (Keras runs on it)" in lines()


def test_the_version_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", none)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    told = lines()
    assert "Keras is not installed" in told
    assert "KERAS_BACKEND=jax, which is not installed" in told
    assert "pip install 'afina[jax]'" in told[-1]
