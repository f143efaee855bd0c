"""Trials for TensorBoard's HParams page, on any backend: TensorFlow is not needed."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from afina.integrations.searches import Searched, needed, read_search
from afina.space import Boolean, Choice, Fixed, HyperParameter
from afina.study.listeners import SearchListener
from afina.trials import Status, Trial

INSTALL = "afina[tensorboard]"
STATUS = {Status.COMPLETED: 1, Status.FAILED: 2, Status.RUNNING: 3, Status.WAITING: 0}
"""TensorBoard's numbers: success, failure, running, unknown."""


def write_hparams(search: Any, logdir: str | Path) -> Path:
    """Writes a search for the HParams page: `tensorboard --logdir LOGDIR`.

    The page gets every hyperparameter and every metric of the search, those that were discovered
    late included, and each trial's curves. Files of an earlier call are replaced.

    Args:
        search: A tuner, a `Study`, a project's folder, or a URL. It may still be running.
        logdir: The folder to write to; each trial has a folder in it.

    Returns:
        The folder.

    Raises:
        ArgumentError: The package tensorboard is not installed.
        StoreError: There is no search.
    """
    found, folder = read_search(search), Path(logdir)
    writer = needed("tensorboard.summary.writer.event_file_writer", INSTALL)
    protos = _Protos()
    curves = {trial.number: found.curves(trial) for trial in found.trials}
    names = dict.fromkeys(found.goals)
    for trial in found.trials:
        names.update(dict.fromkeys(trial.metrics))
        for row in curves[trial.number].values():
            names.update(dict.fromkeys(row))
    _write(writer, folder, [protos.experiment(found, list(names))], "experiment", wall=_NOW)
    for trial in found.trials:
        events = [protos.start(_texts(found, trial), trial)]
        for step, row in curves[trial.number].items():
            events += [protos.scalar(name, value, step) for name, value in row.items()]
        last = max(curves[trial.number], default=0)
        rows = {name: value for name, value in trial.metrics.items() if math.isfinite(value)}
        # The page shows the last value: that of the best epoch.
        events += [protos.scalar(name, value, last + 1) for name, value in rows.items()]
        events.append(protos.end(trial))
        _write(writer, folder / f"trial_{trial.number}", events, "trial", wall=_NOW)
    return folder


_NOW = time.time


def _write(writer: Any, folder: Path, events: list[Any], kind: str, wall: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("events.out.tfevents.*"):
        old.unlink()
    out = writer.EventFileWriter(str(folder), filename_suffix=f".{kind}")
    for event in events:
        event.wall_time = wall()
        out.add_event(event)
    out.close()


class TensorBoardListener(SearchListener):
    """Writes each trial's curves and values while it runs: `tensorboard --logdir LOGDIR`.

    Pass it to a tuner or a `Study` as `listeners=`. The HParams page shows the hyperparameters that
    some trial has had; call `write_hparams` when the search is over for those with their ranges.

    Args:
        logdir: The folder to write to; each trial has a folder in it.

    Raises:
        ArgumentError: The package tensorboard is not installed.
    """

    def __init__(self, logdir: str | Path) -> None:
        self.logdir = Path(logdir)
        self._writer = needed("tensorboard.summary.writer.event_file_writer", INSTALL)
        self._protos = _Protos()
        self._open: dict[int, tuple[Any, int]] = {}

    def on_trial_begin(self, trial: Trial) -> None:
        """Begins the files of a trial, in place of those of an earlier attempt."""
        folder = self.logdir / f"trial_{trial.number}"
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        writer = self._writer.EventFileWriter(str(folder), filename_suffix=".trial")
        self._open[trial.number] = writer, 0
        self._add(writer, self._protos.start({}, trial))

    def on_report(
        self, trial: Trial, metrics: Mapping[str, float], step: int, execution: int
    ) -> None:
        """Writes the metrics of an epoch; those of repeated trainings under a name of their own."""
        writer, last = self._open[trial.number]
        self._open[trial.number] = writer, max(last, step)
        after = f"_{execution}" if execution else ""
        for name, value in metrics.items():
            self._add(writer, self._protos.scalar(f"{name}{after}", value, step))
        writer.flush()

    def on_trial_end(self, trial: Trial) -> None:
        """Ends the files with the best epoch, which is what the page shows."""
        writer, last = self._open.pop(trial.number)
        for name, value in trial.metrics.items():
            if math.isfinite(value):
                self._add(writer, self._protos.scalar(name, value, last + 1))
        self._add(writer, self._protos.end(trial))
        writer.close()

    def on_search_end(self) -> None:
        """Closes the files of trials that were interrupted."""
        for writer, _ in self._open.values():
            writer.close()
        self._open.clear()

    @staticmethod
    def _add(writer: Any, event: Any) -> None:
        event.wall_time = _NOW()
        writer.add_event(event)


class _Protos:
    """TensorBoard's messages."""

    def __init__(self) -> None:
        proto = "tensorboard.compat.proto"
        self.event = needed(f"{proto}.event_pb2", INSTALL).Event
        self.summary = needed(f"{proto}.summary_pb2", INSTALL)
        self.api = needed("tensorboard.plugins.hparams.api_pb2", INSTALL)
        self.data = needed("tensorboard.plugins.hparams.plugin_data_pb2", INSTALL)
        self.metadata = needed("tensorboard.plugins.hparams.metadata", INSTALL)

    def scalar(self, name: str, value: float, step: int) -> Any:
        """One number of a curve."""
        part = self.summary.Summary.Value(tag=name, simple_value=value)
        return self.event(step=step, summary=self.summary.Summary(value=[part]))

    def experiment(self, found: Searched, metrics: list[str]) -> Any:
        """All hyperparameters and metrics that the page has columns for."""
        experiment = self.api.Experiment(name=found.name, time_created_secs=time.time())
        seen: dict[str, Any] = {}
        for entry in found.space:
            if entry.name not in seen:
                seen[entry.name] = self._info(entry)
        experiment.hparam_infos.extend(seen.values())
        for name in metrics:
            metric = self.api.MetricName(tag=name)
            experiment.metric_infos.append(self.api.MetricInfo(name=metric))
        return self._plugin(self.metadata.EXPERIMENT_TAG, experiment=experiment)

    def _info(self, entry: HyperParameter) -> Any:
        info = self.api.HParamInfo(name=entry.name)
        texts = not isinstance(entry, Boolean) and any(
            isinstance(value, str) or value is None for value in entry.values
        )
        kinds = self.api.DataType
        if isinstance(entry, Boolean):
            info.type = kinds.Value("DATA_TYPE_BOOL")
            info.domain_discrete.extend([True, False])
        elif texts:
            info.type = kinds.Value("DATA_TYPE_STRING")
            info.domain_discrete.extend([str(value) for value in entry.values])
        else:
            info.type = kinds.Value("DATA_TYPE_FLOAT64")
            if isinstance(entry, Choice | Fixed):
                info.domain_discrete.extend([float(value) for value in entry.values])
            else:
                values = [float(value) for value in (entry.min_value, entry.max_value)]  # type: ignore[attr-defined]
                info.domain_interval.min_value, info.domain_interval.max_value = values
        return info

    def start(self, texts: Mapping[str, bool], trial: Trial) -> Any:
        """A trial's values; those of `texts` are written as texts."""
        info = self.data.SessionStartInfo(
            group_name=f"trial {trial.number}", start_time_secs=time.time()
        )
        for name, value in trial.values.items():
            if isinstance(value, bool):
                info.hparams[name].bool_value = value
            elif name in texts or not isinstance(value, int | float):
                info.hparams[name].string_value = str(value)
            else:
                info.hparams[name].number_value = float(value)
        return self._plugin(self.metadata.SESSION_START_INFO_TAG, session_start_info=info)

    def end(self, trial: Trial) -> Any:
        """How it ended."""
        info = self.data.SessionEndInfo(status=STATUS[trial.status], end_time_secs=time.time())
        return self._plugin(self.metadata.SESSION_END_INFO_TAG, session_end_info=info)

    def _plugin(self, tag: str, **parts: Any) -> Any:
        data = self.data.HParamsPluginData(version=self.metadata.PLUGIN_DATA_VERSION, **parts)
        about = self.metadata.create_summary_metadata(data)
        value = self.summary.Summary.Value(
            tag=tag, metadata=about, tensor=self.metadata.NULL_TENSOR
        )
        return self.event(summary=self.summary.Summary(value=[value]))


def _texts(found: Searched, trial: Trial) -> Mapping[str, bool]:
    """Names whose column holds texts, because one of the values is a text or None."""
    return {
        entry.name: True
        for entry in found.space
        if isinstance(entry, Choice)
        and any(isinstance(value, str) or value is None for value in entry.values)
        and entry.name in trial.values
    }
