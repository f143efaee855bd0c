"""Checks of `turn_after` and `together`, for each kind of store that has them."""

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

from afina.store import Changes, Header
from afina.trials import Trial


def begun(store: Any) -> None:
    store.begin(
        Header(algorithm="a", settings={}, objective={"name": "o"}, seed=0, space={"space": []})
    )
    store.put(Trial(number=0, values={}))


def with_news_for_two(
    store: Any, join: Callable[[Any], Any]
) -> tuple[Any, Any, dict[Any, int | None]]:
    """Two other workers of a search, and the revisions that they know: there is one trial since."""
    begun(store)
    other, third = join(store), join(store)
    known = {each: each.turn(lambda changes: changes, None).revision for each in (other, third)}
    store.put(Trial(number=1, values={}))
    return other, third, known


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
    other, third, known = with_news_for_two(store, join)
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
    other, third, known = with_news_for_two(store, join)

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


def check_a_worker_keeps_its_place_from_one_turn_to_the_next(
    store: Any, join: Callable[[Any], Any]
) -> None:
    """Whoever waits behind it has its turn after both, and finds what both have written."""
    other, third, known = with_news_for_two(store, join)
    order: list[str] = []

    def follow() -> None:
        third.turn_after(
            lambda changes: order.append(f"third, {store.note('n')}"), known[third], lambda _: None
        )

    def learn(changes: Changes) -> None:
        known[other] = changes.revision
        thread.start()

    def turn(number: int) -> None:
        other.set_note("n", number)
        order.append(f"other {number}")
        time.sleep(0.1)  # the third one waits by then

    thread = threading.Thread(target=follow)
    with other.together():
        other.turn_after(lambda changes: turn(1), known[other], learn)
        time.sleep(0.1)
        other.turn_after(lambda changes: turn(2), known[other], lambda changes: None)
    thread.join(60.0)
    assert order == ["other 1", "other 2", "third, 2"]
    for each in (other, third):
        each.close()


def check_a_worker_that_keeps_its_place_gives_it_up_at_the_end(
    store: Any, join: Callable[[Any], Any]
) -> None:
    """After one turn, after none, and after an error in either; what was written before stays."""
    other, third, known = with_news_for_two(store, join)

    def write(each: Any, number: int) -> None:
        each.turn_after(
            lambda changes: each.set_note("n", number), known[each], lambda changes: None
        )

    def broken(changes: Changes) -> None:
        other.set_note("n", -1)
        raise ZeroDivisionError

    def in_two_turns(first: Callable[..., Any], second: Callable[..., Any]) -> None:
        with contextlib.suppress(ZeroDivisionError), other.together():
            other.turn_after(first, known[other], lambda changes: None)
            other.turn_after(second, known[other], lambda changes: None)

    with other.together():
        pass
    write(third, 1)
    with other.together():
        write(other, 2)
    write(third, 3)
    in_two_turns(broken, broken)
    assert store.note("n") == 3
    write(third, 4)
    in_two_turns(lambda changes: other.set_note("n", 5), broken)
    assert store.note("n") == 5
    write(third, 6)
    write(other, 7)
    assert store.note("n") == 7
    for each in (other, third):
        each.close()


CHECKS = (
    check_a_worker_keeps_its_place_from_one_turn_to_the_next,
    check_a_worker_that_keeps_its_place_gives_it_up_at_the_end,
    check_the_others_write_while_a_worker_learns_ahead,
    check_the_next_in_line_learns_while_a_worker_has_its_turn,
    check_an_error_while_learning_ahead_keeps_nobody_waiting,
)
