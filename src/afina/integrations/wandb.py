"""Trials as runs of Weights & Biases, in one group; offline by default."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from afina.integrations.searches import STATES, needed, read_search

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
    safe = "".join(each if each.isalnum() or each in "-_" else "-" for each in found.name)
    # Without a folder, wandb would take the one of the process' first run.
    place = folder or os.environ.get("WANDB_DIR") or Path.cwd()
    ids = []
    for trial in found.trials:
        if not trial.status.finished:
            continue
        run = wandb.init(
            project=project,
            group=group or found.name,
            name=f"trial {trial.number}",
            id=f"{safe}-{found.header.seed}-{trial.number}",
            job_type=STATES[trial.status],
            config=dict(trial.values),
            notes=None if trial.failure is None else trial.failure.headline,
            mode=mode,
            dir=str(place),
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
