"""Trials as runs of MLflow, nested in one run for the search."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from afina.integrations.searches import Searched, needed, read_search
from afina.study.listeners import SearchInfo, SearchListener, describe_search
from afina.trials import Status, Trial

INSTALL = "afina[mlflow]"
TRIAL = "afina.trial"
"""The tag with a trial's number; the run of the search has none."""

SEARCH = "afina.search"
"""The tag with the search's name and seed."""

LIVE = "afina.live"
"""The tag of a run that a listener has begun: its search and trial."""

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
    home = _experiment(client, experiment)
    info = describe_search(found.name, found.header)
    mark = _mark(info)
    runs = _runs(client, home, f"tags.`{SEARCH}` = '{_quoted(mark)}'")
    parent = _parent(client, home, info, runs)
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
        **_tags(trial),
    }
    safe = {_name(name): text for name, text in tags.items()}
    run = client.create_run(home, tags=safe).info.run_id
    entities = mlflow.entities
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
    _log_values(mlflow, client, run, trial)
    for first in range(0, len(metrics), _MOST):
        client.log_batch(run, metrics=metrics[first : first + _MOST])
    client.set_tag(run, SEARCH, mark)
    client.set_tag(run, TRIAL, str(trial.number))
    client.set_terminated(run, STATUS[trial.status])


class MLflowListener(SearchListener):
    """Logs each trial to MLflow while it runs: pass it to a tuner or a `Study` as `listeners=`.

    Runs are as `log_to_mlflow` makes them, and that function adds those that are missing: of other
    processes, or of events that failed. A trial that runs again gets a new run.

    Args:
        experiment: The name of the experiment; it is made if need be.
        tracking_uri: Where MLflow keeps runs, such as "sqlite:///mlflow.db"; None is MLflow's own
            setting.

    Raises:
        ArgumentError: MLflow is not installed.
    """

    def __init__(self, *, experiment: str = "afina", tracking_uri: str | None = None) -> None:
        self._mlflow = needed("mlflow", INSTALL)
        self.experiment = experiment
        self.tracking_uri = tracking_uri
        self._open: dict[int, str] = {}  # number of a trial to its run
        self._best: float | None = None

    def on_search_begin(self, search: SearchInfo) -> None:
        """Finds or makes the run of the search."""
        self._client = self._mlflow.MlflowClient(tracking_uri=self.tracking_uri)
        self._home = _experiment(self._client, self.experiment)
        self._info, self._mark = search, _mark(search)
        query = f"tags.`{SEARCH}` = '{_quoted(self._mark)}'"
        runs = _runs(self._client, self._home, query)
        self._parent = _parent(self._client, self._home, search, runs)
        self._client.update_run(self._parent, status="RUNNING")

    def on_trial_begin(self, trial: Trial) -> None:
        """Begins a run with the trial's values."""
        if trial.attempt:
            self._end_lost(trial)
        tags = {
            "mlflow.parentRunId": self._parent,
            "mlflow.runName": f"trial {trial.number}",
            LIVE: f"{self._mark} trial {trial.number}",
        }
        run = self._client.create_run(self._home, tags=tags).info.run_id
        self._open[trial.number] = run
        _log_values(self._mlflow, self._client, run, trial)

    def _end_lost(self, trial: Trial) -> None:
        """Ends the runs of a trial whose process died."""
        query = f"tags.`{LIVE}` = '{_quoted(f'{self._mark} trial {trial.number}')}'"
        for run in _runs(self._client, self._home, query):
            if run.info.status == "RUNNING":
                self._client.set_terminated(run.info.run_id, "KILLED")

    def on_report(
        self, trial: Trial, metrics: Mapping[str, float], step: int, execution: int
    ) -> None:
        """Logs the metrics of an epoch; those of repeated trainings under a name of their own."""
        now, after = int(time.time() * 1000), f"_{execution}" if execution else ""
        rows = [
            self._mlflow.entities.Metric(_name(f"{name}{after}"), value, now, step)
            for name, value in metrics.items()
            if math.isfinite(value)
        ]
        self._client.log_batch(self._open[trial.number], metrics=rows[:_MOST])

    def on_trial_end(self, trial: Trial) -> None:
        """Ends the run with what the trial came to."""
        run, client = self._open.pop(trial.number), self._client
        for name, text in _tags(trial).items():
            client.set_tag(run, _name(name), text)
        values = {
            _name(name): value for name, value in trial.metrics.items() if math.isfinite(value)
        }
        for name, value in values.items():
            client.log_metric(run, f"best_{name}", value, step=trial.best_step or 0)
        if trial.status is Status.WAITING:  # it gets another run
            client.set_terminated(run, "FAILED")
            return
        client.set_tag(run, SEARCH, self._mark)
        client.set_tag(run, TRIAL, str(trial.number))
        client.set_terminated(run, STATUS[trial.status])
        better = trial.loss is not None and (self._best is None or trial.loss < self._best)
        if better and len(self._info.goals) == 1:
            self._best = trial.loss
            client.log_metric(self._parent, f"best_{_name(*self._info.goals)}", trial.score)
            client.set_tag(self._parent, "afina.best_trial", str(trial.number))

    def on_search_end(self) -> None:
        """Ends the run of the search."""
        for run in self._open.values():
            self._client.set_terminated(run, "KILLED")
        self._open.clear()
        self._client.set_terminated(self._parent)


def _experiment(client: Any, name: str) -> str:
    known = client.get_experiment_by_name(name)
    return str(known.experiment_id if known else client.create_experiment(name))


def _mark(search: SearchInfo) -> str:
    return f"{search.name} seed {search.seed}"


def _parent(client: Any, home: str, search: SearchInfo, runs: Sequence[Any]) -> str:
    """The run of the search, found among its runs or made."""
    for run in runs:
        if TRIAL not in run.data.tags:
            return str(run.info.run_id)
    tags = {SEARCH: _mark(search), "mlflow.runName": search.name}
    parent = str(client.create_run(home, tags=tags).info.run_id)
    client.log_param(parent, "algorithm", search.algorithm)
    client.log_param(parent, "objective", ", ".join(search.goals))
    client.log_param(parent, "seed", search.seed)
    return parent


def _tags(trial: Trial) -> dict[str, str]:
    tags = {f"afina.{name}": text[:_LONGEST] for name, text in trial.notes.items()}
    if trial.failure is not None:
        tags["afina.failure"] = trial.failure.message[:_LONGEST]
    return tags


def _log_values(mlflow: Any, client: Any, run: str, trial: Trial) -> None:
    params = [
        mlflow.entities.Param(_name(name), str(value)[:_LONGEST])
        for name, value in trial.values.items()
    ]
    for first in range(0, len(params), 100):
        client.log_batch(run, params=params[first : first + 100])


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
