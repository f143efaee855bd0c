import dataclasses

import numpy as np
import pytest

from afina.search import Done, ModelBasedHalving, Situation, Suggestion
from afina.search.fidelity.repeats import repeatable, trainings_differ
from afina.space import Choice, Float, Int, Space
from afina.trials import Status, Trial

EPOCHS = 8
SPACE = Space((Int("units", 1, 4), Choice("rate", [0.1, 0.01, 0.001])))


def searched(space, *, noise=0.01, budget=400, repeats=True):
    """All trials of a search in which 0.01 is far the best rate and the units hardly matter."""
    search = ModelBasedHalving(max_epochs=EPOCHS, seed=0, repeats=repeats)
    state, trials, curves, spent = search.init(), [], {}, 0
    while spent < budget:
        answer = search.ask(state, Situation(number=len(trials), space=space))
        if isinstance(answer, Done):
            return search, state, trials
        assert isinstance(answer, Suggestion)
        trial = Trial(number=len(trials), values=answer.values, schedule=answer.schedule)
        rng = np.random.default_rng(trial.number)
        level = 0.1 + (0.5 if answer.values["rate"] != 0.01 else 0.002 * answer.values["units"])
        fresh = level + 1 / np.arange(1.0, EPOCHS + 1) + noise * rng.normal(size=EPOCHS)
        curves[trial.number] = fresh if trial.parent is None else curves[trial.parent]
        curve = tuple(curves[trial.number][trial.start_epoch : trial.end_epoch].tolist())
        spent += len(curve)
        trial = dataclasses.replace(
            trial, status=Status.COMPLETED, curve=curve, loss=min(curve), score=min(curve)
        )
        trials.append(trial)
        state = search.tell(state, trial, space)
    return search, state, trials


def begun(trials):
    """The values of each training, in the order in which they started."""
    return [tuple(trial.values.items()) for trial in trials if trial.parent is None]


def test_a_good_configuration_is_trained_again_before_the_hopeless_rest():
    _, _, trials = searched(SPACE, budget=120)
    again = [
        dict(values)
        for place, values in enumerate(begun(trials))
        if values in begun(trials)[:place]
    ]
    assert again
    assert {values["rate"] for values in again} == {0.01}
    full = [trial for trial in trials if trial.end_epoch == EPOCHS]
    before = [
        trial
        for trial in searched(SPACE, budget=120, repeats=False)[2]
        if trial.end_epoch == EPOCHS
    ]
    assert sum(t.values["rate"] == 0.01 for t in full) > sum(
        t.values["rate"] == 0.01 for t in before
    )


def test_what_is_equal_to_the_last_digit_is_repeated_once_at_most():
    _, state, trials = searched(SPACE, noise=0.0)
    assert len(begun(trials)) - len(set(begun(trials))) <= 1
    assert trainings_differ(state) is not True


def test_repeats_are_at_most_as_many_as_configurations_and_the_search_still_ends():
    space = Space((Choice("rate", [0.01, 0.001]), Int("units", 1, 1)))
    search, state, trials = searched(space, budget=10_000)
    assert isinstance(search.ask(state, Situation(number=len(trials), space=space)), Done)
    assert len(begun(trials)) <= 2 * len(set(begun(trials)))


@pytest.mark.first("entry0")
@pytest.mark.parametrize("entry", [Float("rate", 0.0, 1.0), Int("units", 1, 1000)])
def test_nothing_is_repeated_where_there_is_always_something_new_beside_it(entry):
    space = Space((*(each for each in SPACE if each.name != entry.name), entry))
    _, state, _ = searched(space, budget=150)
    assert not repeatable(state, (), space, EPOCHS)


def test_nothing_is_repeated_unless_asked_for():
    _, _, trials = searched(SPACE, repeats=False)
    assert len(set(begun(trials))) == len(begun(trials)) == 12
