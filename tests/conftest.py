"""What the tests of one process share, and which kinds of a test `make test` tries."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

ENGINE = "afina.training.fused.engine"
OF_THE_ENGINE = Path(__file__).parent / "training"
MOST = 200
"""How many programs are kept; each takes about a megabyte."""

KEPT: dict[Any, Any] = {}
"""The programs by key, the most recently used last."""


def pytest_collection_finish() -> None:
    """What stays to the end, thousands of tests among it, no garbage collection looks at again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem() -> Generator[None, Any, Any]:
    """A test marked `first("a", "b")` is part of `make test` for these two of its kinds.

    The other kinds repeat what the first ones show, so they belong to `make test-services`.
    """
    made = yield
    items = [each for each in made if hasattr(each, "callspec")] if isinstance(made, list) else []
    mark = items[0].get_closest_marker("first") if items else None
    if mark is not None:
        unknown = set(mark.args) - {item.callspec.id for item in items}
        if unknown:
            raise pytest.UsageError(f"{items[0].originalname}: no kind is named {unknown}")
        for item in items:
            if item.callspec.id not in mark.args:
                item.add_marker(pytest.mark.service)
    return made


@pytest.fixture
def own_programs() -> None:
    """For a test that needs its programs to be traced: it shares none."""


@pytest.fixture(autouse=True)
def programs_outlive_their_search(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Searches of equal models share their programs, although each test begins with an engine of
    its own: to trace the same train step again takes most of a small search's time. An engine
    counts what it takes over as compiled. The tests of the engine itself share nothing."""
    engine = sys.modules.get(ENGINE)
    alone = OF_THE_ENGINE in request.path.parents or "own_programs" in request.fixturenames
    if engine is None or alone:
        return
    original = engine.ProgramCache

    class Shared(original):
        def get(self, key: Any, make: Callable[[], Any]) -> Any:
            def kept_or_made() -> Any:
                program = KEPT.pop(key, None) or make()
                KEPT[key] = program
                if len(KEPT) > MOST:
                    KEPT.pop(next(iter(KEPT)))
                return program

            return super().get(key, make if key is None else kept_or_made)

    monkeypatch.setattr(engine, "ProgramCache", Shared)
