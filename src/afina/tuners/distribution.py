"""TensorFlow's distribution strategies."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def maybe_distribute(distribution_strategy: Any) -> Iterator[None]:
    """Runs the block in the strategy's scope; without a strategy, just runs it."""
    if distribution_strategy is None:
        yield
    else:
        with distribution_strategy.scope():
            yield
