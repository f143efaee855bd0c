"""`listeners=`: other tools follow each trial while it runs."""

import threading

import keras
import numpy as np
import pytest

import afina
from afina.errors import ArgumentError
from afina.search import Random
from afina.study import SearchListener
from afina.trials import Status

X = np.random.default_rng(0).normal(size=(16, 2)).astype("float32")
Y = X.sum(axis=1)


class Heard(SearchListener):
    """Writes down what it is told, and in which thread."""

    def __init__(self):
        self.told, self.threads, self.info = [], set(), None

    def _hear(self, *event):
        self.told.append(event)
        self.threads.add(threading.current_thread())

    def on_search_begin(self, search):
        self.info = search
        self._hear("begin")

    def on_trial_begin(self, trial):
        self._hear("trial", trial.number, trial.attempt)

    def on_report(self, trial, metrics, step, execution):
        self._hear("report", trial.number, execution, step, sorted(metrics))

    def on_trial_end(self, trial):
        self._hear("end", trial.number, trial.status)

    def on_search_end(self):
        self._hear("over")


class Broken(SearchListener):
    def on_report(self, trial, metrics, step, execution):
        raise ConnectionError("no server")


def study(listeners, **options):
    hp = afina.HyperParameters()
    hp.Float("x", 0.0, 1.0)
    goal = afina.Objective("loss", "min")
    return afina.Study(hp, objective=goal, algorithm=Random(), listeners=listeners, **options)


def train(trial):
    for step in range(2):
        trial.report({"loss": trial.values["x"] - step, "other": 1.0}, step)
    if trial.number == 1 and trial.attempt == 0:
        raise RuntimeError("once")


def test_a_listener_of_a_study_is_told_each_trial_in_order(tmp_path):
    heard = Heard()
    search = study([heard], store=tmp_path / "mine", max_retries=1, max_trials=2, seed=3)
    search.optimize(train)
    reports = [[("report", n, 0, step, ["loss", "other"]) for step in range(2)] for n in (0, 1)]
    assert heard.told == [
        ("begin",),
        ("trial", 0, 0),
        *reports[0],
        ("end", 0, Status.COMPLETED),
        ("trial", 1, 0),
        *reports[1],
        ("end", 1, Status.WAITING),
        ("trial", 1, 1),
        *reports[1],
        ("end", 1, Status.COMPLETED),
        ("over",),
    ]
    assert (heard.info.name, heard.info.seed, dict(heard.info.goals)) == (
        "mine",
        3,
        {"loss": "min"},
    )
    assert threading.main_thread() not in heard.threads
    assert len(heard.threads) == 1


def test_a_listener_that_fails_warns_once_and_ends_no_search():
    heard = Heard()
    search = study([Broken(), heard], max_trials=4)
    with pytest.warns(UserWarning, match=r"Broken.on_report failed: .*no server") as warned:
        search.optimize(lambda trial: trial.report({"loss": 1.0}, 0))
    assert len(warned) == 1
    assert all(trial.status is Status.COMPLETED for trial in search.trials.values())
    assert sum(event[0] == "end" for event in heard.told) == 4


def test_by_ask_and_tell_and_in_threads_all_is_told():
    heard = Heard()
    search = study([heard], max_trials=2)
    trial = search.ask()
    trial.report(0.5, 0)
    search.tell(trial)
    search.close()
    assert [event[0] for event in heard.told] == ["begin", "trial", "report", "end", "over"]
    many = Heard()
    study([many], max_trials=6).optimize(lambda trial: 1.0, executor="threads")
    assert sorted(event[1] for event in many.told if event[0] == "end") == list(range(6))


def build(hp):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(hp.Float("rate", 0.01, 0.1)), "mse")
    return model


@pytest.mark.parametrize("cv", [None, 2])
def test_a_listener_of_a_tuner_hears_epochs_and_folds_whatever_is_shown(cv, tmp_path):
    heard = Heard()
    tuner = afina.RandomSearch(
        build,
        "loss" if cv is None else "val_loss",
        max_trials=1,
        seed=0,
        cv=cv,
        directory=tmp_path,
        project_name="shown",
        listeners=[heard],
    )
    tuner.search(X, Y, epochs=2, verbose=0)
    kinds = [event[0] for event in heard.told]
    assert kinds == ["begin", "trial", *["report"] * 2 * (cv or 1), "end", "over"]
    folds = [event[2] for event in heard.told if event[0] == "report"]
    assert folds == ([0, 0] if cv is None else [0, 0, 1, 1])
    assert heard.info.name == "shown"
    tuner.oracle.max_trials = 2
    tuner.search(X, Y, epochs=1, verbose=0)  # a second search is told as well
    assert heard.told[-1] == ("over",)
    assert kinds.count("begin") == 1
    assert [event[1] for event in heard.told if event[0] == "trial"] == [0, 1]


@pytest.mark.parametrize("wrong", [3, [3], SearchListener, SearchListener()])
def test_what_is_no_list_of_listeners_is_refused(wrong):
    with pytest.raises(ArgumentError, match="must be a list of SearchListener objects"):
        study(wrong)
