"""Trials whose worker seems to be gone."""

from typing import Any

import pytest

from afina.errors import StoreError
from afina.search import Random
from afina.space import HyperParameters
from afina.store import MemoryStore
from afina.study.sharing import PAUSE, WorkerShare
from afina.study.state import SearchState
from afina.trials import Objective, Report, Status, Trial


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


class Forgetful(MemoryStore):
    """A database server that has crashed: it has forgotten trials that were running."""

    anew = False

    def forget(self, *numbers: int) -> None:
        for number in numbers:
            for kept in (self._kept.trials, self._kept.revisions, self._kept.claims):
                kept.pop(number)
        self.anew = True

    def turn(self, work: Any, since: int | None) -> Any:
        def whole(changes: Any) -> Any:
            found = self.news(None)
            changes.trials, changes.mine, changes.reports = found.trials, found.mine, None
            changes.whole = True
            return work(changes)

        anew, self.anew = self.anew, False
        return super().turn(whole if anew else work, since)


def test_running_trials_that_a_server_has_forgotten_keep_their_numbers() -> None:
    store = Forgetful()
    other, state = search(MemoryStore(beside=store)), search(store)
    state.max_trials = other.max_trials = 4
    first = state.next()
    assert isinstance(first, Trial)
    state.complete(first, {"loss": 0.5})
    theirs, ours = other.next(), state.next()
    assert isinstance(theirs, Trial)
    assert isinstance(ours, Trial)
    store.forget(theirs.number, ours.number)
    again = state.next()
    assert isinstance(again, Trial)
    assert (again.number, again.values) == (theirs.number, theirs.values)
    assert [trial.status for trial in store.trials()] == [Status.COMPLETED] + [Status.RUNNING] * 2
    state.complete(again, {"loss": 0.25})
    state.complete(ours, {"loss": 0.75})
    assert [trial.score for trial in store.trials()] == [0.5, 0.25, 0.75]


class Breaking(MemoryStore):
    """Loses its connection while a turn reads or writes."""

    broken = ""

    def turn(self, work: Any, since: int | None) -> Any:
        def whole(changes: Any) -> Any:
            news = self.news(None)
            changes.whole, changes.trials, changes.mine = True, news.trials, news.mine
            return work(changes)

        return super().turn(whole if self.broken else work, since)

    def history(self, number: int | None = None) -> list[Report]:
        if self.broken == "history":
            raise StoreError("gone")
        return super().history(number)

    def put(self, trial: Trial) -> None:
        if self.broken == "put":
            raise StoreError("gone")
        super().put(trial)


@pytest.mark.parametrize("part", ["history", "put"])
def test_what_was_being_learnt_when_a_connection_broke_is_learnt_in_the_next_turn(
    part: str,
) -> None:
    store = Breaking()
    other, state = search(MemoryStore(beside=store)), search(store)
    state.max_trials = other.max_trials = 6
    mine = state.next()
    assert isinstance(mine, Trial)
    for loss in (0.5, 0.25):  # begun and ended since the last turn
        theirs = other.next()
        assert isinstance(theirs, Trial)
        other.complete(theirs, {"loss": loss})
    store.broken = part
    with pytest.raises(StoreError):
        state.next()
    store.broken = ""
    state.complete(mine, {"loss": 0.75})
    assert [trial.ended for trial in store.trials()] == [2, 0, 1]
    assert [trial.score for trial in state.trials.values()] == [0.75, 0.5, 0.25]


class Claimed(MemoryStore):
    """Counts the looks at who runs which trial."""

    looks = 0

    def claims(self) -> Any:
        self.looks += 1
        return super().claims()


def test_a_search_with_many_trials_elsewhere_looks_for_dead_workers_once_in_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("afina.study.sharing.time.monotonic", lambda: now)
    store = Claimed()
    share = WorkerShare(store)
    gone = {number: Trial(number=number, values={}) for number in range(5)}  # nobody holds them
    few = dict(list(gone.items())[:4])
    for _ in range(2):  # each time
        assert [trial.number for trial, _ in share.newly_lost(few)] == [0, 1, 2, 3]
    now += 1.0
    assert len(list(share.newly_lost(gone))) == 5
    looks = store.looks
    assert not list(share.newly_lost(gone)), "it has just looked"
    assert store.looks == looks
    now += PAUSE
    assert len(list(share.newly_lost(gone))) == 5
