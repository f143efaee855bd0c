"""`tuner.enqueue`: every tuner tries what its user asks for, whoever runs the trials."""

import pytest

import afina
from afina.errors import ArgumentError
from afina.run import Threads
from afina.search import PopulationBasedTraining
from afina.study.requests import Requests
from afina.trials.trial import QUEUED
from afina.tuners import BaseTuner

ASKED = {"units": 40, "rate": 0.03}


def build(hp):
    hp.Int("units", 8, 64, step=8)
    hp.Float("rate", 1e-3, 1e-1, sampling="log")


def scoring(kind):
    class Scoring(kind):
        """Scores without training."""

        def run_trial(self, trial, *args, **kwargs):
            values = trial.hyperparameters.values
            return abs(values["units"] - 30) + values["rate"]

    return Scoring


TUNERS = {
    "random": (afina.RandomSearch, {"max_trials": 6}),
    "grid": (afina.GridSearch, {"max_trials": 6}),
    "bayesian": (afina.BayesianOptimization, {"max_trials": 6, "num_initial_points": 2}),
    "hyperband": (afina.Hyperband, {"max_epochs": 9}),
    "auto": (afina.AutoTuner, {"max_trials": 6, "max_epochs": 9}),
    "population": (
        afina.AutoTuner,
        {
            "max_trials": 6,
            "algorithm": PopulationBasedTraining(max_epochs=9, interval=3, population=2),
        },
    ),
}


def tuner(name, folder, **options):
    kind, own = TUNERS[name]
    return scoring(kind)(
        build,
        objective=afina.Objective("default_objective", "min"),
        directory=folder,
        seed=3,
        **{**own, **options},
    )


def asked(search):
    trials = search.oracle.search_state.trials.values()
    return [t for t in trials if QUEUED in t.notes]


@pytest.mark.parametrize("executor", ["serial", Threads(2)], ids=["serial", "threads"])
@pytest.mark.parametrize("name", TUNERS)
def test_each_tuner_tries_what_it_is_asked_for(name, executor, tmp_path):
    search = tuner(name, tmp_path, executor=executor)
    first = search.enqueue(ASKED)
    assert (first.status, first.trial_id) == ("IDLE", search.oracle.id_of(0))
    Requests(search.oracle.search_state.store).ask_try({"units": 16})
    search.search(verbose=0)
    assert [t.values["units"] for t in asked(search)] == [40, 16]
    assert first.status == "COMPLETED"
    assert first.hyperparameters.values["rate"] == 0.03
    if name != "hyperband":
        assert len(search.oracle.trials) == 6


@pytest.mark.parametrize(
    ("values", "says"),
    [({"unit": 8}, "must name"), ({"units": 9}, "must be a value"), ([8], "must be a list")],
)
def test_a_wrong_configuration_is_refused_at_the_door(values, says, tmp_path):
    search = tuner("random", tmp_path)
    with pytest.raises(ArgumentError, match=f"enqueue.*{says}"):
        search.enqueue(values)
    assert not search.oracle.trials


def test_what_was_asked_for_waits_for_the_next_start_of_the_script(tmp_path):
    before = tuner("hyperband", tmp_path)
    before.enqueue(ASKED)
    again = tuner("hyperband", tmp_path)
    assert again.enqueue(ASKED, skip_if_exists=True).trial_id == again.oracle.id_of(0)
    again.search(verbose=0)
    (trial,) = asked(again)
    assert (trial.schedule.rung, trial.schedule.start_epoch) == (0, 0)


def test_an_oracle_of_ones_own_gives_way_to_what_was_asked_for(tmp_path):
    class Fixed(afina.Oracle):
        def populate_space(self, trial_id):
            return {"status": "RUNNING", "values": {"units": 8, "rate": 0.01}}

    class Own(BaseTuner):
        def run_trial(self, trial, *args, **kwargs):
            return float(trial.hyperparameters["units"])

    search = Own(Fixed(max_trials=3), build, directory=tmp_path)
    search.enqueue(ASKED)
    search.search(verbose=0)
    units = [t.values["units"] for t in search.oracle.search_state.trials.values()]
    assert units == [40, 8, 8]
