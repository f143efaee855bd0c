"""`Oracle.trials`: a dict that users put trials into, however long the search."""

import copy
import pickle

import pytest

import afina as kt
from afina.tuners.face_trials import FaceTrials, TrialIds


def oracle_in(folder):
    hp = kt.HyperParameters()
    hp.Float("x", 0.0, 1.0)
    goal = kt.Objective("score", "max")
    made = kt.oracles.RandomSearchOracle(goal, max_trials=100, seed=0, hyperparameters=hp)
    made._set_project_dir(folder, "p")
    return made


def run(oracle, count):
    for _ in range(count):
        trial = oracle.create_trial("one")
        oracle.update_trial(trial.trial_id, {"score": 0.5})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)


def entered(x, trial_id):
    hp = kt.HyperParameters()
    hp.Float("x", 0.0, 1.0)
    hp.values["x"] = x
    trial = kt.engine.trial.Trial(hp, trial_id, "COMPLETED")
    trial.metrics.register("score", "max")
    trial.metrics.update("score", 0.9)
    return trial


def test_a_trial_looks_at_new_ids_only(tmp_path, monkeypatch):
    looked = []
    really = TrialIds.strangers
    monkeypatch.setattr(
        TrialIds, "strangers", lambda self, ids: really(self, looked.append(len(ids)) or ids)
    )
    oracle = oracle_in(tmp_path)
    run(oracle, 30)
    assert len(oracle.trials) == 30
    assert max(looked) == 1


ENTRIES = {
    "by key": lambda trials, trial: trials.__setitem__(trial.trial_id, trial),
    "setdefault": lambda trials, trial: trials.setdefault(trial.trial_id, trial),
    "update": lambda trials, trial: trials.update({trial.trial_id: trial}),
    "or": lambda trials, trial: trials.__ior__({trial.trial_id: trial}),
}


@pytest.mark.parametrize("enter", ENTRIES.values(), ids=ENTRIES)
def test_a_trial_is_found_however_it_is_put_in(enter, tmp_path):
    oracle = oracle_in(tmp_path)
    run(oracle, 2)
    enter(oracle.trials, entered(0.25, "mine"))
    assert oracle.get_best_trials()[0].trial_id == "mine"


def test_a_score_that_fails_hides_no_other_trial(tmp_path, monkeypatch):
    oracle = oracle_in(tmp_path)
    run(oracle, 1)
    oracle.trials["mine"] = entered(0.25, "mine")
    oracle.trials["other"] = entered(0.75, "other")

    def score_trial(trial):
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(oracle, "score_trial", score_trial)
        with pytest.raises(ZeroDivisionError):
            oracle.create_trial("one")
    assert oracle.get_best_trials()[0].trial_id == "other"


def test_copies_are_dicts_that_know_what_is_new():
    trials = FaceTrials(a=1)
    for made in (copy.copy(trials), copy.deepcopy(trials), pickle.loads(pickle.dumps(trials))):
        assert made == {"a": 1}
        assert made.entered() == ["a"]
