"""The importances that figures show: those of the sentences, so that both never disagree.

With one objective the sentences speak of `Findings.effects`, which hold whatever the search
preferred to try. Where the trials allow no such test, and for each of several objectives, they
speak of `Importances`.
"""

from __future__ import annotations

from dataclasses import replace

from afina.advice.effects import Visibility
from afina.advice.findings import Findings
from afina.advice.importance import Importances, Share


def shown_importances(found: Findings) -> list[Importances]:
    """The importances for each objective, as the advice's sentences tell them.

    Args:
        found: The advice.

    Returns:
        One entry for each objective. `clear` is whether the hyperparameter surely matters.
    """
    if found.aims:
        return [aim.importances for aim in found.aims]
    effects, whole = found.effects, found.importances
    if not effects.single:
        return [whole]
    single = sorted(shares_of(found), key=lambda each: -each.share)
    pairs = [
        Share(
            names=each.names,
            conditions=(),
            share=each.share,
            low=each.share,
            high=each.share,
            active=0,
            clear=True,
        )
        for each in effects.pairs
    ]
    return [replace(whole, single=tuple(single), pairs=tuple(pairs))]


def shares_of(found: Findings) -> list[Share]:
    """How much each hyperparameter matters by the model that also gives the verdicts.

    Args:
        found: The advice.

    Returns:
        In the order of the space; empty if the trials are too few or have several objectives.
    """
    return [
        Share(
            names=(each.name,),
            conditions=each.conditions,
            share=each.share,
            low=each.low,
            high=each.high,
            active=own.tried,
            clear=each.visibility is Visibility.MATTERS,
        )
        for each, own in zip(found.effects.single, found.ranges, strict=False)
    ]
