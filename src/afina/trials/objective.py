"""What a search minimizes or maximizes, and the direction of known metrics."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from afina.errors import ObjectiveError, ObjectiveTypeError, wrong

Direction = Literal["min", "max"]

# Metrics of Keras, and their usual short names, that grow with quality: in lower case, without
# underscores.
_HIGHER_IS_BETTER_TEXT = """
    acc accuracy balancedaccuracy binaryaccuracy categoricalaccuracy
    sparsecategoricalaccuracy topkcategoricalaccuracy sparsetopkcategoricalaccuracy auc
    rocauc prauc precision recall truepositives truenegatives sensitivityatspecificity
    specificityatsensitivity precisionatrecall recallatprecision f1 f1score fbetascore
    fscore r2 r2score cosinesimilarity cosineproximity iou binaryiou meaniou onehotiou
    onehotmeaniou pearsoncorrelation concordancecorrelation
"""
_HIGHER_IS_BETTER = frozenset(_HIGHER_IS_BETTER_TEXT.split())

# Losses of Keras, and those of its metrics that shrink with quality.
_LOWER_IS_BETTER_TEXT = """
    loss ce crossentropy bce binarycrossentropy categoricalcrossentropy
    sparsecategoricalcrossentropy binaryfocalcrossentropy categoricalfocalcrossentropy
    categoricalgeneralizedcrossentropy mse meansquarederror mae meanabsoluteerror rmse
    rootmeansquarederror mape meanabsolutepercentageerror msle meansquaredlogarithmicerror
    kld kldivergence kullbackleiblerdivergence poisson logcosh logcosherror hinge
    squaredhinge categoricalhinge huber ctc dice tversky circle falsepositives
    falsenegatives meanrelativeerror mean sum meantensor meanmetricwrapper
"""
_LOWER_IS_BETTER = frozenset(_LOWER_IS_BETTER_TEXT.split())

# Not as the end of a longer name: "reward_mean" or "head_dice" may well be maximized.
_ONLY_ALONE = frozenset(["mean", "sum", "meantensor", "meanmetricwrapper", "dice", "circle", "ctc"])

# Before a metric's name, these reverse its direction or change what it measures.
_TURNS_AROUND = frozenset(["neg", "negative", "negated", "minus", "inverse", "inverted", "val"])


def infer_metric_direction(metric: Any) -> Direction | None:
    """Whether a metric is better when it is smaller ("min") or larger ("max").

    Args:
        metric: A name as Keras logs it; `val_`, `weighted_`, an output's name in front and a
            trailing `_1` are ignored. Or a metric or loss of Keras, or of a subclass: the class,
            an instance or a function.

    Returns:
        "min", "max", or None if the metric is unknown.

    Example:
        >>> infer_metric_direction("val_f1_score"), infer_metric_direction("val_loss")
        ('max', 'min')
        >>> infer_metric_direction("val_head_2_auc")
        'max'
        >>> infer_metric_direction("my_metric") is None
        True
    """
    if isinstance(metric, str):
        return _direction_of_name(metric)
    named = metric if isinstance(metric, type) or hasattr(metric, "__name__") else type(metric)
    module = str(getattr(named, "__module__", ""))
    # Keras' loss CosineSimilarity is the negative of its metric of the same name.
    if module.startswith("keras") and ".losses" in module:
        return "min"
    wrapped = getattr(metric, "_fn", None)  # keras wraps plain functions as metrics
    if named.__name__ == "MeanMetricWrapper" and wrapped is not None:
        return infer_metric_direction(wrapped)
    direction = _direction_of_name(named.__name__)
    if direction is None and isinstance(named, type):
        direction = _direction_of_bases(named)
    return direction


def _direction_of_bases(kind: type) -> Direction | None:
    """The direction of the nearest known base class, as for `class Gini(keras.metrics.AUC)`."""
    for base in kind.__mro__[1:]:
        key = base.__name__.lower()
        if base.__module__.startswith("keras") and key not in _ONLY_ALONE:
            found = infer_metric_direction(base)
            if found is not None:
                return found
    return None


def _direction_of_name(name: str) -> Direction | None:
    bare = name.removeprefix("val_").removeprefix("weighted_")
    for candidate in (bare, re.sub(r"_\d+$", "", bare)):
        found = _direction_of_key(candidate.replace("_", "").lower())
        if found is not None:
            return found
    return _direction_of_suffix(re.sub(r"_\d+$", "", bare).lower().split("_"))


def _direction_of_suffix(words: Sequence[str]) -> Direction | None:
    """The direction of the longest known suffix: Keras logs `<output>_<metric>`."""
    for start in range(1, len(words)):
        key = "".join(words[start:])
        found = None if key in _ONLY_ALONE else _direction_of_key(key)
        if found is not None:
            return None if _TURNS_AROUND & set(words[:start]) else found
    return None


def _direction_of_key(key: str) -> Direction | None:
    if key in _HIGHER_IS_BETTER:
        return "max"
    return "min" if key in _LOWER_IS_BETTER else None


@dataclass(frozen=True, eq=False)
class Objective:
    """The metric that a search minimizes or maximizes.

    Args:
        name: The metric's name in Keras' logs: "val_loss", "val_accuracy", "val_" + your metric.
        direction: "min" or "max".

    Raises:
        ObjectiveError: The direction is neither "min" nor "max", or the name is empty.

    Example:
        >>> Objective("val_loss", "min").better_than(0.3, 0.4)
        True
    """

    name: str
    direction: str

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            kind = ObjectiveError if isinstance(self.name, str) else ObjectiveTypeError
            raise kind(
                wrong("Objective", "name must be a metric's name", self.name, 'Try "val_loss".')
            )
        if self.direction not in ("min", "max"):
            raise ObjectiveError(
                wrong(
                    f"Objective {self.name!r}",
                    'direction must be "min" or "max"',
                    self.direction,
                    'Use "max" if higher is better, as for accuracy.',
                )
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics that must be logged."""
        return (self.name,)

    def has_value(self, logs: Mapping[str, Any]) -> bool:
        """Whether `logs` contain what the objective needs."""
        return self.name in logs

    def get_value(self, logs: Mapping[str, Any]) -> float:
        """The objective's value in one epoch's logs; raises KeyError if it is missing."""
        return float(logs[self.name])

    def better_than(self, a: float, b: float) -> bool:
        """Whether value `a` is better than value `b`."""
        return a > b if self.direction == "max" else a < b

    def loss(self, score: float) -> float:
        """The score as a loss: negated if the objective is maximized, so that lower is better."""
        return -score if self.direction == "max" else score

    def losses(self, logs: Mapping[str, Any]) -> tuple[float, ...]:
        """The value of `Trial.losses`: empty, since there is only one objective."""
        del logs
        return ()

    def describe(self) -> Any:
        """What identifies the objective, as JSON values."""
        return {"name": self.name, "direction": self.direction}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Objective):
            return NotImplemented
        return type(self) is type(other) and self.describe() == other.describe()

    def __hash__(self) -> int:
        return hash(str(self))

    def __str__(self) -> str:
        return f'Objective(name="{self.name}", direction="{self.direction}")'


class MultiObjective(Objective):
    """Several objectives as one number to minimize, as in Keras Tuner.

    The number is the sum of the objectives to minimize minus the sum of those to maximize.
    """

    objectives: tuple[Objective, ...]

    def __init__(self, objectives: Sequence[Objective]) -> None:
        if not objectives:
            raise ObjectiveError(
                wrong("objective", "a list must name at least one metric", list(objectives))
            )
        super().__init__(name="multi_objective", direction="min")
        object.__setattr__(self, "objectives", tuple(objectives))

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics that must be logged."""
        return tuple(objective.name for objective in self.objectives)

    def has_value(self, logs: Mapping[str, Any]) -> bool:
        """Whether `logs` contain every objective, or their sum under this objective's own name."""
        return self.name in logs or all(part.has_value(logs) for part in self.objectives)

    def get_value(self, logs: Mapping[str, Any]) -> float:
        """The signed sum of the objectives; raises KeyError if one is missing."""
        if self.name in logs:
            return float(logs[self.name])
        return float(sum(part.loss(part.get_value(logs)) for part in self.objectives))

    def losses(self, logs: Mapping[str, Any]) -> tuple[float, ...]:
        """The loss in each objective, lower is better; empty if one of them is missing."""
        if not all(part.has_value(logs) for part in self.objectives):
            return ()
        return tuple(part.loss(part.get_value(logs)) for part in self.objectives)

    def describe(self) -> Any:
        """What identifies the objective, as JSON values."""
        return [part.describe() for part in self.objectives]

    def __eq__(self, other: object) -> bool:
        """Whether both have the same objectives in any order: their sum is the same."""
        if not isinstance(other, MultiObjective):
            return NotImplemented
        return Counter(self.objectives) == Counter(other.objectives)

    def __hash__(self) -> int:
        return hash(frozenset(self.objectives))

    def __str__(self) -> str:
        parts = ", ".join(str(part) for part in self.objectives)
        return f"Multi{super().__str__()}: [{parts}]"


class DefaultObjective(Objective):
    """The objective if the user names none: minimize the number that a trial returns."""

    def __init__(self) -> None:
        super().__init__(name="default_objective", direction="min")


def objective_described(described: Any) -> Objective:
    """The objective of which `Objective.describe` gave this, as stores keep it in their headers."""
    if isinstance(described, Mapping):
        return Objective(described["name"], described["direction"])
    return MultiObjective([Objective(part["name"], part["direction"]) for part in described])


def create_objective(objective: Any) -> Objective:
    """Turns the `objective` argument of users into an `Objective`.

    Args:
        objective: An `Objective`, the name of a metric with a known direction, or a list of these.
            None minimizes the number that a trial returns.

    Raises:
        ObjectiveError: The direction of a name is unknown, or it is none of these.

    Example:
        >>> str(create_objective("val_accuracy"))
        'Objective(name="val_accuracy", direction="max")'
    """
    if objective is None:
        return DefaultObjective()
    if isinstance(objective, Objective):
        return objective
    if isinstance(objective, list | tuple):
        return MultiObjective([create_objective(part) for part in objective])
    if not isinstance(objective, str):
        raise ObjectiveTypeError(
            wrong(
                "objective",
                "must be a metric's name, an Objective, or a list of them",
                objective,
                'For example objective="val_loss".',
            )
        )
    direction = infer_metric_direction(objective)
    if direction is None:
        raise ObjectiveError(
            f"Could not infer optimization direction: objective {objective!r} is not a metric of "
            f'Keras. Pass Objective("{objective}", "max") or Objective("{objective}", "min").'
        )
    return Objective(objective, direction)
