"""What is put around an oracle's algorithm: knowledge of an earlier search, and narrowing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from afina.advice import Narrowing
from afina.errors import ArgumentError, check_whole, wrong
from afina.search import Algorithm, Informed

if TYPE_CHECKING:
    from afina.tuners.oracle import Oracle

LEAST, USUAL = 10, 20
"""Trials of a stage: the fewest that advice can be made of, and where no number is to be had."""


def surrounded(oracle: Oracle, algorithm: Algorithm[Any] | None, seed: int) -> Any:
    """The algorithm as the oracle's settings want it; None stays None."""
    if algorithm is None:
        return None
    if oracle.narrow_every is not None:
        algorithm = Narrowing(algorithm, oracle.narrow_every, seed)
    if oracle.known:
        algorithm = Informed(algorithm, oracle.known, oracle.hyperparameters.to_space())
    return algorithm


def stage_length(narrow: Any, oracle: Oracle) -> int | None:
    """How many trials a stage has before the space is narrowed; None for never.

    Raises:
        ArgumentError: `narrow` is neither None nor "auto" nor a whole number from 10 up, or the
            oracle has no algorithm to narrow.
    """
    if narrow is None:
        return None
    if oracle.make_algorithm(0) is None:
        rule = "must be None with an oracle that chooses by its own populate_space"
        advice = "Only the algorithms of Afina can be narrowed; leave narrow= out."
        raise ArgumentError(wrong("narrow", rule, narrow, advice))
    if narrow == "auto":
        return max(LEAST, oracle.max_trials // 3) if oracle.max_trials else USUAL
    rule = f'must be None, "auto" or a whole number from {LEAST} up'
    advice = "Fewer trials say too little."
    return check_whole("narrow", narrow, least=LEAST, rule=rule, advice=advice)
