import math

import pytest

from afina.advice.evidence import gather
from afina.space import Choice, Float, Int, Space
from afina.trials import Failure, FailureKind, Schedule, Status, Trial

SPACE = Space((Float("rate", 0, 1), Int("layers", 1, 3)))


def trial(number, loss, rate=0.5, end=None, parent=None, status=Status.COMPLETED):
    schedule = None
    if end is not None:
        schedule = Schedule(
            bracket=0, rung=0, start_epoch=0 if parent is None else 1, end_epoch=end, parent=parent
        )
    return Trial(
        number=number,
        values={"rate": rate, "layers": 2},
        status=status,
        loss=loss,
        score=loss,
        schedule=schedule,
        failure=None if loss is not None else Failure(FailureKind.ERROR, "no"),
    )


def test_a_promoted_trial_and_its_parents_are_one_configuration():
    found = gather([trial(0, 0.9, end=1), trial(1, 0.5, end=3, parent=0)], SPACE)
    assert [(row.number, row.loss, row.epochs) for row in found.rows] == [(1, 0.5, 3)]
    assert (found.counts.trials, found.counts.completed, found.counts.shorter) == (2, 1, 0)


def test_short_trainings_are_shifted_by_what_training_on_gains_in_the_middle():
    trials = [trial(n, loss, end=1) for n, loss in enumerate([1.0, 1.2, 1.4, 2.0])]
    trials += [trial(4 + n, loss, end=3, parent=n) for n, loss in enumerate([0.5, 0.6, 1.1])]
    trials += [trial(7, 0.3, end=9, parent=4)]
    rows = {row.number: row.loss for row in gather(trials, SPACE).rows}
    # From 1 to 3 epochs: -0.5, -0.6, -0.3, so -0.5; from 3 to 9: -0.2.
    assert rows == pytest.approx({7: 0.3, 5: 0.4, 6: 0.9, 3: 1.3})


def test_a_promotion_that_failed_leaves_what_its_parent_reached():
    trials = [trial(0, 0.9, end=1), trial(1, None, end=3, parent=0, status=Status.FAILED)]
    (row,) = gather(trials, SPACE).rows
    assert (row.number, row.loss, row.failed) == (0, 0.9, False)


def test_the_best_is_among_the_longest_trainings():
    trials = [trial(0, 0.1, end=1), trial(1, 0.5, end=3), trial(2, 0.6, end=3)]
    best = gather(trials, SPACE).best
    assert best is not None
    assert best.number == 1


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_what_is_no_finite_number_has_failed(loss):
    found = gather([trial(0, loss), trial(1, 1.0)], SPACE)
    assert [row.failed for row in found.rows] == [True, False]
    assert (found.counts.completed, found.counts.failed) == (1, 1)


def test_unfinished_trials_are_counted_only():
    found = gather([trial(0, None, status=Status.RUNNING), trial(1, 1.0)], SPACE)
    assert (found.counts.trials, len(found.rows)) == (2, 1)


def test_values_outside_of_the_space_are_left_out_and_missing_ones_are_defaults():
    new = Space((Float("rate", 0, 0.4), Int("layers", 1, 3), Choice("norm", ["a", "b"])))
    found = gather([trial(0, 1.0, rate=0.3), trial(1, 1.0, rate=0.5)], new)
    assert [dict(row.values) for row in found.rows] == [{"rate": 0.3, "layers": 2, "norm": "a"}]
    assert found.counts.outside == 1


def test_without_trials_there_is_nothing():
    found = gather([], SPACE)
    assert (found.rows, found.best, found.constant) == ((), None, True)
