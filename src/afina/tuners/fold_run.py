"""One cross-validated trial: its folds are trained one after the other or together.

The score of a trial is the mean over its folds after the epoch at which that mean is best. So one
number of epochs counts for all folds, and `retrain_best` can train as many. A trial that is clearly
worse than the best one on the same folds is not trained on the others.
"""

from __future__ import annotations

import functools
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.stats import t as student

from afina import training
from afina.errors import ArgumentError, wrong
from afina.training.fused.member import GroupMember
from afina.trials import MultiObjective, Objective, Status
from afina.trials import Trial as StoredTrial
from afina.tuners import checkpoints
from afina.tuners.fitting import built_for, fit_arguments
from afina.tuners.fold_group import FoldTraining
from afina.tuners.folds import Folds
from afina.tuners.groups import NOTE
from afina.tuners.overrides import is_overridden, named_override
from afina.tuners.results import read_result
from afina.tuners.trial import Trial
from afina.tuners.trial_run import planned_arguments

SCORES = "fold_scores"
"""The note of a trial with the objective on each fold, as a JSON list."""

DROPPED = "folds"
"""The note of a trial that was not trained on all folds, and why."""

SPREAD = "_std"
"""Added to the objective's name: the standard deviation over the folds."""

RISK = 0.05
"""Level of the test for a trial, divided by its looks. It takes the best trial as it was measured:
as that is partly luck, more equally good trials are dropped after many trials."""


@dataclass(frozen=True)
class Means:
    """What a cross-validated trial returns, in the form of Keras' History."""

    history: Mapping[str, Sequence[float]]
    """The mean over the folds after each epoch that all folds have trained, and the spread."""

    folds: tuple[Any, ...]
    """What `fit` returned for each fold."""


def train_folds(
    folds: Folds, tuner: Any, trial: Trial, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Trains one model for each fold, until all are trained or the trial is clearly worse.

    Args:
        folds: Prepared for the data of the search.
        tuner: Whose trial.
        trial: Its notes get the score on each fold.
        args: As given to `search`.
        kwargs: As given to `search`.

    Returns:
        Means over the folds.
    """
    objective = tuner.oracle.objective
    own_fit = named_override((tuner, "_build_and_fit_model"), (tuner.hypermodel, "fit"))
    where = f"{own_fit or 'fit'}()"
    rival = None if trial.segment else _rival(tuner.oracle.search_state.trials, objective)
    run = _FoldRun(folds, tuner, trial, args, kwargs)
    groups = tuner._fold_groups
    rounds = groups.rounds(len(folds), groups.width(tuner), compared=rival is not None)
    results: list[Any] = []
    trial.notes.pop(DROPPED, None)
    for numbers in rounds:
        results += run.train(numbers)
        scores = _scores(results, objective, where)
        left = len(results) < len(folds)
        if rival is not None and left and rival.beats(scores, objective):
            trial.notes[DROPPED] = (
                f"{len(results)} of {len(folds)}: clearly worse than trial {rival.number} on the "
                "same folds. The score is an estimate for all folds."
            )
            break
    trial.notes[SCORES] = json.dumps([round(score, 8) for score in scores])
    tuner._tell_path(trial, run.account)
    return _means(results, objective, where, rival if DROPPED in trial.notes else None)


class _FoldRun:
    """The trainings of one trial, and the models that they leave.

    Args:
        folds: Of the search.
        tuner: Whose trial.
        trial: What is trained.
        args: As given to `search`.
        kwargs: As given to `search`.
    """

    def __init__(
        self,
        folds: Folds,
        tuner: Any,
        trial: Trial,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self.folds, self.tuner, self.trial = folds, tuner, trial
        self.args, self.kwargs = args, kwargs
        self.callbacks, self.seeds = planned_arguments(tuner, trial, kwargs)
        self.account = tuner._accounts[trial.trial_id] = training.Account()
        self.path = Path(tuner._get_checkpoint_fname(trial.trial_id))
        self.best: float | None = None
        self._notes: list[str] = []

    def train(self, numbers: Sequence[int]) -> list[Any]:
        """Trains some folds, together if there are several; what `fit` returned for each.

        Args:
            numbers: Of the folds.
        """
        kept = {fold: training.BestEpoch(self.tuner.oracle.objective) for fold in numbers}
        if len(numbers) == 1:
            results = [self._alone(fold, kept[fold]) for fold in numbers]
        else:
            parts = [self._part(fold, kept[fold]) for fold in numbers]
            results, note = self.tuner._fold_groups.train(self.tuner, parts, self.account)
            self._notes = list(dict.fromkeys([*self._notes, note]))
            self.trial.notes[NOTE] = "; ".join(self._notes)
        for fold in numbers:
            self._keep(fold, kept[fold])
        return results

    def _watched(self, fold: int, kept: training.BestEpoch) -> dict[str, Any]:
        """What watches the training of a fold."""
        own = self.tuner._deepcopy_callbacks(self.callbacks)
        self.tuner._configure_tensorboard_dir(own, self.trial, fold)
        return {
            "objective": self.tuner.oracle.objective,
            "callbacks": [*own, self.tuner._hooks(self.trial)],
            "best": kept,
            "on_epoch": functools.partial(self.tuner._epoch_ended, self.trial),
            "execution": fold,
            "from_logs": self.tuner._whose_training() is None,
        }

    def _seed(self, fold: int) -> int:
        return training.trial_seed(self.seeds[0], self.seeds[1], fold, self.seeds[2])

    def _alone(self, fold: int, kept: training.BestEpoch) -> Any:
        given, named = self.folds.arguments(fold, self.args, self.kwargs)

        def train(watched: list[Any]) -> Any:
            return self.tuner._build_and_fit_model(self.trial, *given, callbacks=watched, **named)

        with self.folds.training(fold):
            return training.watch_execution(
                train, seed=self._seed(fold), **self._watched(fold, kept)
            )

    def _part(self, fold: int, kept: training.BestEpoch) -> FoldTraining:
        """The training of a fold that may be trained together with others."""
        tuner, trial, account = self.tuner, self.trial, self.account

        def member(watched: list[Any]) -> GroupMember:
            given, named = self.folds.arguments(fold, self.args, self.kwargs)
            named["callbacks"] = watched
            model = built_for(tuner, trial, account, named)
            found = fit_arguments(tuner, trial.hyperparameters, model, given, named, trial)
            return GroupMember(model, *found, account=account)

        def alone(made: GroupMember) -> Any:
            with self.folds.training(fold):
                return tuner._trainer.fit(made.model, made.args, made.kwargs, account)

        watch = training.ExecutionWatch(**self._watched(fold, kept))
        return FoldTraining(fold, self._seed(fold), watch, member, alone)

    def _keep(self, fold: int, kept: training.BestEpoch) -> None:
        """Saves the model of a fold if it is the best so far, or a promoted trial will need it."""
        objective = self.tuner.oracle.objective
        with self.account.counted("save"):
            if self.trial.segment is not None:  # it continues each fold's own model
                path = checkpoints.of_fold(self.path, fold)
                checkpoints.save_best(self.trial, kept, path)
            score = kept.score
            if self.best is None or (score is not None and objective.better_than(score, self.best)):
                checkpoints.save_best(self.trial, kept, self.path)
                self.best = score if score is not None else self.best


def folds_of(cv: Any, executions: int) -> Folds:
    """The folds that `cv` stands for.

    Raises:
        ArgumentError: It stands for none, or executions are to be repeated beside it.
    """
    folds = Folds(cv)
    if folds and executions > 1:
        rule = "must be 1 together with cv"
        advice = "To repeat folds, give a splitter such as sklearn's RepeatedKFold."
        raise ArgumentError(wrong("executions_per_trial", rule, executions, advice))
    return folds


def first_fold(
    tuner: Any, folds: Folds, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Splits the data of a search, before its first trial.

    Returns:
        The arguments of `fit` for the first fold, to be checked; without folds, those of `search`.

    Raises:
        ArgumentError: A method of the user's runs trials, or `cv` and the data do not fit.
        DataError: The data are not arrays.
    """
    if not folds:
        return args, kwargs
    if is_overridden(tuner, "run_trial"):
        rule = "needs Afina's run_trial, which trains the folds"
        raise ArgumentError(wrong("cv", rule, f"{type(tuner).__name__}.run_trial"))
    folds.seed = tuner.oracle.seed
    folds.prepare(args, kwargs)
    if folds.are_kept(args, kwargs):
        tuner._trainer.remember(2 * len(folds))
    return folds.arguments(0, args, kwargs)


# -- means ----------------------------------------------------------------------------------------


def _histories(results: Sequence[Any]) -> list[Mapping[str, Sequence[float]]] | None:
    """The curves of all folds; None if a `fit` of the user's returned something else."""
    found = [getattr(result, "history", None) for result in results]
    return found if all(isinstance(each, Mapping) and each for each in found) else None  # type: ignore[return-value]


def _mean_curves(histories: Sequence[Mapping[str, Sequence[float]]]) -> dict[str, list[float]]:
    """Means over the folds, for the epochs that all of them have trained."""
    names = [name for name in histories[0] if all(name in each for each in histories)]
    columns = {name: list(zip(*(each[name] for each in histories), strict=False)) for name in names}
    return {name: [float(statistics.fmean(row)) for row in rows] for name, rows in columns.items()}


def _scores(results: Sequence[Any], objective: Objective, where: str) -> list[float]:
    """The objective on each fold, after the epoch at which its mean is best."""
    histories = _histories(results)
    if histories is None:
        outcomes = [read_result(result, objective, where) for result in results]
        return [float(objective.get_value(outcome.metrics)) for outcome in outcomes]
    means = Means(_mean_curves(histories), tuple(results))
    step = read_result(means, objective, where).step
    rows = [{n: v[step] for n, v in each.items() if len(v) > step} for each in histories]
    return [float(objective.get_value(row)) for row in rows]


def _means(results: Sequence[Any], objective: Objective, where: str, rival: Rival | None) -> Any:
    scores = _scores(results, objective, where)
    spread = float(statistics.stdev(scores)) if len(scores) > 1 else 0.0
    histories = _histories(results)
    if histories is None:
        metrics = dict(read_result(list(results), objective, where).metrics)
        if rival is not None:
            metrics[objective.name] = rival.estimate(scores)
        return {**metrics, f"{objective.name}{SPREAD}": spread}
    curves = _mean_curves(histories)
    if rival is not None and objective.name in curves:
        shift = rival.estimate(scores) - statistics.fmean(scores)
        curves[objective.name] = [value + shift for value in curves[objective.name]]
    for name in objective.names:
        rows = zip(*(each[name] for each in histories if name in each), strict=False)
        curves[f"{name}{SPREAD}"] = [
            float(statistics.stdev(row)) if len(row) > 1 else 0.0 for row in rows
        ]
    return Means(curves, tuple(results))


# -- dropping -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rival:
    """The best trial that was trained on all folds, with what all of them say about noise."""

    number: int
    scores: tuple[float, ...]
    """Its objective on each fold."""

    noise: float
    """Standard deviation of a trial's result on a fold, beside what trial and fold explain."""

    freedom: int
    """Degrees of freedom of `noise`; 0 if it is not known."""

    def beats(self, scores: Sequence[float], objective: Objective) -> bool:
        """Whether a trial with these scores on the first folds is clearly worse.

        A one-sided paired t-test on the same folds: how hard a fold is does not matter. The risk is
        divided by the number of looks. The larger of two estimates of the noise counts, as a bad
        configuration may be noisier than others.
        """
        count = len(scores)
        worse = [
            objective.loss(a) - objective.loss(b) for a, b in zip(scores, self.scores, strict=False)
        ]
        if count < 2 or not all(map(math.isfinite, worse)):
            return False
        mean, own = statistics.fmean(worse), statistics.stdev(worse) / math.sqrt(count)
        shared = self.noise * math.sqrt(2 / count)
        freedom = self.freedom or count - 1
        if not self.freedom and count < 3:
            return False
        error = max(own, shared)
        limit = float(student.ppf(1 - RISK / (len(self.scores) - 2 or 1), freedom))
        return mean > limit * error and mean > 0

    def estimate(self, scores: Sequence[float]) -> float:
        """The mean over all folds of a trial that was trained on the first ones: the rival's, plus
        the difference on the folds that both have."""
        first = self.scores[: len(scores)]
        return statistics.fmean(self.scores) + statistics.fmean(scores) - statistics.fmean(first)


def _rival(trials: Mapping[int, StoredTrial], objective: Objective) -> Rival | None:
    """None if no trial has been trained on all folds, or there are several objectives."""
    if isinstance(objective, MultiObjective):
        return None
    done = [
        (trial, scores)
        for trial in trials.values()
        if trial.status is Status.COMPLETED and DROPPED not in trial.notes
        for scores in [_noted(trial)]
        if scores
    ]
    if not done:
        return None
    best, own = min(
        done, key=lambda pair: (objective.loss(statistics.fmean(pair[1])), pair[0].number)
    )
    table = [scores for _, scores in done if len(scores) == len(own)]
    noise, freedom = residual(table)
    return Rival(best.number, own, noise, freedom)


def _noted(trial: StoredTrial) -> tuple[float, ...]:
    try:
        found = json.loads(trial.notes.get(SCORES, "[]"))
    except ValueError:
        return ()
    return tuple(float(score) for score in found if isinstance(score, int | float))


def residual(table: Sequence[Sequence[float]]) -> tuple[float, int]:
    """Standard deviation in a table of trials and folds that neither explains, with its degrees of
    freedom.

    Example:
        >>> residual([[0.5, 0.7], [0.6, 0.8]])[1], round(residual([[0.5, 0.7], [0.6, 0.8]])[0], 6)
        (1, 0.0)
    """
    rows, columns = len(table), len(table[0])
    freedom = (rows - 1) * (columns - 1)
    if freedom < 1:
        return 0.0, 0
    row = [statistics.fmean(each) for each in table]
    column = [statistics.fmean(each) for each in zip(*table, strict=True)]
    middle = statistics.fmean(row)
    squares = sum(
        (table[i][j] - row[i] - column[j] + middle) ** 2
        for i in range(rows)
        for j in range(columns)
    )
    return math.sqrt(squares / freedom), freedom
