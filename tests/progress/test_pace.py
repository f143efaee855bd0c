"""The time that is left, if trials train for different numbers of epochs."""

from __future__ import annotations

import pytest

from afina.progress import SearchProgress, SearchStarted, TrialEnded, TrialStarted
from afina.progress.pace import Pace
from afina.trials import Objective, Schedule, Status, Trial


def test_a_fixed_time_and_a_time_for_each_epoch_are_told_apart() -> None:
    pace = Pace()
    for epochs in (1, 1, 3, 9):
        pace = pace.after(epochs, 5.0 + 2.0 * epochs)
    assert pace.of_one(27) == pytest.approx(5.0 + 2.0 * 27)
    assert pace.left(3, 30) == pytest.approx(15.0 + 60.0)


@pytest.mark.parametrize(
    ("trials", "left"),
    [
        ([(3, 6.0), (3, 6.0)], 20.0),  # all alike: in proportion to the epochs
        ([(1, 9.0), (3, 3.0)], 12.0),  # longer trainings took less: each trial counts alike
        ([(1, 1.0), (3, 9.0)], 25.0),  # no fixed time can be negative
        ([(0, 4.0)], 8.0),  # epochs are not planned
    ],
)
def test_no_time_is_negative(trials: list[tuple[int, float]], left: float) -> None:
    pace = Pace()
    for epochs, seconds in trials:
        pace = pace.after(epochs, seconds)
    assert pace.left(2, 10) == pytest.approx(left)


def test_long_trainings_at_the_end_of_a_search_are_seen_coming() -> None:
    progress = SearchProgress(Objective("loss", "min"))
    progress = progress.after(SearchStarted(3, 0, "loss", None, total_epochs=12), 0.0)
    now = 0.0
    for number, epochs in enumerate((1, 2)):
        plan = Schedule(bracket=1, rung=0, start_epoch=0, end_epoch=epochs)
        trial = Trial(number=number, values={}, schedule=plan)
        progress = progress.after(TrialStarted(trial, str(number), 3, {}, None), now)
        now += 1.0 * epochs
        done = Trial(
            number=number, values={}, schedule=plan, status=Status.COMPLETED, score=1.0, loss=1.0
        )
        progress = progress.after(TrialEnded(done), now)
    assert progress.seconds_left(now) == pytest.approx(9.0)  # of one trial with nine epochs
