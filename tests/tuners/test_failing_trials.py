"""Trials that hang or run out of memory are results with a reason: real trainings."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import keras
import pytest

import afina
from afina.run import memory_kills
from afina.trials import FailureKind
from tests.tuners import models

pytestmark = pytest.mark.filterwarnings("ignore:search. No trial has completed:UserWarning")


def searched(folder: Path, build: Any, **options: Any) -> afina.RandomSearch:
    settings = {"max_trials": 3, "seed": 1, "directory": folder, "project_name": "p"}
    fit = {"epochs": 2, "validation_split": 0.25, "verbose": 0, **options.pop("fit", {})}
    tuner = afina.RandomSearch(build, "val_loss", **{**settings, **options})
    tuner.search(*models.data(), **fit)
    return tuner


def kinds(tuner: afina.RandomSearch) -> list[FailureKind | None]:
    trials = tuner.oracle.search_state.trials.values()
    return [trial.failure.kind if trial.failure else None for trial in trials]


def test_a_trial_that_hangs_has_failed_and_the_search_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("afina.run.time_limit.GRACE", 0.05)

    def build(hp: Any) -> keras.Model:
        model = models.build(hp)
        if build.trials == 1:  # type: ignore[attr-defined]
            time.sleep(60)
        return model

    build.trials = -1  # type: ignore[attr-defined]

    class Counting(afina.RandomSearch):
        def on_trial_begin(self, trial: Any) -> None:
            build.trials += 1  # type: ignore[attr-defined]
            self.trial_timeout = 0.3 if build.trials == 1 else None
            super().on_trial_begin(trial)

    tuner = Counting(
        build,
        "val_loss",
        max_trials=3,
        seed=1,
        directory=tmp_path,
        trial_timeout=300,
        max_retries_per_trial=2,
    )
    tuner.search(*models.data(), epochs=1, validation_split=0.25, verbose=0)
    assert kinds(tuner) == [None, FailureKind.TIMEOUT, None]
    stored = tuner.oracle.search_state.trials[1]
    assert stored.attempt == 0, "it is not run again"
    assert "longer than trial_timeout=" in stored.failure.headline


def test_a_trial_whose_time_is_over_ends_after_its_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("afina.run.time_limit.GRACE", 60)
    tuner = searched(
        tmp_path,
        models.build,
        max_trials=1,
        trial_timeout=0.01,
        fit={"epochs": 50},
    )
    assert kinds(tuner) == [FailureKind.TIMEOUT]
    assert "It was ended after an epoch." in tuner.oracle.search_state.trials[0].failure.message
    assert len(tuner.oracle.search_state.history(0)) == 1


class OutOfMemory(keras.callbacks.Callback):
    """Raises as a device without room does, for batches above a size."""

    def __init__(self, most: int, error: BaseException) -> None:
        super().__init__()
        self.most, self.error = most, error

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        rows = -(-72 // self.params["steps"])
        if rows > self.most:
            raise self.error


NO_ROOM = RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate on GPU")


@pytest.mark.first("error0-given0", "error1-given1")
@pytest.mark.parametrize("given", [{"batch_size": 16}, {}])
@pytest.mark.parametrize("error", [NO_ROOM, MemoryError("no room")])
def test_a_trial_without_memory_is_tried_once_more_with_half_the_batch_if_asked(
    tmp_path: Path, given: dict[str, int], error: BaseException
) -> None:
    size = given.get("batch_size", 32)
    fit = {**given, "callbacks": [OutOfMemory({16: 12, 32: 20}[size], error)]}
    tuner = searched(tmp_path, models.build, max_trials=1, halve_batch_on_oom=True, fit=fit)
    assert kinds(tuner) == [None]
    [trial] = tuner.oracle.search_state.trials.values()
    assert trial.notes["batch_size"] == f"{size // 2}, half of {size}: memory ran out"
    assert trial.attempt == 0


@pytest.mark.parametrize(
    ("halve", "most"), [(False, 12), (True, 4)], ids=["not asked for", "half is too large, too"]
)
def test_a_trial_without_memory_fails_with_the_device_as_its_reason(
    tmp_path: Path, halve: bool, most: int
) -> None:
    fit = {"batch_size": 16, "callbacks": [OutOfMemory(most, NO_ROOM)]}
    options = {"halve_batch_on_oom": halve, "max_trials": 1}
    tuner = searched(tmp_path, models.build, fit=fit, **options)
    assert kinds(tuner) == [FailureKind.DEVICE_OUT_OF_MEMORY]
    message = tuner.oracle.search_state.trials[0].failure.message
    assert "The device (GPU or TPU) ran out of memory." in message


def test_the_systems_count_of_processes_killed_for_memory_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vmstat, events = tmp_path / "vmstat", tmp_path / "events"
    vmstat.write_text("nr_free_pages 1\noom_kill 3\n")
    monkeypatch.setattr(memory_kills, "VMSTAT", vmstat)
    monkeypatch.setattr(memory_kills, "EVENTS", events)
    assert memory_kills.memory_kills() == 3
    events.write_text("low 0\noom_kill 2\n")
    assert memory_kills.memory_kills() == 5
    vmstat.unlink()
    events.unlink()
    assert memory_kills.memory_kills() is None


class Killing(afina.RandomSearch):
    """Whose trials of one number are killed in their process, as the system does."""

    count: Path

    def on_epoch_end(self, trial: Any, model: Any, epoch: int, logs: Any = None) -> None:
        if trial.trial_id == "0" and epoch == 0:
            text = self.count.read_text()
            if int(text.split()[1]) < 2:
                self.count.write_text(f"oom_kill {int(text.split()[1]) + 1}")
                os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.service
def test_a_process_killed_for_memory_is_told_from_one_killed_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = tmp_path / "vmstat"
    count.write_text("oom_kill 0")
    monkeypatch.setattr("afina.run.memory_kills.VMSTAT", count)
    options = {"max_trials": 2, "seed": 1, "directory": tmp_path}
    tuner = Killing(models.build, "val_loss", executor="processes", workers=1, **options)
    tuner.count = count
    tuner.search(*models.data(), epochs=1, validation_split=0.25, verbose=0)
    assert kinds(tuner) == [FailureKind.OUT_OF_MEMORY, None]
    assert tuner.oracle.search_state.trials[0].attempt == 1, "the first time may be others' fault"


def hang_without_python(*_: Any) -> None:
    import ctypes

    ctypes.PyDLL(None).sleep(120)


class Hanging(afina.RandomSearch):
    def on_epoch_end(self, trial: Any, model: Any, epoch: int, logs: Any = None) -> None:
        if trial.trial_id == "0":
            hang_without_python()


@pytest.mark.service
def test_a_process_whose_trial_hangs_in_compiled_code_is_ended(tmp_path: Path) -> None:
    options = {"max_trials": 2, "seed": 1, "directory": tmp_path, "trial_timeout": 8.0}
    tuner = Hanging(models.build, "val_loss", executor="processes", workers=1, **options)
    tuner.search(*models.data(), epochs=1, validation_split=0.25, verbose=0)
    assert kinds(tuner) == [FailureKind.TIMEOUT, None]
    assert "Its process was ended." in tuner.oracle.search_state.trials[0].failure.message
