"""A search with several objectives is shown by its front, each objective by its name."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from afina.progress import SearchEnded, SearchProgress, SearchStarted, TrialEnded, TrialStarted
from afina.progress.drawing import draw, farewell, news
from afina.progress.notebook import draw_html
from afina.progress.plain import PlainDisplay
from afina.progress.wording import front_line
from afina.trials import MultiObjective, Objective, Status, Trial
from afina.trials.pareto import front_of

BOTH = MultiObjective([Objective("accuracy", "max"), Objective("seconds", "min")])
RESULTS = [(0.5, 9.0), (0.75, 4.0), (0.25, 8.0), (0.875, 6.0)]  # the first and third are beaten


def trial(number: int, accuracy: float, seconds: float) -> Trial:
    metrics = {"accuracy": accuracy, "seconds": seconds, "multi_objective": seconds - accuracy}
    loss = seconds - accuracy
    return Trial(
        number=number,
        values={"units": number},
        status=Status.COMPLETED,
        metrics=metrics,
        score=loss,
        loss=loss,
        losses=BOTH.losses(metrics),
    )


def events(*, resumed: int = 0) -> list[Any]:
    trials = [trial(number, *result) for number, result in enumerate(RESULTS)]
    told: list[Any] = [
        SearchStarted(4, resumed, "multi_objective", 3.25, front=tuple(front_of(trials[:resumed])))
    ]
    for each in trials[resumed:]:
        old = {"units": 99}  # of the best sum, which nobody should see
        told += [TrialStarted(each, str(each.number), 4, each.values, old), TrialEnded(each)]
    return [*told, SearchEnded("all is done", 3.25)]


def after(told: list[Any]) -> SearchProgress:
    progress = SearchProgress(BOTH)
    for event in told:
        progress = progress.after(event, 0.0)
    return progress


def drawn(what: Any) -> str:
    stream = io.StringIO()
    Console(file=stream, width=120, height=40, color_system=None).print(what)
    return stream.getvalue()


WANTED = "2 trials on the Pareto front, best accuracy 0.875 (trial 3), best seconds 4 (trial 1)"


@pytest.mark.parametrize("resumed", [0, 2, 4])
def test_the_front_is_the_same_whether_the_search_was_cut_off_or_not(resumed: int) -> None:
    assert front_line(after(events(resumed=resumed))) == WANTED


def test_a_search_without_results_has_no_front_yet() -> None:
    assert front_line(after(events()[:2])) == "no trial on the Pareto front yet"


def test_no_display_shows_the_sum() -> None:
    progress = after(events())
    stream = io.StringIO()
    plain = PlainDisplay(BOTH, clock=lambda: 0.0, stream=stream)
    for event in events():
        plain.handle(event)
    texts = [
        stream.getvalue(),
        drawn(draw(progress, 0.0, 120, 40)),
        drawn(farewell(progress, 0.0)),
        draw_html(progress, [], 0.0),
    ]
    for text in texts:
        assert "rial 1" in text
        assert "on the Pareto front" in text
        assert not [sum_ for sum_ in ("multi_objective", "3.25", "99") if sum_ in text]
    assert "accuracy: 0.875" in texts[0]
    assert "seconds: 6.0" in texts[0]


def test_a_trial_that_joins_the_front_is_news_with_its_objectives() -> None:
    progress = after(events()[:3])
    assert progress.last is not None
    line = news(progress, progress.last)
    assert line is not None
    assert "on the Pareto front: accuracy 0.5, seconds 9" in line.plain
    beaten = after(events()[:7])
    assert beaten.last is not None
    assert news(beaten, beaten.last) is None
