import dataclasses

import numpy as np
import pytest

from afina.errors import ArgumentError
from afina.search import (
    Auto,
    Done,
    InOrder,
    ModelBasedHalving,
    PopulationBasedTraining,
    Random,
    Situation,
    Suggestion,
    Wait,
)
from afina.testing import check_algorithm
from afina.trials import Decision, Status, Trial

from .curve_problems import EPOCHS, honest, space


def side_by_side(search, workers, seed, trials=40):
    """The trials in the order of their numbers; which of the running ones ends next is drawn."""
    rng, state, running, ended = np.random.default_rng(seed), search.init(), [], []
    while len(ended) < trials:
        number = len(running) + len(ended)
        answer = Wait()
        if len(running) < workers and number < trials:
            question = Situation(number=number, space=space(), running=tuple(running))
            answer = search.ask(state, question)
        if isinstance(answer, Suggestion):
            trial = Trial(number=number, values=answer.values, schedule=answer.schedule)
            running.append(trial)
            continue
        assert not isinstance(answer, Done)
        trial = running.pop(int(rng.integers(len(running))))
        curve: list[float] = []
        for loss in honest(trial.values)[trial.start_epoch : trial.end_epoch]:
            curve.append(float(loss))
            if search.stop_early(state, trial, tuple(curve)) is Decision.STOP:
                break
        ended.append(
            dataclasses.replace(
                trial,
                status=Status.COMPLETED,
                curve=tuple(curve),
                loss=min(curve),
                ended=len(ended),
            )
        )
        state = search.tell(state, ended[-1], space())
    return sorted(ended, key=lambda trial: trial.number)


def what(trials):
    return [(dict(t.values), t.schedule, t.curve) for t in trials]


def test_the_order_in_which_trials_end_and_the_number_of_workers_change_nothing():
    search = InOrder(ModelBasedHalving(max_epochs=EPOCHS, seed=3), ahead=3)
    one = side_by_side(search, workers=1, seed=0)
    assert what(side_by_side(search, workers=3, seed=1)) == what(one)
    assert what(side_by_side(search, workers=2, seed=2)) == what(one)
    free = ModelBasedHalving(max_epochs=EPOCHS, seed=3)
    assert what(side_by_side(free, workers=3, seed=1)) != what(
        side_by_side(free, workers=3, seed=2)
    )


def test_one_trial_at_a_time_is_the_algorithm_itself():
    plain = ModelBasedHalving(max_epochs=EPOCHS, seed=3)
    assert what(side_by_side(InOrder(plain, ahead=1), 1, 0)) == what(side_by_side(plain, 1, 0))


def test_keeps_what_algorithms_promise():
    check_algorithm(
        lambda seed: InOrder(Auto(max_epochs=9, seed=seed), ahead=3), trials=12, exhausts=False
    )


@pytest.mark.parametrize("workers", [1, 3])
def test_an_algorithm_that_waits_for_a_whole_generation_gets_it(workers):
    population = PopulationBasedTraining(population=4, interval=3, max_epochs=EPOCHS, seed=0)
    search = InOrder(population, ahead=3)
    trials = side_by_side(search, workers, seed=1, trials=12)
    assert {trial.start_epoch for trial in trials} == {0, 3, 6}
    assert what(trials) == what(side_by_side(search, 2, seed=5, trials=12))


def test_a_number_that_never_comes_is_passed_over():
    search, state = InOrder(Random(seed=1), ahead=2), None
    state = search.init()
    for number in (0, 2, 3):  # the project lost trial 1
        trial = Trial(
            number=number, values={"x": 0.5}, status=Status.COMPLETED, loss=1.0, score=1.0
        )
        state = search.tell(state, trial, space())
    assert isinstance(search.ask(state, Situation(number=4, space=space())), Suggestion)


def test_a_trial_that_still_runs_is_waited_for():
    search = InOrder(Random(seed=1), ahead=2)
    still = (Trial(number=0, values={}),)
    state = search.tell(search.init(), Trial(number=1, values={}, loss=1.0), space())
    question = Situation(number=2, space=space(), running=still)
    assert isinstance(search.ask(state, question), Wait)


def test_more_workers_than_planned_do_not_wait():
    search = InOrder(ModelBasedHalving(max_epochs=EPOCHS, seed=3), ahead=2)
    open_ones = tuple(Trial(number=number, values={}) for number in range(2))
    question = Situation(number=2, space=space(), running=open_ones)
    assert isinstance(search.ask(search.init(), question), Suggestion)


@pytest.mark.parametrize("wrong", [0, 1.5, "2"])
def test_an_odd_number_of_open_trials_is_refused(wrong):
    with pytest.raises(ArgumentError, match="ahead: must be a whole number from 1 up"):
        InOrder(Random(), ahead=wrong)
