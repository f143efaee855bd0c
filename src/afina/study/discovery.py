"""Finds the search space that a builder draws from, by building."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from afina.space import HyperParameters


def discover(
    hp: HyperParameters,
    build: Callable[[HyperParameters], Any],
    learn: Callable[[HyperParameters], Any],
) -> None:
    """Builds until every conditional scope has been active once.

    Args:
        hp: What the builds get; its values move from scope to scope.
        build: The builder; what it returns is thrown away.
        learn: Called after each build with `hp`, which holds what was met.
    """
    seen: set[Any] = set()
    while True:
        hp.start_build()
        build(hp)
        learn(hp)
        fresh = [scope for scope in hp.inactive_scopes if scope not in seen]
        if not fresh:
            return
        seen.add(fresh[0])
        hp.activate(fresh[0])
