"""Checks of `turn_after`, for each kind of store that has it."""

import threading
from collections.abc import Callable
from typing import Any

from afina.store import Changes, Header
from afina.trials import Trial


def begun(store: Any) -> None:
    store.begin(
        Header(algorithm="a", settings={}, objective={"name": "o"}, seed=0, space={"space": []})
    )
    store.put(Trial(number=0, values={}))


def check_the_others_write_while_a_worker_learns_ahead(
    store: Any, join: Callable[[Any], Any]
) -> None:
    """What they write meanwhile is all that its turn gets; what it learnt is not told again."""
    begun(store)
    other = join(store)
    since = other.turn(lambda changes: changes, None).revision
    store.put(Trial(number=1, values={}))
    ahead: list[int] = []

    def learn(changes: Changes) -> None:
        ahead.extend(trial.number for trial in changes.trials)
        store.put(Trial(number=2, values={}))

    def work(changes: Changes) -> list[int]:
        other.put(Trial(number=3, values={}))
        return [trial.number for trial in changes.trials]

    assert other.turn_after(work, since, learn) == [2]
    assert ahead == [1]
    assert [trial.number for trial in store.trials()] == [0, 1, 2, 3]
    other.close()


def check_the_next_in_line_learns_while_a_worker_has_its_turn(
    store: Any, join: Callable[[Any], Any]
) -> None:
    """And not before that: until then the line is the other worker's."""
    begun(store)
    other, third = join(store), join(store)
    known = {each: each.turn(lambda changes: changes, None).revision for each in (other, third)}
    store.put(Trial(number=1, values={}))
    learns = threading.Event()

    def follow() -> None:
        third.turn_after(lambda changes: None, known[third], lambda changes: learns.set())

    thread = threading.Thread(target=follow)

    def learn(changes: Changes) -> None:
        thread.start()
        assert not learns.wait(0.2)

    def work(changes: Changes) -> None:
        assert learns.wait(60.0)

    other.turn_after(work, known[other], learn)
    thread.join(60.0)
    for each in (other, third):
        each.close()


def check_an_error_while_learning_ahead_keeps_nobody_waiting(
    store: Any, join: Callable[[Any], Any]
) -> None:
    """The place in the line is free again, and nothing was written."""
    begun(store)
    other, third = join(store), join(store)
    known = {each: each.turn(lambda changes: changes, None).revision for each in (other, third)}
    store.put(Trial(number=1, values={}))

    def broken(changes: Changes) -> None:
        raise ZeroDivisionError

    for each in (other, third, other):
        try:
            each.turn_after(lambda changes: None, known[each], broken)
        except ZeroDivisionError:
            pass
        else:
            raise AssertionError("what is raised must be passed on")
    assert store.note("n") is None
    seen: list[Changes] = []
    other.turn_after(lambda changes: other.set_note("n", 2), known[other], seen.append)
    assert [trial.number for trial in seen[0].trials] == [1]
    assert store.note("n") == 2
    for each in (other, third):
        each.close()


CHECKS = (
    check_the_others_write_while_a_worker_learns_ahead,
    check_the_next_in_line_learns_while_a_worker_has_its_turn,
    check_an_error_while_learning_ahead_keeps_nobody_waiting,
)
