"""What the speed benchmark's figures rest on: the replay, and the sharing out of time."""

import itertools
import threading
from types import SimpleNamespace

import breakdown
import jobs
import keras
import limits
import numpy as np
import pytest
import report

import afina as kt


def recorded(parent, **values):
    return {
        "values": values,
        "epochs": 1 if parent is None else 2,
        "initial_epoch": 0 if parent is None else 1,
        "bracket": 1,
        "round": 0 if parent is None else 1,
        "parent": parent,
        "score": 0.5,
    }


class Oracle:
    def __init__(self):
        self.trials = {}

    def set(self, trial_id, status):
        self.trials[trial_id] = SimpleNamespace(trial_id=trial_id, status=status, message="boom")


def test_a_recorded_trial_waits_for_its_parent_and_lets_later_ones_go_first():
    oracle = Oracle()
    replay = jobs.Replay(oracle, [recorded(None, a=1), recorded(0, a=1), recorded(None, a=2)])
    assert replay("7")["values"]["a"] == 1
    oracle.set("7", "RUNNING")
    assert replay("8")["values"] == {
        "a": 2,
        "tuner/epochs": 1,
        "tuner/initial_epoch": 0,
        "tuner/bracket": 1,
        "tuner/round": 0,
    }
    assert replay("9") == {"status": "IDLE"}
    oracle.set("7", "COMPLETED")
    assert replay("9")["values"]["tuner/trial_id"] == "7"  # the id of this run
    assert replay("10") == {"status": "STOPPED"}
    assert replay.ids == {0: "7", 2: "8", 1: "9"}


def test_a_replay_whose_parent_failed_ends_with_the_reason():
    oracle = Oracle()
    replay = jobs.Replay(oracle, [recorded(None, a=1), recorded(0, a=1)])
    replay("0")
    oracle.set("0", "FAILED")
    with pytest.raises(RuntimeError, match="Trial 0 failed: boom"):
        replay("1")


def build(hp):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(hp.Float("rate", 1e-3, 1e-1)), "mse")
    return model


def tiny_search(folder, trials=None):
    tuner = kt.Hyperband(
        build, "val_loss", max_epochs=3, factor=3, seed=1, directory=folder, project_name="p"
    )
    if trials is not None:
        tuner.oracle.populate_space = jobs.Replay(tuner.oracle, trials)
    x = np.ones((8, 2), "float32")
    tuner.search(x, x[:, :1], validation_split=0.5, verbose=0)
    return jobs.record(tuner.oracle)


def test_a_recorded_search_is_replayed_trial_by_trial(tmp_path):
    first = tiny_search(tmp_path / "a")
    assert any(trial["parent"] is not None for trial in first)
    again = tiny_search(tmp_path / "b", first)
    for one, other in zip(first, again, strict=True):
        assert {**one, "score": None} == {**other, "score": None}


def test_each_instant_of_a_thread_belongs_to_one_part():
    spans = [
        ("train", 0.0, 10.0),
        ("compile", 1.0, 4.0),
        ("compile", 2.0, 3.0),  # traced within another trace
        ("validate", 6.0, 8.0),
        ("compile", 6.0, 7.0),
        ("build", 12.0, 14.0),
        ("compile", 12.0, 13.0),  # an initialiser
    ]
    assert breakdown.shared_out(spans) == {
        "train": 5.0,
        "compile": 4.0,
        "validate": 1.0,
        "build": 2.0,
    }


def tuner_of(*notes):
    trials = {str(place): SimpleNamespace(notes=each) for place, each in enumerate(notes)}
    return SimpleNamespace(oracle=SimpleNamespace(trials=trials))


def test_rest_is_what_no_part_claims_on_the_threads_that_work():
    main = threading.main_thread().ident
    clocks = breakdown.Clocks()
    clocks.spans = [
        (main, "build", 0.0, 0.5),  # while the tuner is made
        (main, "clear", 1.5, 2.5),  # it waits for the others
        (-1, "train", 1.0, 4.0),
        (-2, "build", 2.0, 3.0),
        (-2, "save", 5.5, 9.0),
    ]
    found = breakdown.read(clocks, tuner_of({}), 0.0, 1.0, 6.0)
    assert (found["train"], found["build"], found["save"]) == (3.0, 1.5, 0.5)
    assert found["rest"] == 1.0 + 2 * 5.0 - 5.0
    assert found["threads"] == 2


def test_trials_of_compiled_epochs_tell_their_times_themselves():
    fused = {"training": "fused", "seconds": "build 1.0, trace 0.5, compile 1.0, train 2.0"}
    clocks = breakdown.Clocks()
    clocks.spans = [(-1, "build", 0.0, 0.5), (-1, "build", 2.0, 2.5), (-1, "clear", 9.0, 9.5)]
    found = breakdown.read(clocks, tuner_of(fused, fused), 0.0, 1.0, 10.0)
    assert (found["build"], found["compile"], found["train"]) == (2.5, 3.0, 4.0)
    assert (found["clear"], found["rest"]) == (0.5, 0.0)
    plain = {"training": "fit: as asked for", "seconds": "build 1.0, fit 2.0"}
    assert breakdown.breakdown_of_afina(tuner_of(fused, plain)) is None


@pytest.mark.parametrize("job", limits.ROWS)
def test_the_limits_count_the_parameters_of_the_models(job):
    hp = kt.HyperParameters()
    model = jobs.JOBS[job].build(hp)
    sizes = limits.widths(job, hp.values)
    layers = list(itertools.pairwise(sizes))
    assert sum(a * b + b for a, b in layers) == model.count_params()


def test_what_people_wrote_into_the_page_survives(tmp_path):
    page = tmp_path / "RESULTS.md"
    page.write_text(report.document([], page).replace(report.TO_WRITE, "Two cores,\nquiet."))
    assert "Two cores,\nquiet." in report.document([], page)


def test_the_ratio_is_of_medians_and_its_range_over_pairs_of_rounds():
    def runs(*seconds):
        return [{"search_s": each} for each in seconds]

    assert report.faster(runs(40, 60), runs(10, 10)) == "5.00 (4.00 to 6.00)"
    assert report.faster(runs(40), runs(10)) == "4.00"
    assert report.faster([], runs(10)) == ""


@pytest.mark.first("CNN")
@pytest.mark.parametrize("job", ["CNN", "GRU", "TABULAR"])
def test_trials_of_a_random_search_are_drawn_once_and_are_ones_that_the_user_could_get(job):
    drawn = jobs.drawn(job, 3)
    assert drawn == jobs.drawn(job, 4)[:3]  # more trials begin with the same
    assert len({str(trial) for trial in drawn}) == 3
    for trial in drawn:
        hp = kt.HyperParameters()
        hp.values = dict(trial["values"])
        jobs.JOBS[job].build(hp)
        assert hp.values == trial["values"]
    replay = jobs.Replay(Oracle(), drawn)
    assert replay("0") == {"status": "RUNNING", "values": drawn[0]["values"]}
