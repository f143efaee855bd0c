"""The trial object of Keras Tuner's users: mutable, with the old attribute names."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from afina import html_tables
from afina.space import HyperParameters
from afina.trials import Failure, Report
from afina.trials.text import printable
from afina.tuners.metrics_tracking import MetricObservation, MetricsTracker
from afina.tuners.reserved_keys import PlannedSegment, segment_of


class TrialStatus:
    """The states of a trial as Keras Tuner's users compare them."""

    RUNNING = "RUNNING"
    IDLE = "IDLE"
    INVALID = "INVALID"
    STOPPED = "STOPPED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class Trial:
    """One run of one configuration.

    Args:
        hyperparameters: The configuration.
        trial_id: None makes a random one of 32 hexadecimal digits.
        status: One of `TrialStatus`.
        message: Why it failed.

    Attributes:
        metrics: `MetricsTracker`, the metrics at the best epoch.
        score: The objective, None until completed.
        best_step: The epoch of the score.
        history: Every epoch's metrics of every execution (`afina.trials.Report`), filled when
            the trial has ended.
        notes: Facts for people about how the trial was trained.
    """

    def __init__(
        self,
        hyperparameters: HyperParameters,
        trial_id: str | None = None,
        status: str = TrialStatus.RUNNING,
        message: str | None = None,
    ) -> None:
        self.hyperparameters = hyperparameters
        self.trial_id = uuid.uuid4().hex if trial_id is None else trial_id
        self.metrics = MetricsTracker()
        self.score: float | None = None
        self.best_step: int | None = None
        self.status = status
        self.message = message
        self.history: list[Report] = []
        self.notes: dict[str, str] = {}
        self.failure: Failure | None = None

    @property
    def segment(self) -> PlannedSegment | None:
        """What to train, and from where, if the search trains models in parts; else None."""
        return segment_of(self.hyperparameters.values)

    def summary(self) -> None:
        """Prints the hyperparameters, the score, and why it failed."""
        print(f"Trial {self.trial_id} summary")
        print("Hyperparameters:")
        self.display_hyperparameters()
        if self.score is not None:
            print(f"Score: {self.score}")
        if self.message is not None:
            print(printable(self.message, lines=True))

    def display_hyperparameters(self) -> None:
        """Prints one line a hyperparameter."""
        if not self.hyperparameters.values:
            print("default configuration")
        for name, value in self.hyperparameters.values.items():
            print(printable(f"{name}: {value}"))

    def get_state(self) -> dict[str, Any]:
        """Everything about the trial, as JSON values."""
        return {
            "trial_id": self.trial_id,
            "hyperparameters": self.hyperparameters.get_config(),
            "metrics": self.metrics.get_config(),
            "score": self.score,
            "best_step": self.best_step,
            "status": self.status,
            "message": self.message,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """The inverse of `get_state`."""
        self.trial_id = state["trial_id"]
        self.hyperparameters = HyperParameters.from_config(state["hyperparameters"])
        self.metrics = MetricsTracker.from_config(state["metrics"])
        self.score = state["score"]
        self.best_step = state["best_step"]
        self.status = state["status"]
        self.message = state.get("message")

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Trial:
        """A trial made of what `get_state` returned."""
        trial = cls(hyperparameters=HyperParameters())
        trial.set_state(state)
        return trial

    def save(self, path: str | Path) -> None:
        """Writes the state to a JSON file."""
        Path(path).write_text(json.dumps(self.get_state(), default=_plain), encoding="utf-8")

    def reload(self, path: str | Path) -> None:
        """Takes over what `save` wrote."""
        self.set_state(json.loads(Path(path).read_text(encoding="utf-8")))

    @classmethod
    def load(cls, path: str | Path) -> Trial:
        """Reads what `save` wrote."""
        return cls.from_state(json.loads(Path(path).read_text(encoding="utf-8")))

    def observe(self, metrics: Mapping[str, float], step: int) -> None:
        """Replaces the tracked metrics by the values at one step."""
        for name, value in metrics.items():
            if not self.metrics.exists(name):
                self.metrics.register(name)
            self.metrics.metrics[name].set_history([MetricObservation(value, step)])

    def _repr_html_(self) -> str:
        """For notebooks: how it ended, and its hyperparameters."""
        score = "" if self.score is None else f", score {html_tables.escaped(self.score)}"
        name, status = html_tables.escaped(self.trial_id), html_tables.escaped(self.status)
        why = f"<p>{html_tables.escaped(self.failure.headline)}</p>" if self.failure else ""
        head = f"<p><b>Trial {name}</b>: {status}{score}</p>{why}"
        rows = self.hyperparameters.values.items()
        return head + html_tables.table(("hyperparameter", "value"), rows)

    def __repr__(self) -> str:
        return f"Trial({self.trial_id!r}, {self.status}, score={self.score})"


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)
