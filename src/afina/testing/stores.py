"""What every store of trials must keep, as checks that anybody can run on their own.

    from afina.testing import check_store

    def test_my_store_keeps_what_stores_promise():
        check_store(MyStore)

Each check is a function of its own, takes a new and empty store, and fails with a sentence;
`STORE_CHECKS` lists them, `check_store` runs them all.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from afina.errors import StoreError
from afina.store import Header, TrialStore
from afina.store.reported import histories
from afina.trials import Failure, FailureKind, Report, Schedule, Status, Trial

Check = Callable[[TrialStore], None]

_HEADER = Header(
    algorithm="random",
    settings={"tries": 5, "beta": 2.6, "list": [1, 2]},
    objective={"name": "val_loss", "direction": "min"},
    seed=7,
    space={"space": [{"class_name": "Fixed", "config": {"name": "a"}}], "values": {"a": 1}},
)

_GROWN = {"space": [], "values": {"a": 1, "b": 2}}


def check_store(
    make_store: Callable[[], TrialStore],
    reopen: Callable[[TrialStore], TrialStore] | None = None,
) -> None:
    """Runs every check of this file.

    Args:
        make_store: Makes a new, empty store at each call.
        reopen: Given a closed store, opens another one on what it kept; None for a store that
            forgets everything when it is closed.

    Raises:
        AssertionError: A promise is broken; the message says which.
    """
    for check in STORE_CHECKS:
        store = make_store()
        check(store)
        store.close()
    if reopen is not None:
        check_keeps_everything_when_closed(make_store(), reopen)


def rich_trials() -> list[Trial]:
    """Trials that between them use every field, with values that are easily lost."""
    running = Trial(number=0, values={})
    completed = Trial(
        number=1,
        values={"int": 1, "float": 1.0, "bool": True, "text": "1", "none": None, "ünï\ud800": 0.1},
        status=Status.COMPLETED,
        schedule=Schedule(bracket=2, rung=1, start_epoch=3, end_epoch=9, parent=0, iteration=1),
        ranges=({"class_name": "Int", "config": {"name": "int", "max_value": 3}},),
        known=4,
        attempt=1,
        score=0.1 + 0.2,
        loss=-(0.1 + 0.2),
        best_step=5,
        metrics={"val_loss": 5e-324, "worst": math.inf, "best": -math.inf},
        ended=0,
        seconds=1e-9,
        notes={"path": 'fused: "yes"\n'},
    )
    failed = Trial(
        number=2,
        values={"huge": 2**80, "inf": math.inf},
        status=Status.FAILED,
        schedule=Schedule(bracket=0, rung=0, start_epoch=0, end_epoch=1),
        failure=Failure(FailureKind.NOT_A_NUMBER, "loss became NaN\0 ünï"),
        ended=1,
    )
    waiting = Trial(
        number=5,
        values={"a": -0.0},
        status=Status.WAITING,
        failure=Failure(FailureKind.LOST_WORKER, ""),
    )
    return [running, completed, failed, waiting]


def check_is_empty_at_first(store: TrialStore) -> None:
    """An empty store says so, and looking at it does not begin it."""
    seen = (store.header(), store.space(), store.trials(), store.history(0), store.note("x"))
    assert seen == (None, None, [], [], None), f"a new store must be empty, but holds {seen}"


def check_keeps_the_header(store: TrialStore) -> None:
    """A search begins once; its header can be replaced afterwards."""
    _must_refuse("set_header before begin must raise", store.set_header, _HEADER)
    store.begin(_HEADER)
    _must_equal(store.header(), _HEADER, "the header must come back as it was")
    _must_refuse("a second begin must raise", store.begin, _HEADER)
    changed = replace(_HEADER, settings={"tries": 6})
    store.set_header(changed)
    _must_equal(store.header(), changed, "set_header must replace the header")


def check_keeps_the_space(store: TrialStore) -> None:
    """The space is the header's until `set_space` or `finish` gives a grown one."""
    store.begin(_HEADER)
    _must_equal(store.space(), _HEADER.space, "at first the space must be the header's")
    store.set_space(_GROWN)
    _must_equal(store.space(), _GROWN, "set_space must replace the space")
    store.set_header(replace(_HEADER, seed=8))
    _must_equal(store.space(), _GROWN, "a new header must not bring the old space back")
    ended = Trial(number=0, values={}, status=Status.COMPLETED, score=1.0, loss=1.0, ended=0)
    store.finish(ended)
    _must_equal(store.space(), _GROWN, "finish without a space must leave the space alone")
    store.finish(replace(ended, number=1, ended=1), _HEADER.space)
    _must_equal(store.space(), _HEADER.space, "finish must keep the space that it is given")


def check_gives_trials_back_as_they_were(store: TrialStore) -> None:
    """Every field of a trial comes back, of the same type, in order of number."""
    trials = rich_trials()
    for trial in reversed(trials):
        store.put(trial)
    # repr tells 1 from 1.0 and True, and 0.0 from -0.0, which == does not.
    _must_equal(repr(store.trials()), repr(trials), "trials must come back as they were, by number")


def check_replaces_unfinished_trials(store: TrialStore) -> None:
    """A trial that has not finished is replaced, whole."""
    trial = replace(rich_trials()[3], notes={"a": "b"})
    store.put(trial)
    again = Trial(number=trial.number, values={"other": 1}, attempt=1)
    store.put(again)
    _must_equal(store.trials(), [again], "put must replace an unfinished trial in all its fields")


def check_never_writes_a_finished_trial_again(store: TrialStore) -> None:
    """COMPLETED and FAILED are final, whatever comes."""
    done = [trial for trial in rich_trials() if trial.status.finished]
    for trial in done:
        store.finish(trial)
    for trial in done:
        for status in Status:
            again = replace(trial, status=status, ended=trial.number + 10, score=5.0)
            why = f"put of a {status.value} trial over a {trial.status.value} one must raise"
            _must_refuse(why, store.put, again)
        _must_refuse("a second finish must raise", store.finish, trial, _GROWN)
    _must_equal(store.trials(), done, "a refused write must change no trial")
    _must_equal(store.space(), None, "a refused finish must not keep its space")


def check_finish_takes_finished_trials_only(store: TrialStore) -> None:
    """`finish` refuses a trial that goes on, and two trials at one place of the order."""
    _must_refuse("finish of RUNNING must raise", store.finish, Trial(number=0, values={}))
    _must_equal(store.trials(), [], "a refused finish must keep nothing")
    first = rich_trials()[1]
    store.finish(first)
    twin = replace(first, number=9)
    _must_refuse("two trials with the same `ended` must raise", store.finish, twin, _GROWN)
    _must_equal((store.trials(), store.space()), ([first], None), "a refused finish kept a part")


def check_refuses_a_score_that_is_no_number(store: TrialStore) -> None:
    """NaN cannot be ordered, so it is no score: such a trial has failed."""
    trial = rich_trials()[1]
    for spoilt in (replace(trial, score=math.nan), replace(trial, loss=math.nan)):
        _must_refuse("a score of NaN must raise", store.finish, spoilt)
    _must_equal(store.trials(), [], "a refused trial must not be kept")


def check_gives_reports_back_in_order(store: TrialStore) -> None:
    """History is complete at once, by attempt, execution and step; NaN and inf come back."""
    store.put(Trial(number=3, values={}))
    metrics = {"loss": math.nan, "up": math.inf, "down": -math.inf, "val_loss": 0.1}
    reports = [
        Report(trial=3, attempt=attempt, execution=execution, step=step, metrics=metrics)
        for attempt in (0, 1)
        for execution in (0, 1)
        for step in (0, 2, 10)
    ]
    for report in reversed(reports):
        store.report(report)
    store.report(Report(trial=4, step=0, metrics={}))
    _must_equal(repr(store.history(3)), repr(reports), "all reports must be seen at once, in order")
    store.put(Trial(number=3, values={}, attempt=1))
    _must_equal(repr(store.history(3)), repr(reports), "reports must outlive a change of state")
    _must_equal(store.history(0), [], "a trial without reports has an empty history")
    store.report(Report(trial=3, attempt=1, step=99, metrics={}))
    everything = [*store.history(3), *store.history(4)]
    _must_equal(repr(store.history()), repr(everything), "all histories at once, by trial")
    some = {3: store.history(3), 4: store.history(4), 7: []}
    _must_equal(repr(histories(store, [7, 4, 3])), repr(some), "some histories at once, by number")


def check_replaces_a_report_of_the_same_step(store: TrialStore) -> None:
    """The last report of a step counts, whether the first was still buffered or not."""
    first = Report(trial=0, step=1, metrics={"loss": 1.0})
    second, third = replace(first, metrics={"loss": 2.0}), replace(first, metrics={"x": 3.0})
    store.report(first)
    store.report(second)
    _must_equal(store.history(0), [second], "a report must replace one of the same step")
    store.put(Trial(number=0, values={}))
    store.report(third)
    _must_equal(store.history(0), [third], "a report must replace a written one of the same step")
    store.put(Trial(number=1, values={}))
    _must_equal(store.history(0), [third], "a report must replace a written one of the same step")


def check_keeps_notes(store: TrialStore) -> None:
    """Any JSON value is kept under any key; the last one counts; other values are refused."""
    value = {"list": [1, 2.5, None, True, "ü"], "nested": {"nan": "nan"}, "inf": math.inf}
    store.set_note("a", 1)
    store.set_note("a", value)
    store.set_note("b/ü", [])
    seen = (store.note("a"), store.note("b/ü"), store.note("c"))
    _must_equal(repr(seen), repr((value, [], None)), "notes must come back as they were")
    _must_refuse("a note that is no JSON value must raise", store.set_note, "a", object())
    _must_equal(store.note("a"), value, "a refused note must leave the old one")


def check_takes_numbers_of_numpy(store: TrialStore) -> None:
    """NumPy's numbers come back as Python's."""
    numbers: dict[str, Any] = {"f": np.float32(0.5), "i": np.int64(3), "b": np.bool_(True)}
    plain = {"f": 0.5, "i": 3, "b": True}
    store.put(Trial(number=0, values=numbers, metrics={"loss": numbers["f"]}))
    store.report(Report(trial=0, step=0, metrics={"loss": numbers["f"]}))
    store.set_note("a", [numbers["i"], np.arange(2)])
    _must_equal(repr(store.trials()[0].values), repr(plain), "values must be Python's numbers")
    _must_equal(repr(store.history(0)[0].metrics), "{'loss': 0.5}", "metrics must be floats")
    _must_equal(store.note("a"), [3, [0, 1]], "notes must hold Python's numbers")


def check_shares_nothing(store: TrialStore) -> None:
    """Changing what was put in or given back changes nothing in the store."""
    values: dict[str, Any] = {"a": 1}
    metrics = {"loss": 1.0}
    note = {"list": [1]}
    store.put(Trial(number=0, values=values))
    store.report(Report(trial=0, step=0, metrics=metrics))
    store.set_note("n", note)
    values["a"], metrics["loss"] = 2, 2.0
    note["list"].append(2)
    for _ in range(2):
        given = (store.trials()[0].values, store.history(0)[0].metrics, store.note("n"))
        kept: Any = ({"a": 1}, {"loss": 1.0}, {"list": [1]})
        _must_equal(given, kept, "the store must share no mutable part")
        given[0].clear()  # type: ignore[attr-defined]
        given[1].clear()  # type: ignore[attr-defined]
        given[2]["list"].clear()


def check_serves_many_threads(store: TrialStore) -> None:
    """Writes and reads from many threads all arrive, and none raises."""
    problems: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for number in range(first, first + 5):
                store.put(Trial(number=number, values={}))
                store.report(Report(trial=number, step=0, metrics={"loss": 1.0}))
                store.finish(Trial(number=number, values={}, status=Status.FAILED, ended=number))
                assert len(store.history(number)) == 1, "a thread must see its own report"
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(10 * index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems, f"a store must serve many threads, but one got {problems[0]!r}"
    numbers = [trial.number for trial in store.trials() if trial.status.finished]
    wanted = [10 * index + step for index in range(4) for step in range(5)]
    _must_equal(numbers, wanted, "every thread's trials must arrive")


def check_can_be_closed_twice_and_used_again(store: TrialStore) -> None:
    """`close` lets go of the project; a later write takes it again."""
    store.close()
    store.put(Trial(number=0, values={}))
    store.close()
    store.close()
    store.put(Trial(number=1, values={}))
    _must_equal(len(store.trials()), 2, "a closed store must take writes again")


def check_keeps_everything_when_closed(
    store: TrialStore, reopen: Callable[[TrialStore], TrialStore]
) -> None:
    """What was written, buffered reports too, is there when another store opens it."""
    store.begin(_HEADER)
    store.set_space(_GROWN)
    store.set_note("n", [1])
    for trial in rich_trials():
        store.put(trial)
    report = Report(trial=0, step=0, metrics={"loss": 0.5})
    store.report(report)
    store.close()
    other = reopen(store)
    seen = (other.header(), other.space(), other.note("n"), other.history(0))
    _must_equal(seen, (_HEADER, _GROWN, [1], [report]), "everything must outlive close")
    _must_equal(repr(other.trials()), repr(rich_trials()), "trials must outlive close")
    other.put(Trial(number=0, values={}, attempt=1))
    other.close()


def _must_equal(got: Any, wanted: Any, rule: str) -> None:
    assert got == wanted, f"{rule}: got {got!r} instead of {wanted!r}"


def _must_refuse(rule: str, write: Callable[..., None], *args: Any) -> None:
    try:
        write(*args)
    except StoreError:
        return
    raise AssertionError(f"{rule} StoreError")


STORE_CHECKS: Sequence[Check] = (
    check_is_empty_at_first,
    check_keeps_the_header,
    check_keeps_the_space,
    check_gives_trials_back_as_they_were,
    check_replaces_unfinished_trials,
    check_never_writes_a_finished_trial_again,
    check_finish_takes_finished_trials_only,
    check_refuses_a_score_that_is_no_number,
    check_gives_reports_back_in_order,
    check_replaces_a_report_of_the_same_step,
    check_keeps_notes,
    check_takes_numbers_of_numpy,
    check_shares_nothing,
    check_serves_many_threads,
    check_can_be_closed_twice_and_used_again,
)
"""The promises of a store, one check each."""
