"""`SearchProgress`: where a search stands after each event."""

from __future__ import annotations

from typing import Any

import pytest

from afina.progress import SearchProgress, SearchStarted
from afina.trials import Objective

from .recorded import ACCURACY, FIRST, SEARCH, epoch, failed, scored, started


def after(events: Any, objective: Objective = ACCURACY) -> SearchProgress:
    progress = SearchProgress(objective)
    for now, event in events:
        progress = progress.after(event, now)
    return progress


def test_a_search_is_counted() -> None:
    progress = after(SEARCH)
    assert (progress.done, progress.here, progress.failed, progress.running) == (3, 3, 1, {})
    assert (progress.best, progress.best_label, progress.best_values) == (0.75, "0", FIRST)
    assert progress.elapsed(3807.5) == 3707.5


@pytest.mark.parametrize(("direction", "best"), [("max", 0.75), ("min", 0.5)])
def test_the_objective_says_which_score_is_better(direction: str, best: float) -> None:
    assert after(SEARCH[:-1], Objective("val_accuracy", direction)).best == best


def test_the_time_left_is_unknown_before_a_trial_has_ended_or_without_a_total() -> None:
    assert after(SEARCH[:4]).seconds_left(104.0) is None
    endless = [(100.0, SearchStarted(None, 0, "x", None)), *SEARCH[1:]]
    assert after(endless).seconds_left(104.0) is None


def test_the_time_left_shrinks_while_a_trial_runs_but_not_beyond_its_share() -> None:
    progress = after(SEARCH[:6])  # one trial took 5 s; two are left, of which one runs since 105
    assert progress.seconds_left(105.0) == pytest.approx(10.0)
    assert progress.seconds_left(108.0) == pytest.approx(7.0)
    assert progress.seconds_left(1000.0) == pytest.approx(5.0)


def test_trials_side_by_side_share_the_time_left() -> None:
    progress = after([(0.0, SearchStarted(5, 0, "x", None)), (0.0, started(0)), (0.0, started(1))])
    progress = progress.after(scored(0, 1.0), 10.0).after(started(2), 10.0)
    assert progress.seconds_left(10.0) == pytest.approx((4 * 10.0 - 10.0) / 2)


def test_a_resumed_search_goes_on_counting_but_estimates_from_its_own_trials() -> None:
    progress = after([(0.0, SearchStarted(10, 8, "x", 0.9)), (0.0, started(8))])
    assert (progress.done, progress.seconds_left(1.0)) == (8, None)
    progress = progress.after(failed(8), 4.0)
    assert (progress.done, progress.best, progress.seconds_left(4.0)) == (9, 0.9, 4.0)


def test_epochs_belong_to_their_own_trial_and_strangers_are_ignored() -> None:
    progress = after([(0.0, started(0)), (0.0, started(1)), (1.0, epoch(0, 0, 0.5))])
    assert progress.running[0].epoch is not None
    assert progress.running[1].epoch is None
    assert progress.after(epoch(7, 0, 0.5), 2.0) == progress


def test_the_newest_trials_come_in_the_order_in_which_they_began() -> None:
    progress = after([(0.0, started(number)) for number in (3, 1, 2)])
    assert [running.start.trial.number for running in progress.newest(2)] == [1, 2]
    assert [running.start.trial.number for running in progress.newest(9)] == [3, 1, 2]
    assert progress.newest(0) == []


def test_a_board_is_never_changed() -> None:
    progress = after(SEARCH[:3])
    seen = (progress.done, dict(progress.running))
    progress.after(SEARCH[3][1], 104.0).after(SEARCH[4][1], 105.0)
    assert (progress.done, dict(progress.running)) == seen


def test_of_equal_trials_the_lowest_number_is_the_best_whichever_ends_first() -> None:
    progress = after([(0.0, started(0)), (0.0, started(1)), (0.0, started(2))])
    for number, label in ((1, "1"), (2, "1"), (0, "0")):
        progress = progress.after(scored(number, 0.5, units=number), 1.0)
        assert progress.best_label == label
        assert progress.last is not None
        assert progress.last.is_best == (number == 1)  # news of a better score comes once
    assert progress.best_values == {"units": 0}
