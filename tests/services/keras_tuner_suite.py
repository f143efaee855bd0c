"""Keras Tuner's own tests, run on Afina through `import afina.as_keras_tuner`.

None of them lies here: the wheel of release 1.3.5 ships them, and `unpack` fetches it. As a plug-in
for pytest this module makes `import keras_tuner` mean Afina, and marks the tests that
`keras_tuner_differences.py` expects to fail. Any other failure ends the run with an error, and so
does a test on the list that passes: its line must go.
"""

from __future__ import annotations

import os
import random
import sys
import types
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from tests.services.keras_tuner_differences import DIFFERENCES, LEFT_OUT, TOO_SLOW


def pytest_configure() -> None:
    """Makes `keras_tuner` mean Afina; what it has no counterpart of is there to be imported."""
    import afina.as_keras_tuner  # noqa: F401

    for name in ("protos",):
        sys.modules[f"afina.{name}"] = mock.MagicMock(spec=types.ModuleType(name), name=name)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leaves out the files about modules that Afina does not have."""
    return True if collection_path.as_posix().endswith(tuple(LEFT_OUT)) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests that are expected to fail."""
    backend = os.environ.get("KERAS_BACKEND", "")
    for item in items:
        name = item.nodeid
        if name in TOO_SLOW:
            item.add_marker(pytest.mark.skip(reason=TOO_SLOW[name]))
        for about, differences in DIFFERENCES.items():
            if about in ("", backend) and (why := differences.get(name)):
                item.add_marker(pytest.mark.xfail(reason=why, strict=True))


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Projects without a directory are made in the working folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Some tests split and search at random, and compare what only most draws bring about."""
    random.seed(0)
    np.random.seed(0)
