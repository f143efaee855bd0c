"""Code as users of Keras Tuner 1.4.8 write it, with `import afina as kt` in its place.

With `AFINA_COMPAT=keras_tuner` the same files run against Keras Tuner itself: `import afina` then
means `keras_tuner`, so every expectation can be held against the original:

    AFINA_COMPAT=keras_tuner KERAS_BACKEND=jax python -m pytest \
        -c /dev/null --confcutdir=tests/compat --rootdir=tests/compat tests/compat

Where Keras Tuner has a known bug, a test asks the fixture `mended` which behaviour to expect; tests
of what only Afina has are marked `afina_only`.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

REFERENCE = os.environ.get("AFINA_COMPAT", "afina") == "keras_tuner"


class _Alias(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports `afina.x` as `keras_tuner.x`."""

    def find_spec(
        self, fullname: str, path: Any = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.split(".")[0] != "afina":
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        name = "keras_tuner" + spec.name.removeprefix("afina")
        # Release 1.4.8 hid the engine's modules, which earlier ones had in the open.
        name = name.replace("keras_tuner.engine", "keras_tuner.src.engine")
        return importlib.import_module(name)

    def exec_module(self, module: ModuleType) -> None:
        """The original has run already."""


if REFERENCE:
    sys.meta_path.insert(0, _Alias())
    import keras_tuner
    import keras_tuner.src.engine.tuner_utils

    keras_tuner.engine = keras_tuner.src.engine


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "afina_only: Keras Tuner 1.4.8 does not have this")
    config.addinivalue_line("markers", "first: as in tests/conftest.py, which may not be there")
    # Keras' JAX backend and NumPy 2 disagree; nothing here can help it.
    config.addinivalue_line(
        "filterwarnings", "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if REFERENCE:
        for item in items:
            if item.get_closest_marker("afina_only"):
                item.add_marker(pytest.mark.skip(reason="Keras Tuner does not have this"))


@pytest.fixture(scope="session")
def mended() -> bool:
    """False when Keras Tuner itself runs, with its bugs."""
    return not REFERENCE


@pytest.fixture
def project(tmp_path: Path) -> dict[str, Any]:
    """Where a tuner of this test keeps its trials; no other test uses it."""
    return {"directory": str(tmp_path), "project_name": "project"}


@pytest.fixture(scope="session")
def digits() -> tuple[Any, ...]:
    """`x_train, y_train, x_val, y_val`: 64 + 32 grey images of 4x4 in three classes."""
    rng = np.random.default_rng(7)
    labels = rng.integers(0, 3, size=96)
    images = rng.random((96, 4, 4), dtype="float32") + labels[:, None, None].astype("float32") / 2
    return images[:64], labels[:64], images[64:], labels[64:]


@pytest.fixture(scope="session")
def line() -> tuple[Any, ...]:
    """`x, y` of a linear regression: 48 rows, 3 features."""
    rng = np.random.default_rng(11)
    x = rng.random((48, 3), dtype="float32")
    return x, (x @ np.array([[1.0], [-2.0], [0.5]], dtype="float32"))


@pytest.fixture
def parabola(project: dict[str, Any]) -> Callable[..., Any]:
    """Makes tuners whose trials train nothing: `parabola(kt.RandomSearch, max_trials=3)`.

    The score of a trial is `(x - 3)**2` with `x` from 0 to 10; the objective is "score", min.
    """
    import afina as kt

    def make(tuner_class: Any, **kwargs: Any) -> Any:
        class Parabola(tuner_class):
            def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
                x = trial.hyperparameters.Int("x", 0, 10)
                return {"score": (x - 3) ** 2, "extra": float(x)}

        settings = {"objective": kt.Objective("score", "min"), **project, **kwargs}
        return Parabola(**settings)

    return make
