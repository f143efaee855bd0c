"""From the reports of epochs to the curve of a training: the objective after each epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from afina.store import TrialStore
from afina.trials import Objective, Report, Trial

Steps = dict[int, Mapping[str, float]]

LONGEST = 10_000
"""Epochs. Who reports steps beyond it counts something else than epochs, and gets no curve."""


class Curves:
    """What trainings have reported, epoch by epoch, of the last attempt of each trial.

    Args:
        objective: A curve is made of its values.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self._reports: dict[int, tuple[int, dict[int, Steps]]] = {}  # attempt, execution, step

    def add(self, report: Report) -> None:
        """Takes a report; one of the same step replaces the earlier, a new attempt all of them."""
        attempt, executions = self._reports.get(report.trial, (-1, {}))
        if report.attempt > attempt:
            executions = {}
            self._reports[report.trial] = (report.attempt, executions)
        if report.attempt >= attempt:
            executions.setdefault(report.execution, {})[report.step] = report.metrics

    def curve(self, trial: Trial, execution: int | None = None) -> tuple[float, ...]:
        """The loss after each epoch from the trial's first on, to the last that was reported.

        Args:
            trial: The trial.
            execution: One training's; None for the mean over all of them.

        Returns:
            NaN where an epoch reported no objective; empty where no epoch reported one, and where
            there are more than `LONGEST`.
        """
        if trial.number not in self._reports:
            return ()
        losses = self._losses(trial, execution)
        last = max(losses, default=-1)
        return tuple(
            losses.get(step, math.nan)
            for step in range(trial.start_epoch, last + 1 if last <= LONGEST else 0)
        )

    def best(self, trial: Trial) -> tuple[int, dict[str, float]] | None:
        """The epoch of the lowest loss and all metrics there, mean over the executions.

        The last epoch if no objective is a number; None if no epoch has reported one.
        """
        losses = self._losses(trial)
        if not losses:
            return None
        numbers = [(loss, step) for step, loss in losses.items() if not math.isnan(loss)]
        step = min(numbers)[1] if numbers else max(losses)
        rows = [steps[step] for steps in self._of(trial).values() if step in steps]
        names = [name for name in rows[0] if all(name in row for row in rows)]
        return step, {name: math.fsum(row[name] for row in rows) / len(rows) for name in names}

    def forget(self, trial: Trial) -> None:
        """Lets go of the trial's reports."""
        self._reports.pop(trial.number, None)

    def _losses(self, trial: Trial, execution: int | None = None) -> dict[int, float]:
        """The loss of each epoch that has reported one, as `curve` has it."""
        losses: dict[int, list[float]] = {}
        for number, steps in self._of(trial).items():
            for step, metrics in steps.items():
                wanted = execution is None or number == execution
                if wanted and step >= trial.start_epoch and self.objective.has_value(metrics):
                    value = self.objective.loss(self.objective.get_value(metrics))
                    losses.setdefault(step, []).append(value)
        return {step: math.fsum(each) / len(each) for step, each in losses.items()}

    def _of(self, trial: Trial) -> dict[int, Steps]:
        attempt, executions = self._reports.get(trial.number, (trial.attempt, {}))
        return executions if attempt == trial.attempt else {}


def as_they_ended(
    finished: Sequence[Trial],
    store: TrialStore,
    objective: Objective,
    reports: Sequence[Report] | None = None,
) -> Iterator[Trial]:
    """Stored trials as they were when they ended: a store keeps metrics, not what follows.

    Args:
        finished: Trials of the store.
        store: Holds their reports.
        objective: The search's.
        reports: Those of these trials, and maybe of others; None asks the store.
    """
    curves = Curves(objective)
    one = finished[0].number if len(finished) == 1 else None
    if reports is None:
        reports = store.history(one) if finished else ()
    for report in reports:
        curves.add(report)
    for trial in finished:
        curve = curves.curve(trial)
        curves.forget(trial)
        losses = objective.losses(trial.metrics)
        follows = bool(curve or losses)  # many report no epochs, and have one objective
        yield replace(trial, curve=curve, losses=losses) if follows else trial
