"""What can be tuned: hyperparameters, their conditions, and the unit cube they map to.

    build(hp) ──> HyperParameters ──to_space──> Space ──> Encoding ──> points of the unit cube
                        │                         │
                  Definitions: which of      entries: Int, Float (parameters.py),
                  several definitions        Choice, Boolean, Fixed (categorical.py),
                  of a name counts           active while their Parents hold (conditions.py)

Rules between hyperparameters (`constraints.py`, `repair.py`) belong to the space, too.

Users write to `HyperParameters`; algorithms see the frozen `Space`. `sampling.py` scales numbers to
[0, 1] and back, `size.py` counts configurations, and `slips.py` guesses what a misspelt name meant.
"""

from afina.space.categorical import Boolean, Choice, Fixed
from afina.space.conditions import Parent, Value
from afina.space.constraints import Constraint
from afina.space.encoding import Axis, Encoding
from afina.space.hyperparameters import HyperParameters
from afina.space.parameters import Float, HyperParameter, Int, SpaceWarning
from afina.space.space import Space, deserialize, serialize

__all__ = [
    "Axis",
    "Boolean",
    "Choice",
    "Constraint",
    "Encoding",
    "Fixed",
    "Float",
    "HyperParameter",
    "HyperParameters",
    "Int",
    "Parent",
    "Space",
    "SpaceWarning",
    "Value",
    "deserialize",
    "serialize",
]
