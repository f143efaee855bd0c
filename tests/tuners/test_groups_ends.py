"""Trials that are trained together and end early: stopped, failed, interrupted."""

import signal
import threading

import keras
import numpy as np
import pytest

import afina as kt
from tests.tuners.grouped import (
    assert_same,
    grid,
    like,
    notes,
    random_search,
    search,
    trials,
    trials_of,
)


class Stops(keras.callbacks.Callback):
    """Ends trainings of a high rate early."""

    def on_epoch_end(self, epoch, logs=None):
        if float(self.model.optimizer.learning_rate) > 0.01:
            self.model.stop_training = True


def test_one_that_stops_early_leaves_the_others_alone(tmp_path):
    found = {}
    for count in (1, 3):
        tuner = random_search(tmp_path, f"p{count}", group_trials=count)
        found[count] = trials_of(search(tuner, epochs=4, callbacks=[Stops()]))
    assert {len(curves) for *_, curves in found[3]} == {1, 4}
    assert notes(tuner) == ["3 together"] * 3
    assert_same(found[1], found[3])


class Breaks(keras.callbacks.Callback):
    """Makes the loss NaN, or raises, where the rate is high."""

    def __init__(self, error=None):
        super().__init__()
        self.error = error

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1 and float(self.model.optimizer.learning_rate) > 0.01:
            if self.error is not None:
                raise self.error
            self.model.layers[0].kernel.assign(np.full((6, 5), np.nan))


@pytest.mark.parametrize("error", [None, ValueError("as told")])
def test_one_that_fails_fails_alone(error, tmp_path):
    found = {}
    for count in (1, 3):
        tuner = random_search(tmp_path, f"p{count}", group_trials=count)
        found[count] = trials_of(search(tuner, epochs=3, callbacks=[Breaks(error)]))
    failed = [t for t in tuner.oracle.trials.values() if t.status == "FAILED"]
    assert 1 <= len(failed) <= 2
    assert all(("as told" if error else "Diverged in epoch 2") in t.message for t in failed)
    assert notes(tuner) == ["3 together"] * 3
    assert_same(found[1], found[3])


def test_what_a_build_raises_fails_its_trial_only(tmp_path):
    def make(hp):
        if hp.Choice("kind", [0, 1, 2]) == 1:
            raise ZeroDivisionError("one")
        return like(hp)

    tuner = search(grid(tmp_path, make))
    ends = {t.hyperparameters.get("kind"): t.status for t in trials(tuner)}
    assert ends == {0: "COMPLETED", 1: "FAILED", 2: "COMPLETED"}
    assert [t.notes.get("group") for t in trials(tuner)] == ["2 together", None, "2 together"]


def test_a_decision_to_stop_reaches_its_trial_only(tmp_path, monkeypatch):
    from afina.trials import Decision

    told = []
    tuner = random_search(tmp_path)
    report = tuner.oracle.report_epoch

    def decide(trial_id, execution, epoch, metrics):
        report(trial_id, execution, epoch, metrics)
        told.append((trial_id, epoch))
        return Decision.STOP if trial_id == "1" else Decision.CONTINUE

    monkeypatch.setattr(tuner.oracle, "report_epoch", decide)
    search(tuner, epochs=3)
    assert told == [("0", 0), ("1", 0), ("2", 0), ("0", 1), ("2", 1), ("0", 2), ("2", 2)]


class Interrupts(keras.callbacks.Callback):
    """As code of the user's may, or as Ctrl-C does."""

    def __init__(self, *, by_signal):
        super().__init__()
        self.by_signal = by_signal

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1 and self.by_signal:
            signal.raise_signal(signal.SIGINT)
        elif epoch == 1:
            raise KeyboardInterrupt


def test_an_interrupted_search_goes_on_with_the_same_trials(tmp_path):
    straight = trials_of(search(random_search(tmp_path, "straight", max_trials=5)))
    before = threading.active_count()
    for by_signal in (False, True):
        callback = Interrupts(by_signal=by_signal)
        with pytest.raises(KeyboardInterrupt):
            search(random_search(tmp_path, max_trials=5), epochs=10**6, callbacks=[callback])
        assert threading.active_count() == before
    assert_same(straight, trials_of(search(random_search(tmp_path, max_trials=5))))


def test_an_interrupt_in_a_build_ends_the_batch_at_once(tmp_path):
    built = []

    def make(hp):
        built.append(hp)
        if len(built) == 2:
            raise KeyboardInterrupt
        return like(hp)

    tuner = random_search(tmp_path, make=make)
    built.clear()
    with pytest.raises(KeyboardInterrupt):
        search(tuner)
    assert len(built) == 2


def test_an_error_that_ends_the_search_keeps_the_trials_of_its_batch(tmp_path):
    from afina.errors import FatalValueError

    def make(hp):
        if hp.Choice("kind", [0, 1, 2, 3]) == 1:
            raise FatalValueError("no")
        return like(hp)

    hps = kt.HyperParameters()
    hps.Fixed("rate", 0.01)
    tuner = kt.RandomSearch(
        make, "val_loss", max_trials=4, hyperparameters=hps, group_trials=4, directory=tmp_path
    )
    with pytest.raises(FatalValueError, match="no"):
        search(tuner)
    done = [t.notes["group"] for t in tuner.oracle.trials.values() if t.status == "COMPLETED"]
    assert done == ["3 together"] * 3
