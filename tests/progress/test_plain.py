"""Plain lines: the exact text."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

from afina.progress import Message, SearchEnded, SearchStarted, TrialEnded
from afina.progress.plain import PlainDisplay
from afina.trials import Failure, FailureKind, Status, Trial

from .recorded import ACCURACY, SEARCH, TRACEBACK, Clock, epoch, scored, started


def printed(capsys: Any, events: Any, **kwargs: Any) -> str:
    clock = Clock()
    with PlainDisplay(ACCURACY, clock=clock, **kwargs) as display:
        for clock.now, event in events:
            display.handle(event)
    captured = capsys.readouterr()
    assert captured.err == ""
    return str(captured.out)


EXPECTED = f"""
Search: Running Trial #0

Value             |Best Value So Far |Hyperparameter
64                |?                 |units
0.012346          |?                 |rate
relu              |?                 |activation


Trial 0 Complete [00h 00m 05s]
val_accuracy: 0.75

Best val_accuracy So Far: 0.75
Total elapsed time: 00h 00m 05s

Search: Running Trial #1

Value             |Best Value So Far |Hyperparameter
32                |64                |units
0.5               |0.012346          |rate
a_name_longer_t...|relu              |activation

{TRACEBACK}

Trial 1 Complete [00h 00m 02s]
failed (error): ValueError: no such layer

Best val_accuracy So Far: 0.75
Total elapsed time: 00h 00m 07s

Search: Running Trial #2

Value             |Best Value So Far |Hyperparameter
32                |64                |units
0.5               |0.012346          |rate
a_name_longer_t...|relu              |activation


Trial 2 Complete [01h 01m 40s]
val_accuracy: 0.5

Best val_accuracy So Far: 0.75
Total elapsed time: 01h 01m 47s
"""


def test_a_whole_search_prints_the_text_that_log_parsers_know(capsys: Any) -> None:
    assert printed(capsys, SEARCH) == EXPECTED


def test_a_trial_without_values_is_the_default_configuration(capsys: Any) -> None:
    out = printed(capsys, [(100.0, started(0))])
    assert out == "\nSearch: Running Trial #0\n\ndefault configuration\n\n"


def test_a_search_that_ends_early_says_why(capsys: Any) -> None:
    events = [
        (100.0, SearchStarted(9, 0, "val_accuracy", None)),
        (100.0, SearchEnded("all 2 combinations have been tried")),
    ]
    assert printed(capsys, events) == "\nSearch ended: all 2 combinations have been tried.\n"


def test_a_failure_that_will_be_retried_tells_how_often(capsys: Any) -> None:
    waiting = Trial(
        number=4,
        values={},
        status=Status.WAITING,
        attempt=1,
        failure=Failure(FailureKind.NOT_A_NUMBER, "The loss became nan."),
    )
    events = [(100.0, started(4)), (101.0, TrialEnded(waiting, label="4", retries_left=2))]
    out = printed(capsys, events)
    assert out.endswith("\n\nThe loss became nan.\nTrial 4 failed 2 times. 2 retries left.\n")


def test_a_rerun_is_timed_from_its_own_start(capsys: Any) -> None:
    waiting = replace(scored(0, 0.0).trial, status=Status.WAITING, score=None)
    events = [
        (100.0, SearchStarted(3, 0, "val_accuracy", None)),
        (100.0, started(0)),
        (150.0, TrialEnded(waiting)),
        (150.0, started(0)),
        (157.0, scored(0, 0.25)),
    ]
    out = printed(capsys, events)
    assert out.count("Complete") == 1
    assert "Trial 0 Complete [00h 00m 07s]" in out
    assert "Total elapsed time: 00h 00m 57s" in out


def test_epochs_of_a_long_trial_get_a_line_now_and_then(capsys: Any) -> None:
    times = [10.0, 50.0, 65.0, 80.0, 126.0]
    epochs = [(100.0 + at, epoch(0, i, 0.5)) for i, at in enumerate(times)]
    out = printed(capsys, [(100.0, started(0)), *epochs])
    lines = [line for line in out.splitlines() if line.startswith("Epoch")]
    assert lines == [
        "Epoch 3/2 - loss: 0.5 - val_accuracy: 0.5",
        "Epoch 5/2 - loss: 0.5 - val_accuracy: 0.5",
    ]


def test_an_epoch_of_one_of_several_trials_names_its_trial(capsys: Any) -> None:
    begun = [(100.0, started(0)), (100.0, started(4))]
    out = printed(capsys, [*begun, (165.0, epoch(0, 0, 0.5)), (230.0, epoch(4, 1, 0.5))])
    assert out.splitlines()[-2:] == [
        "Trial 0: Epoch 1/2 - loss: 0.5 - val_accuracy: 0.5",
        "Trial 4: Epoch 2/2 - loss: 0.5 - val_accuracy: 0.5",
    ]


def test_lines_of_many_threads_stay_whole(capsys: Any) -> None:
    clock = Clock()

    def run(display: PlainDisplay, number: int) -> None:
        for _ in range(20):
            display.handle(started(number, units=number))
            display.handle(epoch(number, 0, 0.5))
            display.handle(scored(number, 0.5))

    with PlainDisplay(ACCURACY, clock=clock, silence=0.0) as display:
        threads = [threading.Thread(target=run, args=(display, n)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    out = capsys.readouterr().out
    for number in range(6):
        table = (
            f"\nSearch: Running Trial #{number}\n\n"
            "Value             |Best Value So Far |Hyperparameter\n"
        )
        assert out.count(table) == 20
        assert out.count(f"\nTrial {number} Complete [00h 00m 00s]\nval_accuracy: 0.5\n") == 20
    assert out.count("Epoch 1/2 - loss: 0.5 - val_accuracy: 0.5\n") == 120


def test_the_time_of_earlier_calls_counts_as_elapsed(capsys: Any) -> None:
    events = [
        (100.0, SearchStarted(9, 4, "val_accuracy", 0.9, elapsed=86400.0)),
        (100.0, started(4)),
        (101.0, scored(4, 0.2)),
    ]
    out = printed(capsys, events)
    assert "Best val_accuracy So Far: 0.9\nTotal elapsed time: 1d 00h 00m 01s\n" in out


def test_a_message_is_printed_as_it_is(capsys: Any) -> None:
    assert printed(capsys, [(100.0, Message("Resumed."))]) == "Resumed.\n"


def test_a_notebook_s_output_is_emptied_before_each_trial_s_end(capsys: Any) -> None:
    emptied: list[int] = []
    printed(capsys, SEARCH, clear=lambda: emptied.append(1))
    assert len(emptied) == 3
