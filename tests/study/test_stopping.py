"""Where a search stops: every limit leads to one reason."""

import pytest

import afina as kt
from afina.errors import SearchFailedError
from afina.search import Grid, Random
from afina.space import HyperParameters
from afina.store import MemoryStore
from afina.study import Budget, SearchState
from afina.trials import Failure, FailureKind, Objective, Trial

BROKEN = Failure(FailureKind.ERROR, "it broke")


def make(**kwargs):
    hp = HyperParameters()
    hp.Int("n", 1, 4)
    return SearchState(
        algorithm=kwargs.pop("algorithm", Random(seed=0)),
        objective=Objective("loss", "min"),
        hp=hp,
        store=MemoryStore(),
        seed=0,
        **kwargs,
    )


def run(search):
    """Three epochs a trial."""
    while isinstance(trial := search.next(), Trial):
        assert search.stop_reason is None, "it runs"
        for epoch in range(3):
            search.report(trial, {"loss": 1.0}, epoch)
        search.complete(trial, {"loss": 1.0})


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"max_trials": 2}, "max_trials=2 trials have been run"),
        ({"budget": Budget(epochs=4)}, "max_total_epochs=4 epochs have been trained"),
        ({"budget": Budget(seconds=1e-9)}, "time_budget=1e-09 seconds are over"),
        ({"algorithm": Grid()}, "all 4 combinations have been tried"),
    ],
)
def test_a_limit_that_is_reached_becomes_the_reason(limits, reason):
    search = make(**limits)
    assert search.stop_reason is None
    run(search)
    assert search.stop_reason == reason


def test_failures_in_a_row_become_the_reason_until_the_search_continues():
    search = make(max_consecutive_failed=2)
    for _ in range(2):
        search.fail(search.next(), BROKEN, retry=False)
    with pytest.raises(SearchFailedError, match="exceeded the limit of 2"):
        search.check_failures()
    assert search.stop_reason == "2 trials in a row have failed"
    search.complete(search.next(), {"loss": 1.0})
    search.check_failures()
    assert search.stop_reason is None


def test_a_higher_limit_takes_the_reason_back():
    search = make(max_trials=1)
    run(search)
    search.max_trials = 2
    assert isinstance(search.next(), Trial)
    assert search.stop_reason is None


class Own(kt.Oracle):
    def populate_space(self, trial_id):
        return {"status": "STOPPED"}


def test_an_oracle_tells_the_reason_of_its_search():
    oracle = kt.oracles.RandomSearch("val_loss", max_trials=2, max_consecutive_failed_trials=2)
    oracle.hyperparameters.Int("n", 1, 4)
    assert "nothing more" in oracle.stop_reason
    for _ in range(2):
        trial = oracle.create_trial("me")
        trial.status = "COMPLETED"
        oracle.update_trial(trial.trial_id, {"val_loss": 1.0})
        oracle.end_trial(trial)
    assert oracle.create_trial("me").status == "STOPPED"
    assert (
        oracle.stop_reason == oracle.search_state.stop_reason == "max_trials=2 trials have been run"
    )
    assert Own("val_loss").create_trial("me").status == "STOPPED"


def test_an_oracle_tells_that_its_trials_fail():
    oracle = kt.oracles.RandomSearch("val_loss", max_trials=9, max_consecutive_failed_trials=1)
    oracle.hyperparameters.Int("n", 1, 4)
    trial = oracle.create_trial("me")
    trial.status = "FAILED"
    with pytest.raises(SearchFailedError):
        oracle.end_trial(trial)
    assert oracle.stop_reason == "1 trials in a row have failed"
