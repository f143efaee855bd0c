"""Trials in worker processes, with real models and real deaths."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cloudpickle
import keras
import numpy as np
import pytest

import afina as kt
from afina import training
from afina.errors import ArgumentError, FatalError
from afina.progress import EpochEnded, Message
from afina.run import Signal, Threads, worker_index
from afina.trials import FailureKind
from afina.tuners.remote import RemoteTrials, keras_processes
from afina.tuners.trial import TrialStatus
from tests.tuners import models
from tests.tuners.models import picture

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def pool():
    """Two processes for all tests: starting Keras takes seconds."""
    cloudpickle.register_pickle_by_value(models)
    with keras_processes(2) as processes:
        yield processes
    cloudpickle.unregister_pickle_by_value(models)


@pytest.fixture
def place(tmp_path):
    return {"directory": tmp_path, "project_name": "p", "seed": 3}


def search(tuner, pool, *args, workers=2, **kwargs):
    """What `BaseTuner.search` does, but for the processes that the test lends."""
    kwargs = {"verbose": 0, **kwargs}

    def next_trial():
        with training.python_turn.held():
            trial = tuner.oracle.create_trial(f"tuner{worker_index()}")
        if trial.status == TrialStatus.STOPPED:
            return Signal.STOP
        return Signal.WAIT if trial.status == TrialStatus.IDLE else trial

    def work(trial):
        with training.python_turn.held():
            tuner.on_trial_begin(trial)
            remote.run(trial)
            tuner.on_trial_end(trial)

    with RemoteTrials(tuner, workers, args, kwargs, pool=pool) as remote:
        Threads(workers, stop=remote.stop).run(next_trial, work)
    tuner.oracle.study.close()
    return tuner


def data():
    x, y = models.data(rows=600, columns=6)
    return np.tile(x, (10, 1)), np.tile(y, 10)  # large enough to be mapped


@pytest.mark.parametrize(
    "make",
    [
        lambda **where: kt.RandomSearch(
            models.build, "val_loss", max_trials=2, executions_per_trial=2, **where
        ),
        lambda **where: kt.Hyperband(models.build, "val_loss", max_epochs=3, factor=3, **where),
    ],
    ids=["random", "hyperband"],
)
def test_the_curves_are_those_of_a_search_in_one_process(tmp_path, pool, make):
    x, y = data()
    fit = {"epochs": 2, "validation_split": 0.25, "batch_size": 500, "verbose": 0}
    where = {"directory": tmp_path, "seed": 3, "training": "fit"}
    alone = make(project_name="alone", workers=1, **where)
    alone.search(x, y, **fit)
    together = search(make(project_name="together", **where), pool, x, y, **fit)
    assert picture(together) == picture(alone)
    assert all(trial[0] == "COMPLETED" and trial[-1] for trial in picture(together))
    assert len(together.get_best_models(2)) == 2


class Own(kt.RandomSearch):
    """Does without training; what `run_trial` does is the test's business."""

    def __init__(self, run, **where):
        self.run = run
        goal = kt.Objective("score", "max")
        super().__init__(lambda hp: hp.Float("x", 0.0, 1.0), goal, max_trials=3, **where)

    def _build_for_space(self, hp):
        self.hypermodel.build(hp)

    def run_trial(self, trial, *args, **kwargs):
        return self.run(self, trial, *args, **kwargs)


def test_what_a_subclass_overrides_runs_in_the_process(pool, place):
    def run(self, trial, *args, **kwargs):
        trial.notes["process"] = str(os.getpid())
        trial.notes["given"] = f"{args} {kwargs}"
        return {"score": self.hypermodel.build(trial.hyperparameters), "other": 1.0}

    tuner = search(Own(run, **place), pool, 7, extra="8")
    trials = list(tuner.oracle.trials.values())
    assert str(os.getpid()) not in {trial.notes["process"] for trial in trials}
    assert all(trial.notes["given"] == "(7,) {'verbose': 0, 'extra': '8'}" for trial in trials)
    assert [trial.score for trial in trials] == [trial.hyperparameters["x"] for trial in trials]
    assert {trial.metrics.get_best_value("other") for trial in trials} == {1.0}


def test_the_oracle_is_asked_at_home(pool, place):
    def run(self, trial, **kwargs):
        oracle, number = self.oracle, int(trial.trial_id)
        facts = [
            oracle.objective.name,
            oracle.seed == oracle.study.seed == 3,
            oracle.study.trials[number].retries,
            len(oracle.study.stream(number)),
            oracle.max_trials,
            [each.trial_id for each in oracle.get_completed_trials(9)],
            trial.trial_id in oracle.trials,
            list(oracle.get_space().values),
            len(oracle.study.store.trials()),
            repr(oracle.study),
            hasattr(oracle, "nothing"),
            len(self.get_best_hyperparameters()),
        ]
        with pytest.raises(KeyError):
            oracle.get_trial("nobody")
        oracle.mark = trial.trial_id
        oracle.report_epoch(trial.trial_id, 0, 0, {"score": 0.75})
        trial.notes["facts"] = repr(facts)
        return {"score": 0.25}

    tuner = search(Own(run, **place), pool, workers=1)
    assert [trial.notes["facts"] for trial in tuner.oracle.trials.values()] == [
        repr(
            [
                *("score", True, 0, 2, 3, [str(n) for n in range(number)], True, ["x"]),
                *(number + 1, "<oracle.study of the searching process>", False, min(number, 1)),
            ]
        )
        for number in range(3)
    ]
    assert tuner.oracle.mark == "2"
    assert tuner.oracle.study.history(0)[0].metrics == {"score": 0.75}


def test_metrics_reported_by_hand_are_seen_on_both_sides(pool, place):
    def run(self, trial, **kwargs):
        for step, score in enumerate([0.5, 0.25, 0.75]):
            returned = self.oracle.update_trial(trial.trial_id, {"score": score}, step=step)
        assert returned is trial
        assert trial.metrics.get_best_value("score") == 0.75

    tuner = search(Own(run, **place), pool)
    for trial in tuner.oracle.trials.values():
        assert (trial.status, trial.score, trial.best_step) == ("COMPLETED", 0.75, 2)
        assert [report.metrics["score"] for report in trial.history] == []
        reports = tuner.oracle.study.history(int(trial.trial_id))
        assert [report.metrics["score"] for report in reports] == [0.5, 0.25, 0.75]


def test_what_a_build_came_to_comes_back(pool, place):
    def build(hp):
        if hp.Boolean("deep", default=True):
            hp.Int("layers", 2, 4)
        return models.build(hp)

    def run(self, trial, **kwargs):
        build(trial.hyperparameters)
        return trial.hyperparameters.values["units"] * 1.0

    tuner = search(Own(run, **place), pool)
    assert {"x", "deep", "units"} <= {entry.name for entry in tuner.oracle.get_space().space}
    for trial in tuner.oracle.trials.values():
        assert trial.score == trial.hyperparameters.values["units"]


def test_a_failed_trial_is_a_result_with_the_reason_of_its_process(pool, place):
    def run(self, trial, **kwargs):
        if trial.trial_id == "1":
            raise ValueError("no such layer")
        return 1.0

    tuner = search(Own(run, **place), pool)
    trials = tuner.oracle.trials
    assert [trials[n].status for n in "012"] == ["COMPLETED", "FAILED", "COMPLETED"]
    assert trials["1"].failure.kind is FailureKind.ERROR
    assert 'raise ValueError("no such layer")' in trials["1"].message


def test_a_fatal_error_ends_the_search(pool, place):
    def run(self, trial, **kwargs):
        raise FatalError("no disk")

    tuner = Own(run, **place)
    with pytest.raises(FatalError, match="no disk"):
        search(tuner, pool)


def test_what_cannot_travel_is_said_before_the_first_trial(pool, place):
    class Locked(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.lock = threading.Lock()

    tuner = kt.RandomSearch(models.build, "val_loss", max_trials=2, **place)
    with pytest.raises(ArgumentError, match=r"fit_kwargs\['callbacks'\]\[0\].lock.*workers=1"):
        search(tuner, pool, callbacks=[Locked()])
    tuner.hypermodel.lock = threading.Lock()
    with pytest.raises(ArgumentError, match=r"tuner.hypermodel.lock: "):
        search(tuner, pool)
    assert tuner.oracle.trials == {}


def test_things_that_refer_to_the_tuner_travel_with_it(pool, place):
    class Friend:
        def __init__(self, tuner):
            self.tuner, self.oracle = tuner, tuner.oracle

    def run(self, trial, friend, **kwargs):
        assert friend.tuner is self
        assert friend.oracle is self.oracle
        return 1.0

    tuner = Own(run, **place)
    search(tuner, pool, Friend(tuner))
    assert tuner.oracle.trials["0"].status == "COMPLETED"


def test_data_are_mapped_and_not_copied(pool, place):
    class Model(kt.HyperModel):
        def build(self, hp):
            return models.build(hp)

        def fit(self, hp, model, x, y, **kwargs):
            assert type(x) is np.ndarray
            assert isinstance(x.base, np.memmap)
            assert not isinstance(y, np.memmap)
            return {"val_loss": float(x.sum())}

    x, y = data()
    tuner = kt.RandomSearch(Model(), "val_loss", max_trials=2, **place)
    search(tuner, pool, x, y)
    assert [t.score for t in tuner.oracle.trials.values()] == [float(x.sum())] * 2


class Recorder:
    def __init__(self):
        self.events = []

    def handle(self, event):
        self.events.append(event)


def test_epochs_are_shown_at_home_and_a_message_once(pool, place):
    def run(self, trial, **kwargs):
        self._show(Message("something to know"))
        for epoch in range(2):
            self._epoch_ended(trial, 0, epoch, {"score": 1.0})
        return 1.0

    tuner = Own(run, **place)
    tuner._display = recorder = Recorder()
    search(tuner, pool)
    epochs = [(e.number, e.epoch) for e in recorder.events if isinstance(e, EpochEnded)]
    assert sorted(epochs) == [(number, epoch) for number in range(3) for epoch in range(2)]
    assert recorder.events.count(Message("something to know")) == 1


def test_settings_of_the_searching_process_are_taken_along(pool, place, tmp_path, monkeypatch):
    def run(self, trial, **kwargs):
        trial.notes["settings"] = repr(
            (keras.config.dtype_policy().name, keras.config.epsilon(), os.getcwd())
        )
        return 1.0

    epsilon = keras.config.epsilon()
    monkeypatch.chdir(tmp_path)
    keras.config.set_dtype_policy("mixed_bfloat16")
    keras.config.set_epsilon(1e-3)
    try:
        tuner = search(Own(run, **place), pool)
    finally:
        keras.config.set_dtype_policy("float32")
        keras.config.set_epsilon(epsilon)
    expected = repr(("mixed_bfloat16", 1e-3, str(tmp_path)))
    assert {t.notes["settings"] for t in tuner.oracle.trials.values()} == {expected}


# -- death ----------------------------------------------------------------------------------------


class Deadly(kt.RandomSearch):
    """Its trial 1 kills its process in the middle of a training, `deaths` times."""

    def __init__(self, deaths, **where):
        self.deaths = deaths
        super().__init__(models.build, "val_loss", max_trials=3, training="fit", **where)

    def on_epoch_end(self, trial, model, epoch, logs=None):
        died = Path(self.project_dir, "deaths")
        if trial.trial_id == "1" and epoch == 1:
            before = len(died.read_text()) if died.exists() else 0
            if before < self.deaths:
                died.write_text("x" * (before + 1))
                os.kill(os.getpid(), signal.SIGKILL)


FIT = {"epochs": 3, "validation_split": 0.25, "batch_size": 500, "verbose": 0}


def test_a_trial_whose_process_is_killed_is_run_again_with_the_same_result(tmp_path, pool):
    x, y = data()
    where = {"directory": tmp_path, "seed": 3}
    calm = search(Deadly(0, project_name="calm", **where), pool, x, y, **FIT)
    tuner = search(Deadly(1, project_name="deadly", **where), pool, x, y, **FIT)
    assert picture(tuner) == picture(calm)
    stored = tuner.oracle.study.trials[1]
    assert (stored.attempt, stored.retries) == (1, 0)
    assert "process that trained it had died" in tuner.oracle.trials["1"].notes["lost_worker"]
    reports = tuner.oracle.study.store.history(1)
    assert [(r.attempt, r.step) for r in reports] == [(0, 0), (1, 0), (1, 1), (1, 2)]


def test_a_trial_that_kills_its_process_each_time_fails_and_the_search_goes_on(pool, place):
    x, y = data()
    tuner = search(Deadly(9, **place), pool, x, y, **FIT)
    trials = tuner.oracle.trials
    assert [trials[n].status for n in "012"] == ["COMPLETED", "FAILED", "COMPLETED"]
    assert trials["1"].failure.kind is FailureKind.LOST_WORKER
    assert "SIGKILL" in trials["1"].message


INTERRUPTED = """
import os, sys, time
import keras
import afina as kt
from afina.run import Signal, Threads, worker_index
from afina.tuners.remote import RemoteTrials

@keras.saving.register_keras_serializable("mine")
class Layer(keras.layers.Layer):
    pass

class Slow(kt.RandomSearch):
    def run_trial(self, trial, **kwargs):
        known = keras.saving.get_custom_objects()["mine>Layer"]
        assert keras.saving.get_registered_name(known) == "mine>Layer"
        while self.slow:
            self._epoch_ended(trial, 0, 0, {"score": 1.0})
            if trial.trial_id == "1":
                self.oracle.begun = True
            time.sleep(0.05)
        return 1.0

def build(hp):
    hp.Int("n", 1, 100)
    model = keras.Sequential([keras.Input((1,)), Layer(), keras.layers.Dense(1)])
    model.compile(loss="mse")
    return model

goal = kt.Objective("score", "max")
tuner = Slow(build, goal, max_trials=3, directory=sys.argv[1], project_name="p", seed=0)
tuner.slow = sys.argv[2] == "slow"

def next_trial():
    trial = tuner.oracle.create_trial(f"tuner{worker_index()}")
    return {"STOPPED": Signal.STOP, "IDLE": Signal.WAIT}.get(trial.status, trial)

def work(trial):
    line = f"begins {trial.trial_id} {trial.hyperparameters.values}\\n"
    os.write(1, line.encode())  # whole, whoever else prints
    remote.run(trial)
    tuner.on_trial_end(trial)

workers = 2 if tuner.slow else 1
with RemoteTrials(tuner, workers) as remote:
    Threads(workers, stop=remote.stop).run(next_trial, work)
print("done", [t.status for t in tuner.oracle.trials.values()], flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_ends_the_processes_and_the_trials_are_run_again(tmp_path):
    (tmp_path / "script.py").write_text(INTERRUPTED)

    def start(how):
        return subprocess.Popen(
            [sys.executable, "script.py", str(tmp_path), how],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    with start("slow") as child:
        try:
            begun = [child.stdout.readline() for _ in range(2)]
            time.sleep(0.5)  # into the start of the processes, or the trials: both must do
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=30)
        finally:
            child.kill()
    assert all(line.startswith("begins") for line in begun)
    assert (out, child.returncode) == ("", -signal.SIGINT)
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert err.count("Traceback") == 1
    with start("quick") as again:
        out, err = again.communicate(timeout=60)
    lines = out.splitlines()
    assert (again.returncode, err) == (0, "")
    assert lines[0].startswith("Reloading Tuner")
    assert {line + "\n" for line in lines[1:3]} == set(begun), "the same trials come first"
    assert lines[-1] == "done ['COMPLETED', 'COMPLETED', 'COMPLETED']"
