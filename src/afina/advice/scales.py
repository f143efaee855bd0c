"""Which ranges are to be searched on a logarithmic scale.

Evenly spread over 0.00001 to 0.1, nine of ten learning rates lie above 0.01. If the best ones lie
below, a search hardly sees them. On a logarithmic scale, each power of ten gets its share.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from afina.advice.sample import Sample
from afina.errors import SpaceError
from afina.space import Float, HyperParameter, Int, Value

SPAN = 100.0  # the smallest ratio of the bounds
LOW = 0.1  # the best trial lies in this lowest part of the range ...
CROWD = 0.25  # ... and half of the best ones in this part
BEST = 6
POWERS = 1000.0  # from this ratio of the bounds on, a linear scale is worth a remark


def on_log_scale(
    entry: HyperParameter, sample: Sample, column: int, default: Value
) -> HyperParameter | None:
    """The number on a logarithmic scale; None if there is no reason for it.

    Args:
        entry: The hyperparameter; it matters.
        sample: The trials.
        column: Its column there.
        default: The new default.
    """
    if not isinstance(entry, Float | Int) or entry.sampling != "linear":
        return None
    if not entry.min_value > 0 or entry.max_value < SPAN * entry.min_value:
        return None
    places = sample.places[sample.best(BEST), column]
    places = places[~np.isnan(places)]
    if len(places) < BEST or places[0] > LOW or float(np.median(places)) > CROWD:
        return None
    config: dict[str, Any] = {**entry.get_config(), "sampling": "log", "step": None}
    if isinstance(entry, Int) and entry.step not in (None, 1):
        return None
    if isinstance(entry, Float) and entry.step is not None:
        return None
    try:
        return type(entry).from_config({**config, "default": entry.clip(default)})
    except SpaceError:
        return None


def spans_powers(entry: HyperParameter) -> bool:
    """Whether a real number is searched on a linear scale over several powers of ten."""
    if not isinstance(entry, Float) or entry.sampling != "linear" or entry.step is not None:
        return False
    return bool(0 < entry.min_value <= entry.max_value / POWERS)
