"""What can be tuned: hyperparameters, their conditions, and the unit cube they map to."""

from afina.space.categorical import Boolean, Choice, Fixed
from afina.space.conditions import Parent, Value
from afina.space.encoding import Axis, Encoding
from afina.space.hyperparameters import HyperParameters
from afina.space.parameters import Float, HyperParameter, Int, SpaceWarning
from afina.space.space import Space, deserialize, serialize

__all__ = [
    "Axis",
    "Boolean",
    "Choice",
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
