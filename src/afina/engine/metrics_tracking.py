"""Keras Tuner's module path `engine.metrics_tracking`: a trial's metrics."""

from afina.trials import infer_metric_direction
from afina.tuners.metrics_tracking import MetricHistory, MetricObservation, MetricsTracker

__all__ = ["MetricHistory", "MetricObservation", "MetricsTracker", "infer_metric_direction"]
