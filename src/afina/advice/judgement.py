"""How good the winner of a search is: facts about the final model, and sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afina import html_tables
from afina.advice.classification import ClassScore, class_scores, confusion_matrix, mean_f1
from afina.advice.learning import Learning
from afina.advice.spread import CLEAR, error_of
from afina.trials import Objective

Labels = NDArray[np.int64]

MOST_FREQUENT = "always the most frequent class"
_GUESS = "always predicting the most frequent class"

FEW_SEEDS = 3
"""Fewer repetitions than this say nothing about which of two configurations is better."""


class ValidationScore(float):
    """A score on the validation data of a search, to be compared with the search's own score.

    Example:
        >>> ValidationScore(0.9) + 0
        0.9
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """The model beside an alternative, both measured on the same data."""

    name: str
    """The alternative."""

    score: float
    """Its score."""

    ours: float
    """The model's score on the same data."""

    data: str
    """ "test" or "validation": which data."""

    gain: float
    """By how much the model is better; negative if it is worse."""

    error: float | None = None
    """The standard error of the gain; None if it is not known."""

    paired: bool = False
    """Whether the error is that of the differences of single examples."""

    @property
    def clear(self) -> bool | None:
        """Whether the gain is more than its error explains; None without an error."""
        return None if self.error is None else abs(self.gain) > CLEAR * self.error

    def __str__(self) -> str:
        where = "On the test data" if self.data == "test" else "On the validation data"
        name = _GUESS if self.name == MOST_FREQUENT else self.name
        other = f"{name} ({self.score:.4g})"
        size = f"{abs(self.gain):.2g}"
        if self.error is not None:
            size += f" ± {self.error:.2g}"
        if self.gain == 0:
            return f"{where} it is as good as {other}."
        text = f"{where} it is {size} {'better' if self.gain > 0 else 'worse'} than {other}"
        return f"{text}, which may be luck." if self.clear is False else f"{text}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """How the final model performs on data that played no part in choosing it."""

    metrics: Mapping[str, float]
    """The metrics on the test data, with the names of `model.evaluate`."""

    metric: str
    """The metric to look at: the objective's, without "val_"."""

    test: float | None
    """Its value on the test data; None if the model does not measure it."""

    searched: float | None
    """The winner's score in the search, on the validation data that chose it."""

    optimism: float | None
    """By how much the score in the search was better than on the test data; None if one is
    missing."""

    error: float | None = None
    """The standard error of `test`; None if it is not known."""

    optimism_error: float | None = None
    """The standard error of `optimism`; None if it is not known."""

    beside: tuple[Beside, ...] = ()
    """The model beside each of the alternatives, on the same data."""

    learning: Learning | None
    """What the curves of the final training show; None if there was no final training."""

    classes: tuple[ClassScore, ...]
    """Precision, recall and F1 of each class; empty if the model is not a classifier."""

    confusion: Labels | None
    """(classes, classes) how often class i (row) was predicted as class j; None if the model is
    not a classifier."""

    baselines: Mapping[str, float]
    """What the metric would be without a search, by the name of the alternative."""

    direction: str
    """ "min" or "max": which direction of the metric is better."""

    def _repr_html_(self) -> str:
        """For notebooks: a paragraph for each sentence."""
        return html_tables.lines("\n".join(self.sentences()))

    def __str__(self) -> str:
        return " ".join(self.sentences())

    def sentences(self) -> list[str]:
        """The facts in plain words, the most important first."""
        errors = {} if self.error is None else {self.metric: f" ± {self.error:.2g}"}
        named = ", ".join(
            f"{name} {value:.4g}{errors.get(name, '')}" for name, value in self.metrics.items()
        )
        found = [f"On the test data: {named}."]
        if self.optimism is not None and self.searched is not None:
            found.append(
                _on_optimism(self.metric, self.searched, self.optimism, self.optimism_error)
            )
        found += [str(each) for each in self.beside]
        if self.learning is not None:
            found.append(str(self.learning))
            found += list(self.learning.remedies)
        if self.classes:
            found += _on_classes(self.classes)
        return found

    def to_dict(self) -> dict[str, Any]:
        """All facts as JSON values."""
        return {
            "metrics": dict(self.metrics),
            "metric": self.metric,
            "test": self.test,
            "searched": self.searched,
            "optimism": self.optimism,
            "error": self.error,
            "optimism_error": self.optimism_error,
            "beside": [
                {name: getattr(each, name) for name in Beside.__slots__} for each in self.beside
            ],
            "baselines": dict(self.baselines),
            "classes": [
                {name: getattr(each, name) for name in ClassScore.__slots__}
                for each in self.classes
            ],
            "confusion": None if self.confusion is None else self.confusion.tolist(),
            "sentences": self.sentences(),
        }


def judge(
    metrics: Mapping[str, float],
    objective: Objective,
    *,
    searched: float | None = None,
    learning: Learning | None = None,
    true: Labels | None = None,
    predicted: Labels | None = None,
    class_names: Sequence[str] | None = None,
    baselines: Mapping[str, float] | None = None,
    error: float | None = None,
    optimism_error: float | None = None,
    beside: Sequence[Beside] = (),
) -> Judgement:
    """Collects the facts about a final model.

    Args:
        metrics: The metrics on the test data.
        objective: The objective of the search.
        searched: The winner's score in the search.
        learning: What the final training's curves show.
        true: (n,) classes of the test data, from 0; None if the model is not a classifier.
        predicted: (n,) classes that the model predicts.
        class_names: Names of the classes; None numbers them.
        baselines: The metric without a search, by the name of the alternative. If the metric is an
            accuracy, "always the most frequent class" is added. Each is compared on the data that
            it was measured on: a `ValidationScore` with the score in the search, another number
            with the score on the test data.
        error: The standard error of the score on the test data, if it is known.
        optimism_error: The standard error of the difference between both scores.
        beside: Comparisons that are made already; they replace the baselines of their names.
    """
    metric = objective.name.removeprefix("val_")
    test = metrics.get(metric)
    optimism = None
    if test is not None and searched is not None:
        optimism = objective.loss(test) - objective.loss(searched)
    classes: tuple[ClassScore, ...] = ()
    confusion = None
    known, compared = dict(baselines or {}), {each.name: each for each in beside}
    if true is not None and predicted is not None and len(true):
        classes, confusion = _by_class(true, predicted, class_names or ())
        if "acc" in metric and test is not None:
            compared[MOST_FREQUENT] = _most_frequent(true, predicted, test, objective)
    for name, value in known.items():
        found = _compared(name, value, objective, test, searched, error, optimism_error)
        if name not in compared and found is not None:
            compared[name] = found
    known.update({each.name: each.score for each in compared.values()})
    return Judgement(
        metrics=dict(metrics),
        metric=metric,
        test=test,
        searched=searched,
        optimism=optimism,
        learning=learning,
        classes=classes,
        confusion=confusion,
        baselines=known,
        direction=objective.direction,
        error=error,
        optimism_error=optimism_error,
        beside=tuple(compared.values()),
    )


def _by_class(
    true: Labels, predicted: Labels, class_names: Sequence[str]
) -> tuple[tuple[ClassScore, ...], Labels]:
    """The scores of each class, and the confusion matrix."""
    count = int(max(true.max(), predicted.max(), len(class_names) - 1)) + 1
    names = [*class_names, *(str(n) for n in range(len(class_names), count))]
    confusion = confusion_matrix(true, predicted, count)
    return tuple(class_scores(confusion, names)), confusion


def _most_frequent(true: Labels, predicted: Labels, test: float, objective: Objective) -> Beside:
    """The model beside always naming the class that most test examples have."""
    counts = np.bincount(true)
    share = float(counts.max() / len(true))
    gains = (predicted == true).astype(float) - (true == counts.argmax())
    return Beside(
        name=MOST_FREQUENT,
        score=share,
        ours=test,
        data="test",
        gain=objective.loss(share) - objective.loss(test),
        error=error_of(gains),
        paired=True,
    )


def _compared(
    name: str,
    value: float,
    objective: Objective,
    test: float | None,
    searched: float | None,
    error: float | None,
    optimism_error: float | None,
) -> Beside | None:
    """The model beside a number, with its score on the same data; None if it has none there."""
    validated = isinstance(value, ValidationScore)
    ours = searched if validated else test
    if ours is None:
        return None
    own = error
    if validated:
        own = None
        if error is not None and optimism_error is not None:
            own = math.sqrt(max(optimism_error**2 - error**2, 0.0))
    return Beside(
        name=name,
        score=float(value),
        ours=ours,
        data="validation" if validated else "test",
        gain=objective.loss(value) - objective.loss(ours),
        # The other score has an error of about the same size.
        error=None if own is None else math.sqrt(2) * own,
    )


def _on_optimism(metric: str, searched: float, optimism: float, error: float | None) -> str:
    text = f"In the search its {metric} was {searched:.4g} on the validation data: "
    size = f"{abs(optimism):.2g}" + ("" if error is None else f" ± {error:.2g}")
    if optimism <= 0:
        return text + "the test data confirm it."
    if error is not None and optimism <= CLEAR * error:
        return text + f"{size} better than on the test data, which may be luck."
    text += f"{size} better than on the test data"
    if error is None:
        return text + "."
    return text + ", more than luck explains: the best of many trials was chosen by this score."


def _on_classes(classes: Sequence[ClassScore]) -> list[str]:
    there = sorted((each for each in classes if each.count), key=lambda each: each.f1)
    found = [f"F1 averaged over the classes is {mean_f1(classes):.3f}."]
    if len(there) > 1:
        worst = ", ".join(f"{e.name} ({e.f1:.2f} of {e.count})" for e in there[:3])
        found.append(f"Hardest classes, by F1: {worst}.")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One configuration, trained several times."""

    values: Mapping[str, Any]

    scores: tuple[float, ...]
    """One for each seed, on the validation data."""

    number: int = -1
    """Of its trial in the search."""

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return math.fsum(self.scores) / len(self.scores)

    @property
    def deviation(self) -> float:
        """Standard deviation over the seeds; NaN for one."""
        return float(np.std(self.scores, ddof=1)) if len(self.scores) > 1 else math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Whether the winner of a search is really better than the next ones."""

    contenders: tuple[Contender, ...]
    """In the order of the search."""

    direction: str
    """ "min" or "max"."""

    objective: str

    wins: tuple[float, ...] = field(default=())
    """For each contender except the first: the share of pairs of seeds in which the first is
    better; ties count half. 1 means always, 0.5 no difference."""

    @property
    def best(self) -> Contender:
        """The contender with the best mean."""
        sign = -1 if self.direction == "max" else 1
        return min(self.contenders, key=lambda each: sign * each.mean)

    def _repr_html_(self) -> str:
        """For notebooks: a paragraph for each line."""
        return html_tables.lines(str(self))

    def __str__(self) -> str:
        lines = [
            f"{place}. (trial {each.number}) {self.objective} {each.mean:.4g}"
            + (f" ± {each.deviation:.2g}" if len(each.scores) > 1 else "")
            + f" over {len(each.scores)} seeds"
            for place, each in enumerate(self.contenders, start=1)
        ]
        for place, share in enumerate(self.wins, start=2):
            lines.append(f"The first beats number {place} in {share:.0%} of pairs: {_said(share)}.")
        if min(len(each.scores) for each in self.contenders) < FEW_SEEDS:
            lines.append(f"With fewer than {FEW_SEEDS} seeds each, this is only a hint.")
        return "\n".join(lines)


def compare(contenders: Sequence[Contender], objective: Objective) -> Comparison:
    """Compares configurations by all pairs of their seeds.

    Args:
        contenders: In the order of the search; at least one.
        objective: Says which score is better.

    Source:
        The share of won pairs is the statistic of Mann & Whitney, "On a test of whether one of two
        random variables is stochastically larger than the other" (1947), divided by its largest
        value.
    """
    first, *others = contenders
    ours = np.array([objective.loss(score) for score in first.scores])
    wins = []
    for other in others:
        theirs = np.array([objective.loss(score) for score in other.scores])
        pairs = theirs[None, :] - ours[:, None]
        wins.append(float(np.mean((pairs > 0) + 0.5 * (pairs == 0))))
    return Comparison(
        contenders=tuple(contenders),
        direction=objective.direction,
        objective=objective.name,
        wins=tuple(wins),
    )


def _said(share: float) -> str:
    if share >= 0.9:
        return "it is better"
    if share > 0.6:
        return "it may be better"
    if share >= 0.4:
        return "they are equally good"
    return "it was luckier in the search"
