"""The trials without their failures, where failures would hide what the results show.

A failed training counts as one of the worst. That is right for a few: a model must keep away from
them. But if a batch size makes trainings fail, its failures would look like an interaction with
whatever else varies. And many failures without a visible cause would drown every effect in noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from afina.advice.effects import Effects, Visibility
from afina.advice.evidence import Evidence
from afina.advice.failing import FailingRegion
from afina.advice.failing_pairs import FailingPair
from afina.advice.sample import Sample

Mask = NDArray[np.bool_]

LEAST = 5  # so many unexplained failures are needed to leave them out ...
PART = 0.2  # ... and they are such a part of all trials
RESULTS = 8  # fewer results tell nothing of their own


def explained(
    sample: Sample,
    failed: Mask,
    failing: Sequence[FailingRegion],
    pairs: Sequence[FailingPair] = (),
) -> Mask:
    """Which rows failed in a region where trainings fail."""
    found = np.zeros(len(failed), dtype=bool)
    for region in failing:
        places = sample.places[:, region.column]
        found |= failed & (places >= region.low) & (places <= region.high)
    for pair in pairs:
        both = failed.copy()
        for part in pair.parts:
            places = sample.places[:, part.column]
            both &= (places >= part.low) & (places <= part.high)
        found |= both
    return found


def unexplained(failed: Mask, caused: Mask) -> Mask:
    """Which rows failed for no visible reason, if these are many; otherwise none."""
    left = failed & ~caused
    many = left.sum() >= max(LEAST, PART * len(failed))
    return left if many else np.zeros_like(left)


def without(evidence: Evidence, rows: Mask) -> Evidence:
    """The evidence without some rows; unchanged if too few results would differ."""
    kept = tuple(row for row, out in zip(evidence.rows, rows, strict=True) if not out)
    losses = {row.loss for row in kept if row.loss is not None}
    if not rows.any() or len(kept) < RESULTS or len(losses) < 2:
        return evidence
    return replace(evidence, rows=kept)


def with_failures(
    effects: Effects, failing: Sequence[FailingRegion], pairs: Sequence[FailingPair] = ()
) -> Effects:
    """The effects, in which a hyperparameter that makes trainings fail matters in any case."""
    guilty = {part.column: pair.chance for pair in pairs for part in pair.parts}
    guilty |= {region.column: region.chance for region in failing}
    single = tuple(
        replace(
            each,
            visibility=Visibility.MATTERS,
            chance=min(each.chance, guilty[column]),
            failing=True,
        )
        if column in guilty
        else each
        for column, each in enumerate(effects.single)
    )
    return replace(effects, single=single)
