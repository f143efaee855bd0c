import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from afina.search import Random
from afina.space import Space
from afina.testing.toys import run
from afina.trials import Trial

# The planted truths of the benchmark are the truths of the tests.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks" / "advice"))


@pytest.fixture(scope="session")
def searched() -> Callable[..., list[Trial]]:
    """Random trials of a function, kept for all tests that ask for the same."""
    known: dict[Any, list[Trial]] = {}

    def search(
        loss: Callable[[Mapping[str, Any]], float], space: Space, count: int, seed: int = 0
    ) -> list[Trial]:
        key = (loss, space, count, seed)
        if key not in known:
            known[key] = list(run(Random(seed), loss, space, count).trials)
        return known[key]

    return search


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests whose assertions hold however finely the advice is worked out."""
    monkeypatch.setattr("afina.advice.belief.KERNELS", 2)
    monkeypatch.setattr("afina.advice.belief.DRAWS", 500)
    monkeypatch.setattr("afina.advice.box.DRAWS", 500)
    # Not by its path: the package has a function of that name.
    monkeypatch.setattr(sys.modules["afina.advice.importance"], "RESAMPLES", 4)
