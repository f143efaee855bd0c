"""Trials as runs of MLflow, nested in one run for the search."""

from __future__ import annotations

import math
import re
import time
from typing import Any

from afina.integrations.searches import Searched, needed, read_search
from afina.trials import Status, Trial

INSTALL = "afina[mlflow]"
TRIAL = "afina.trial"
"""The tag with a trial's number; the run of the search has none."""

SEARCH = "afina.search"
"""The tag with the search's name and seed."""

STATUS = {
    Status.COMPLETED: "FINISHED",
    Status.FAILED: "FAILED",
    Status.RUNNING: "RUNNING",
    Status.WAITING: "SCHEDULED",
}
_OTHER = re.compile(r"[^\w\-. :/]")
_MOST = 500  # metrics of one call, below the server's limit
_LONGEST = 5000  # characters of a parameter or tag


def log_to_mlflow(
    search: Any, *, experiment: str = "afina", tracking_uri: str | None = None
) -> str:
    """Logs a search: one run for it, and a nested run for each trial.

    A trial's run has its values as parameters, its metrics epoch by epoch, and the metrics of its
    best epoch under the names `best_...`. Call it again, also while the search runs: finished
    trials are logged once, and others when they have ended.

    Args:
        search: A tuner, a `Study`, a project's folder, or a URL.
        experiment: The name of the experiment; it is made if need be.
        tracking_uri: Where MLflow keeps runs, such as "sqlite:///mlflow.db"; None is MLflow's own
            setting.

    Returns:
        The id of the run of the search.

    Raises:
        ArgumentError: MLflow is not installed.
        StoreError: There is no search.
    """
    mlflow = needed("mlflow", INSTALL)
    client, found = mlflow.MlflowClient(tracking_uri=tracking_uri), read_search(search)
    known = client.get_experiment_by_name(experiment)
    home = known.experiment_id if known else client.create_experiment(experiment)
    mark = f"{found.name} seed {found.header.seed}"
    runs = _runs(client, home, f"tags.`{SEARCH}` = '{_quoted(mark)}'")
    parent = next((run.info.run_id for run in runs if TRIAL not in run.data.tags), None)
    if parent is None:
        tags = {SEARCH: mark, "mlflow.runName": found.name}
        parent = client.create_run(home, tags=tags).info.run_id
        client.log_param(parent, "algorithm", found.header.algorithm)
        client.log_param(parent, "objective", ", ".join(found.goals))
        client.log_param(parent, "seed", found.header.seed)
    logged = {run.data.tags[TRIAL] for run in runs if TRIAL in run.data.tags}
    for trial in found.trials:
        if trial.status.finished and str(trial.number) not in logged:
            _log(mlflow, client, home, parent, mark, found, trial)
    scores = [t for t in found.trials if t.loss is not None]
    if scores and len(found.goals) == 1:
        best = min(scores, key=lambda trial: (trial.loss, trial.number))
        client.log_metric(parent, f"best_{_name(next(iter(found.goals)))}", best.score)
        client.set_tag(parent, "afina.best_trial", str(best.number))
    if all(trial.status.finished for trial in found.trials):
        client.set_terminated(parent)
    return str(parent)


def _log(
    mlflow: Any, client: Any, home: str, parent: str, mark: str, found: Searched, trial: Trial
) -> None:
    """One trial as one run. Its tag is set last, so that a run that broke off is logged again."""
    tags = {
        "mlflow.parentRunId": parent,
        "mlflow.runName": f"trial {trial.number}",
        **{f"afina.{name}": text[:_LONGEST] for name, text in trial.notes.items()},
    }
    if trial.failure is not None:
        tags["afina.failure"] = trial.failure.message[:_LONGEST]
    safe = {_name(name): text for name, text in tags.items()}
    run = client.create_run(home, tags=safe).info.run_id
    entities = mlflow.entities
    params = [
        entities.Param(_name(name), str(value)[:_LONGEST]) for name, value in trial.values.items()
    ]
    now = int(time.time() * 1000)
    metrics = [
        entities.Metric(_name(name), value, now, step)
        for step, row in found.curves(trial).items()
        for name, value in row.items()
    ]
    metrics += [
        entities.Metric(f"best_{_name(name)}", value, now, trial.best_step or 0)
        for name, value in trial.metrics.items()
        if math.isfinite(value)
    ]
    for first in range(0, len(params), 100):
        client.log_batch(run, params=params[first : first + 100])
    for first in range(0, len(metrics), _MOST):
        client.log_batch(run, metrics=metrics[first : first + _MOST])
    client.set_tag(run, SEARCH, mark)
    client.set_tag(run, TRIAL, str(trial.number))
    client.set_terminated(run, STATUS[trial.status])


def _runs(client: Any, home: str, query: str) -> list[Any]:
    found, token = [], None
    while True:
        page = client.search_runs([home], query, max_results=1000, page_token=token)
        found += list(page)
        token = page.token
        if not token:
            return found


def _name(text: str) -> str:
    """A name that MLflow allows."""
    return _OTHER.sub("_", text)[:250] or "_"


def _quoted(text: str) -> str:
    return text.replace("'", "_")
