"""What a search minimizes or maximizes, and the direction of the metrics that people name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from afina.errors import ObjectiveError, ObjectiveTypeError, wrong

Direction = Literal["min", "max"]

# Metrics that grow with quality, written without case and underscores. Everything here is a
# metric of Keras, or its usual short name.
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

# A longer name that ends so need not be the metric: "reward_mean", "head_dice" may be maximized.
_ONLY_ALONE = frozenset(["mean", "sum", "meantensor", "meanmetricwrapper", "dice", "circle", "ctc"])

# In front of a metric's name these turn it around, or make another quantity of it.
_TURNS_AROUND = frozenset(["neg", "negative", "negated", "minus", "inverse", "inverted", "val"])


def infer_metric_direction(metric: Any) -> Direction | None:
    """Whether a metric is better when it is smaller ("min") or larger ("max").

    Args:
        metric: A name as Keras logs it (`val_`, `weighted_`, a trailing `_1` and the name of an
            output in front are looked through), or a metric or loss of Keras: class, instance or
            function, or a subclass of one.

    Returns:
        "min", "max", or None where nothing is known about the metric.

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
    """What is known of the nearest base that says something: `class Gini(keras.metrics.AUC)`."""
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
    """Of models with several outputs Keras logs `<output>_<metric>`: the longest end counts."""
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
    """The metric that a search makes as small or as large as it can.

    Args:
        name: As Keras logs it: "val_loss", "val_accuracy", "val_" + the name of your metric.
        direction: "min" or "max".

    Raises:
        ObjectiveError: The direction is neither, or the name is empty.

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
                    "Use max for what grows with quality, such as accuracy.",
                )
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics that must be logged."""
        return (self.name,)

    def has_value(self, logs: Mapping[str, Any]) -> bool:
        """Whether `logs` hold what the objective needs."""
        return self.name in logs

    def get_value(self, logs: Mapping[str, Any]) -> float:
        """The objective's value in one epoch's logs; KeyError where it is missing."""
        return float(logs[self.name])

    def better_than(self, a: float, b: float) -> bool:
        """Whether value `a` beats value `b`."""
        return a > b if self.direction == "max" else a < b

    def loss(self, score: float) -> float:
        """The score with its sign set so that lower is better."""
        return -score if self.direction == "max" else score

    def losses(self, logs: Mapping[str, Any]) -> tuple[float, ...]:
        """What `Trial.losses` holds: nothing, as there is one objective."""
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
    """Several objectives as one number to minimize: the sum of those to minimize minus the sum
    of those to maximize, unweighted, as in Keras Tuner."""

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
        """Whether `logs` hold every objective, or their sum under this objective's own name."""
        return self.name in logs or all(part.has_value(logs) for part in self.objectives)

    def get_value(self, logs: Mapping[str, Any]) -> float:
        """The signed sum over the parts; KeyError where one is missing."""
        if self.name in logs:
            return float(logs[self.name])
        return float(sum(part.loss(part.get_value(logs)) for part in self.objectives))

    def losses(self, logs: Mapping[str, Any]) -> tuple[float, ...]:
        """Each objective's value with its sign set so that lower is better; empty where one of
        them is missing."""
        if not all(part.has_value(logs) for part in self.objectives):
            return ()
        return tuple(part.loss(part.get_value(logs)) for part in self.objectives)

    def describe(self) -> Any:
        """What identifies the objective, as JSON values."""
        return [part.describe() for part in self.objectives]

    def __eq__(self, other: object) -> bool:
        """The same objectives in any order: their sum is the same."""
        if not isinstance(other, MultiObjective):
            return NotImplemented
        return Counter(self.objectives) == Counter(other.objectives)

    def __hash__(self) -> int:
        return hash(frozenset(self.objectives))

    def __str__(self) -> str:
        parts = ", ".join(str(part) for part in self.objectives)
        return f"Multi{super().__str__()}: [{parts}]"


class DefaultObjective(Objective):
    """Stands where none was named: the number that a trial returns, to be minimized."""

    def __init__(self) -> None:
        super().__init__(name="default_objective", direction="min")


def create_objective(objective: Any) -> Objective:
    """Reads what users write for an objective.

    Args:
        objective: An `Objective`, a metric's name whose direction is known, a list of either,
            or None for the number that a trial returns, to be minimized.

    Raises:
        ObjectiveError: The direction of a name is not known, or it is nothing of the above.

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
            f"Could not infer optimization direction: objective {objective!r} is no metric of "
            f'Keras. Say it: Objective("{objective}", "max") or Objective("{objective}", "min").'
        )
    return Objective(objective, direction)
