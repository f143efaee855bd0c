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
