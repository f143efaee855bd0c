"""The metrics of one trial as Keras Tuner's users read them: `trial.metrics`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from afina.errors import ArgumentError, wrong
from afina.trials import Direction, infer_metric_direction


class MetricObservation:
    """What was reported of one metric at one step.

    Args:
        value: One number, or one for each execution.
        step: The epoch.
    """

    def __init__(self, value: Any, step: int) -> None:
        self.value = list(value) if isinstance(value, list | tuple) else [value]
        self.step = step

    def append(self, value: Any) -> None:
        """Adds the report of one more execution."""
        self.value += list(value) if isinstance(value, list | tuple) else [value]

    def mean(self) -> float:
        """The mean over the executions."""
        return float(np.mean(self.value))

    def get_config(self) -> dict[str, Any]:
        """`value` and `step`, as JSON values."""
        return {"value": self.value, "step": self.step}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> MetricObservation:
        """The inverse of `get_config`."""
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MetricObservation):
            return NotImplemented
        return self.get_config() == other.get_config()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"MetricObservation(value={self.value}, step={self.step})"


class MetricHistory:
    """All observations of one metric.

    Args:
        direction: "min" or "max".
    """

    def __init__(self, direction: Direction = "min") -> None:
        if direction not in ("min", "max"):
            rule = '`direction` should be one of "min" and "max"'
            raise ArgumentError(wrong("metric", rule, direction))
        self.direction = direction
        self._observations: dict[int, MetricObservation] = {}

    def update(self, value: Any, step: int) -> None:
        """Adds a value at a step; a second one at the same step is another execution's."""
        if step in self._observations:
            self._observations[step].append(value)
        else:
            self._observations[step] = MetricObservation(value, step=step)

    def get_best_value(self) -> float | None:
        """The best mean over all steps, NaN never being best; None without observations."""
        means = [seen.mean() for seen in self.get_history()]
        usable = [mean for mean in means if not math.isnan(mean)]
        if not usable:
            return means[0] if means else None
        return min(usable) if self.direction == "min" else max(usable)

    def get_best_step(self) -> int | None:
        """The first step that has the best value."""
        best = self.get_best_value()
        for seen in self.get_history():
            if seen.mean() == best:
                return seen.step
        return self.get_history()[0].step if self._observations else None

    def get_last_value(self) -> float | None:
        """The mean at the last step."""
        return self.get_history()[-1].mean() if self._observations else None

    def get_history(self) -> list[MetricObservation]:
        """All observations by step."""
        return [self._observations[step] for step in sorted(self._observations)]

    def set_history(self, observations: Iterable[MetricObservation]) -> None:
        """Adds observations."""
        for seen in observations:
            self.update(seen.value, step=seen.step)

    def get_statistics(self) -> dict[str, float]:
        """min, max, mean, median, var and std over all values; empty without any."""
        values = [value for seen in self.get_history() for value in seen.value]
        if not values:
            return {}
        numbers = np.asarray(values, dtype=float)
        return {
            "min": float(np.nanmin(numbers)),
            "max": float(np.nanmax(numbers)),
            "mean": float(np.nanmean(numbers)),
            "median": float(np.nanmedian(numbers)),
            "var": float(np.nanvar(numbers)),
            "std": float(np.nanstd(numbers)),
        }

    def get_config(self) -> dict[str, Any]:
        """Direction and observations, as JSON values."""
        seen = [observation.get_config() for observation in self.get_history()]
        return {"direction": self.direction, "observations": seen}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> MetricHistory:
        """The inverse of `get_config`."""
        history = cls(config["direction"])
        history.set_history(MetricObservation.from_config(o) for o in config["observations"])
        return history


class MetricsTracker:
    """The metrics of a trial by name.

    Args:
        metrics: Metrics to register at once: names, or Keras metrics.
    """

    def __init__(self, metrics: Iterable[Any] | None = None) -> None:
        self.metrics: dict[str, MetricHistory] = {}
        for metric in metrics or ():
            name = metric if isinstance(metric, str) else metric.name
            self.register(name, infer_metric_direction(metric))

    def exists(self, name: str) -> bool:
        """Whether the metric is registered."""
        return name in self.metrics

    def register(self, name: str, direction: Direction | None = None) -> None:
        """Adds a metric; without a direction it is inferred, and "min" where unknown.

        Raises:
            ArgumentError: It is registered already, or the direction is neither min nor max.
        """
        if self.exists(name):
            raise ArgumentError(f"metric {name!r} already exists.")
        self.metrics[name] = MetricHistory(direction or infer_metric_direction(name) or "min")

    def update(self, name: str, value: Any, step: int = 0) -> bool:
        """Adds a value at a step, registering the metric where needed.

        Returns:
            Whether the metric's best value changed.
        """
        if not self.exists(name):
            self.register(name)
        before = self.metrics[name].get_best_value()
        self.metrics[name].update(value, step=step)
        return self.metrics[name].get_best_value() != before

    def get_history(self, name: str) -> list[MetricObservation]:
        """All observations of the metric by step."""
        return self._of(name).get_history()

    def set_history(self, name: str, observations: Iterable[MetricObservation]) -> None:
        """Adds observations, registering the metric where needed."""
        if not self.exists(name):
            self.register(name)
        self.metrics[name].set_history(observations)

    def get_best_value(self, name: str) -> float | None:
        """The metric's best mean over the steps."""
        return self._of(name).get_best_value()

    def get_best_step(self, name: str) -> int | None:
        """The step of the best value."""
        return self._of(name).get_best_step()

    def get_last_value(self, name: str) -> float | None:
        """The mean at the last step."""
        return self._of(name).get_last_value()

    def get_statistics(self, name: str) -> dict[str, float]:
        """min, max, mean, median, var and std over all values."""
        return self._of(name).get_statistics()

    def get_direction(self, name: str) -> str:
        """ "min" or "max"."""
        return self._of(name).direction

    def get_config(self) -> dict[str, Any]:
        """All histories, as JSON values."""
        return {"metrics": {name: history.get_config() for name, history in self.metrics.items()}}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> MetricsTracker:
        """The inverse of `get_config`."""
        tracker = cls()
        for name, history in config["metrics"].items():
            tracker.metrics[name] = MetricHistory.from_config(history)
        return tracker

    def _of(self, name: str) -> MetricHistory:
        if not self.exists(name):
            known = ", ".join(sorted(self.metrics)) or "none is registered yet"
            raise ArgumentError(wrong("Unknown metric", f"must be one of: {known}", name))
        return self.metrics[name]
