"""Trials as runs of Weights & Biases, in one group; offline by default."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from afina.integrations.searches import STATES, needed, read_search
from afina.study.listeners import SearchInfo, SearchListener
from afina.trials import Trial

INSTALL = "afina[wandb]"


def log_to_wandb(
    search: Any,
    *,
    project: str = "afina",
    group: str | None = None,
    mode: str = "offline",
    folder: str | Path | None = None,
) -> list[str]:
    """Logs each finished trial as a run.

    A run has the trial's values as its config, its metrics epoch by epoch, and the metrics of its
    best epoch as its summary. The id of a run follows from the search and the trial's number, so
    that logging again replaces it.

    Args:
        search: A tuner, a `Study`, a project's folder, or a URL.
        project: Where the runs belong.
        group: Groups the runs; None takes the search's name.
        mode: "offline" writes files, which `wandb sync` uploads; "online" uploads at once.
        folder: Where the files lie; None is `WANDB_DIR`, else the working directory.

    Returns:
        The ids of the runs.

    Raises:
        ArgumentError: wandb is not installed.
        StoreError: There is no search.
    """
    wandb, found = needed("wandb", INSTALL), read_search(search)
    place = _place(folder)
    ids = []
    for trial in found.trials:
        if not trial.status.finished:
            continue
        run = wandb.init(
            project=project,
            group=group or found.name,
            name=f"trial {trial.number}",
            id=_id(found.name, found.header.seed, trial),
            job_type=STATES[trial.status],
            config=dict(trial.values),
            notes=None if trial.failure is None else trial.failure.headline,
            mode=mode,
            dir=place,
            resume="allow" if mode == "online" else None,
            reinit="finish_previous",
        )
        for step, row in found.curves(trial).items():
            run.log(row, step=step)
        best = {name: value for name, value in trial.metrics.items() if math.isfinite(value)}
        run.summary.update({**best, "status": STATES[trial.status]})
        ids.append(str(run.id))
        run.finish(exit_code=int(trial.failure is not None))
    return ids


class WandbListener(SearchListener):
    """Logs each trial to Weights & Biases while it runs: one run a trial, as `log_to_wandb` makes.

    Pass it to a tuner or a `Study` as `listeners=[WandbListener()]`. Several trials may run at
    once. A trial that runs again has its run replaced.

    Args:
        project: Where the runs belong.
        group: Groups the runs; None takes the search's name.
        mode: "offline" writes files, which `wandb sync` uploads; "online" uploads at once.
        folder: Where the files lie; None is `WANDB_DIR`, else the working directory.

    Raises:
        ArgumentError: wandb is not installed.
    """

    def __init__(
        self,
        *,
        project: str = "afina",
        group: str | None = None,
        mode: str = "offline",
        folder: str | Path | None = None,
    ) -> None:
        self._wandb = needed("wandb", INSTALL)
        self.project, self.group, self.mode = project, group, mode
        self.folder = _place(folder)
        self._runs: dict[int, Any] = {}

    def on_search_begin(self, search: SearchInfo) -> None:
        """Remembers what the runs are called by."""
        self._info = search

    def on_trial_begin(self, trial: Trial) -> None:
        """Begins a run with the trial's values as its config."""
        self._runs[trial.number] = self._wandb.init(
            project=self.project,
            group=self.group or self._info.name,
            name=f"trial {trial.number}",
            id=_id(self._info.name, self._info.seed, trial),
            config=dict(trial.values),
            mode=self.mode,
            dir=self.folder,
            resume="allow" if self.mode == "online" else None,
            reinit="create_new",
        )

    def on_report(
        self, trial: Trial, metrics: Mapping[str, float], step: int, execution: int
    ) -> None:
        """Logs the metrics of an epoch; those of repeated trainings under a name of their own."""
        row = {f"{name}_{execution}": value for name, value in metrics.items()}
        run = self._runs[trial.number]
        # Steps of a run go up: a repeated training counts its epochs in a metric of its own.
        if execution:
            run.log({**row, f"epoch_{execution}": step})
        else:
            run.log(dict(metrics), step=step)

    def on_trial_end(self, trial: Trial) -> None:
        """Ends the run with the best epoch as its summary."""
        run = self._runs.pop(trial.number)
        best = {name: value for name, value in trial.metrics.items() if math.isfinite(value)}
        run.summary.update({**best, "status": STATES[trial.status]})
        if trial.failure is not None:
            run.notes = trial.failure.headline
        run.finish(exit_code=int(trial.failure is not None))

    def on_search_end(self) -> None:
        """Ends the runs of trials that were interrupted."""
        for run in self._runs.values():
            run.finish(exit_code=1)
        self._runs.clear()


def _id(name: str, seed: int, trial: Trial) -> str:
    safe = "".join(each if each.isalnum() or each in "-_" else "-" for each in name)
    return f"{safe}-{seed}-{trial.number}"


def _place(folder: str | Path | None) -> str:
    """Where the files lie. Without a folder, wandb would take the one of the process' first run."""
    return str(folder or os.environ.get("WANDB_DIR") or Path.cwd())
