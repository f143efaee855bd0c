"""Trials whose worker seems to be gone."""

from typing import Any

from afina.search import Random
from afina.space import HyperParameters
from afina.store import MemoryStore
from afina.study.state import SearchState
from afina.trials import Objective, Status, Trial


def search(store: Any) -> SearchState:
    hp = HyperParameters()
    hp.Float("x", 0.0, 1.0)
    options = {"objective": Objective("loss", "min"), "seed": 0, "max_trials": 2}
    return SearchState(algorithm=Random(seed=0), hp=hp, store=store, **options)


class Woken(MemoryStore):
    """Writes only after the other worker has shown life again."""

    other: MemoryStore

    def put(self, trial: Trial) -> None:
        self.other.beat()
        super().put(trial)


def test_a_worker_that_wakes_up_while_its_trial_is_given_away_keeps_it() -> None:
    theirs = MemoryStore()
    hung = search(theirs)
    trial = hung.next()
    assert isinstance(trial, Trial)
    ours = Woken(beside=theirs)
    ours.other = theirs
    state = search(ours)
    kept = theirs._kept.claims
    kept[0] = (kept[0][0], -1e9)  # it has been silent for long
    following = state.next()
    assert isinstance(following, Trial)
    assert (following.number, following.attempt) == (1, 0)
    state.complete(following, {"loss": 1.0})
    hung.complete(trial, {"loss": 0.5})
    assert [each.status for each in theirs.trials()] == [Status.COMPLETED] * 2
    assert [each.attempt for each in theirs.trials()] == [0, 0]
