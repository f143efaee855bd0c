"""What a store for several workers must keep, as checks that anybody can run on their own.

    from afina.testing import check_shared_store

    def test_my_store_can_be_shared():
        check_shared_store(MyStore, lambda store: MyStore(same_place_as=store))

Each check takes a new, empty store and a function that gives another worker's store of the same
search.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from afina.errors import LostLeaseError
from afina.store import Changes, Header, SharedStore
from afina.trials import Report, Status, Trial

R = TypeVar("R")
Join = Callable[[SharedStore], SharedStore]
SharedCheck = Callable[[SharedStore, Join], None]

_HEADER = Header(algorithm="random", settings={}, objective={}, seed=1, space={"a": 1})
_FIRST = Trial(number=0, values={"x": 1})


def check_shared_store(make_store: Callable[[], SharedStore], join: Join) -> None:
    """Runs every check of this file.

    Args:
        make_store: Makes a new, empty store at each call.
        join: Given a store, opens one of another worker on the same search.

    Raises:
        AssertionError: A promise is broken; the message says which.
    """
    for check in SHARED_STORE_CHECKS:
        store = make_store()
        check(store, join)
        store.close()


def ended(trial: Trial, place: int) -> Trial:
    """The trial as it is when it has ended."""
    return replace(trial, status=Status.COMPLETED, score=1.0, loss=1.0, ended=place)


def check_one_worker_claims_a_trial(store: SharedStore, join: Join) -> None:
    """While a lease lasts, no other worker may write the trial; its owner may."""
    other = join(store)
    store.put(_FIRST)
    for status in (Status.RUNNING, Status.WAITING):
        again = replace(_FIRST, status=status, attempt=1)
        _must_refuse("a write of another worker's trial", lambda t=again: other.put(t))  # type: ignore[misc]
    _must_refuse("the end of another worker's trial", lambda: other.finish(ended(_FIRST, 0)))
    claim = other.claims()[0]
    assert (claim.mine, claim.lost) == (False, False), f"its owner lives, but it says {claim}"
    assert store.claims()[0].mine, "the owner must see that the trial is its own"
    store.put(replace(_FIRST, notes={"a": "b"}))
    store.finish(ended(_FIRST, 0))
    assert not other.claims(), "a trial that has ended must be nobody's"
    other.close()


def check_a_trial_that_is_given_back_can_be_claimed(store: SharedStore, join: Join) -> None:
    """WAITING ends a claim, and so does `close`."""
    other = join(store)
    store.put(_FIRST)
    store.put(replace(_FIRST, status=Status.WAITING))
    other.put(replace(_FIRST, attempt=1))
    _must_refuse("a write of a trial that was given back", lambda: store.put(_FIRST))
    other.close()
    assert all(claim.lost for claim in store.claims().values()), "close must end its leases"
    store.put(replace(_FIRST, attempt=2))
    assert store.claims()[0].mine, "a trial that its owner left must be free to claim"


def check_a_lease_ends_without_signs_of_life(store: SharedStore, join: Join) -> None:
    """A worker that calls `beat` keeps its trials; one that does not loses them, once."""
    other, third = join(store), join(store)
    for each in (store, other, third):
        each.lease = 1.0
    store.put(_FIRST)
    for _ in range(4):
        other.claims()
        seen = time.monotonic()
        time.sleep(store.lease / 2)
        assert store.beat() == {0}, "the owner must be told that it still holds the trial"
        lost = other.claims()[0].lost
        # A machine that stood still for a whole lease says nothing about the store.
        stood_still = time.monotonic() - seen >= store.lease
        assert stood_still or not lost, "a lease must last while its owner beats"
    other.claims()
    time.sleep(1.5 * store.lease)
    claim = other.claims()[0]
    assert claim.lost, "a lease must end where its owner shows no sign of life"
    assert claim.died, "and the owner counts as dead"
    other.put(replace(_FIRST, attempt=1))
    assert other.claims()[0].mine, "a trial whose lease is over can be claimed"
    _must_refuse("what a worker writes after its lease", lambda: store.finish(ended(_FIRST, 0)))
    _must_refuse("a second claim", lambda: third.put(replace(_FIRST, attempt=2)))
    assert store.beat() == frozenset(), "a worker must be told that its lease is over"
    other.finish(ended(_FIRST, 0))
    assert [trial.attempt for trial in third.trials()] == [0], "exactly one result is kept"
    other.close()
    third.close()


def check_a_turn_is_handed_what_is_new(store: SharedStore, join: Join) -> None:
    """Each worker reads what others wrote since, in the order in which trials ended."""
    other = join(store)
    store.begin(_HEADER)
    seen = _turn(other, None)
    assert seen.space == _HEADER.space, "what has begun elsewhere must be new"
    for number in range(3):
        store.put(Trial(number=number, values={}))
        store.report(Report(trial=number, step=0, metrics={"loss": 1.0}))
    store.finish(ended(Trial(number=2, values={}), 0))
    store.finish(ended(Trial(number=0, values={}), 1))
    news = _turn(other, seen.revision)
    numbers = [trial.number for trial in news.trials]
    assert numbers == [1, 2, 0], f"open trials come first, then those that ended, but got {numbers}"
    assert not news.mine, "another worker's trials are not this one's"
    assert len(other.history(2)) == 1, "a trial must have ended with its reports"
    assert not _turn(other, news.revision).trials, "what is known is not new"
    assert other.news(news.revision) == Changes(revision=news.revision), "nothing is new"
    after = _turn(other, news.revision, lambda: other.put(Trial(number=3, values={})))
    assert not _turn(other, after.revision).trials, "what a turn has written is not new to it"
    again = _turn(other, news.revision)
    assert (len(again.trials), again.mine) == (1, frozenset({3})), (
        "its own writes are told as its own"
    )
    other.close()


def check_a_turn_happens_wholly_or_not_at_all(store: SharedStore, join: Join) -> None:
    """After an error in a turn, nothing of it is there."""
    other = join(store)
    store.begin(_HEADER)
    store.put(_FIRST)

    def fail(changes: Changes) -> None:
        store.put(Trial(number=1, values={}))
        store.finish(ended(_FIRST, 0), {"a": 2})
        store.set_note("n", 1)
        raise ZeroDivisionError

    try:
        store.turn(fail, None)
    except ZeroDivisionError:
        pass
    else:
        raise AssertionError("what is raised in a turn must be passed on")
    for each in (store, other):
        there = (each.trials(), each.space(), each.note("n"), set(each.claims()))
        wanted = ([_FIRST], _HEADER.space, None, {0})
        assert there == wanted, f"a turn that failed must leave nothing, but left {there}"
    other.close()


def check_a_note_is_news(store: SharedStore, join: Join) -> None:
    """Whoever has read a note need not read it again before there is news."""
    other = join(store)
    store.begin(_HEADER)
    seen = _turn(other, None)
    store.set_note("n", 1)
    news = _turn(other, seen.revision)
    assert news.revision != seen.revision, "a note must raise the revision"
    assert not news.trials, "a note changes no trial"
    assert other.note("n") == 1, "a note must be there once it is news"
    own = _turn(other, news.revision, lambda: other.set_note("n", 2))
    assert _turn(other, own.revision).revision == own.revision, "its own notes are no news to it"
    assert store.news(news.revision).revision != news.revision, "but they are to others"
    other.close()


def check_turns_follow_one_another(store: SharedStore, join: Join) -> None:
    """Workers that take turns at once number their trials without gap or double."""
    stores = [store, *(join(store) for _ in range(3))]
    problems: list[BaseException] = []

    def work(own: SharedStore) -> None:
        try:
            since: int | None = None
            known: set[int] = set()
            for _ in range(8):

                def step(changes: Changes, own: SharedStore = own) -> int:
                    known.update(trial.number for trial in changes.trials)
                    number = len(known)
                    own.put(ended(Trial(number=number, values={}), number))
                    return number

                known.add(own.turn(step, since))
                since = None  # it may have been told of its own; the set does not mind
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(own,)) for own in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems, f"turns must wait for one another, but one got {problems[0]!r}"
    numbers = [(trial.number, trial.ended) for trial in store.trials()]
    assert numbers == [(n, n) for n in range(32)], f"each turn adds one trial, but got {numbers}"
    for own in stores[1:]:
        own.close()


def _turn(
    store: SharedStore, since: int | None, write: Callable[[], None] = lambda: None
) -> Changes:
    """What a turn is handed, after it has written."""

    def step(changes: Changes) -> Changes:
        write()
        return changes

    return store.turn(step, since)


def _must_refuse(what: str, write: Callable[[], None]) -> None:
    try:
        write()
    except LostLeaseError:
        return
    raise AssertionError(f"{what} must raise LostLeaseError")


SHARED_STORE_CHECKS: Sequence[SharedCheck] = (
    check_one_worker_claims_a_trial,
    check_a_trial_that_is_given_back_can_be_claimed,
    check_a_lease_ends_without_signs_of_life,
    check_a_turn_is_handed_what_is_new,
    check_a_turn_happens_wholly_or_not_at_all,
    check_a_note_is_news,
    check_turns_follow_one_another,
)
"""The promises of a store for several workers, one check each."""
