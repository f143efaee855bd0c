import dataclasses

import numpy as np
import pytest

from afina.errors import ArgumentError
from afina.search import Auto, ModelBasedHalving, Situation, Suggestion
from afina.search.fidelity.cost import PerSecond, fit_cost
from afina.search.fidelity.rungs import RungHistory
from afina.space import Float, Space
from afina.surrogates.geometry import encoded, geometry_of
from afina.trials import Status, Trial

EPOCHS = 8
SPACE = Space((Float("size", 0.0, 1.0), Float("rate", 0.0, 1.0)))


def searched(*, per_second, trials=30, slower=20.0, seed=1):
    """A search: only the rate decides, and the largest size takes `slower` times as long."""
    search = ModelBasedHalving(max_epochs=EPOCHS, seed=seed, per_second=per_second)
    state, found = search.init(), []
    for number in range(trials):
        answer = search.ask(state, Situation(number=number, space=SPACE))
        assert isinstance(answer, Suggestion)
        trial = Trial(number=number, values=answer.values, schedule=answer.schedule)
        level = (float(trial.values["rate"]) - 0.3) ** 2
        whole = level + 0.2 / np.arange(1.0, EPOCHS + 1)
        curve = tuple(whole[trial.start_epoch : trial.end_epoch].tolist())
        seconds = 0.5 + len(curve) * slower ** float(trial.values["size"])
        trial = dataclasses.replace(
            trial,
            status=Status.COMPLETED,
            curve=curve,
            loss=min(curve),
            score=min(curve),
            seconds=seconds,
        )
        found.append(trial)
        state = search.tell(state, trial, SPACE)
    return search, state, found


def mean_size(trials):
    """Of the configurations that the model has chosen."""
    return float(np.mean([t.values["size"] for t in trials if t.parent is None and t.number >= 8]))


def test_of_trainings_that_promise_as_much_the_cheaper_ones_are_chosen():
    cheap, plain = searched(per_second=True)[2], searched(per_second=False)[2]
    assert mean_size(cheap) < mean_size(plain) - 0.1
    best = min(trial.loss for trial in plain)
    assert min(trial.loss for trial in cheap) <= best + 0.01


def test_the_seconds_of_an_epoch_are_learnt_whatever_building_a_model_takes():
    _, state, _ = searched(per_second=False)
    cost = fit_cost(state, geometry_of(SPACE))
    rows = [tuple({"size": size, "rate": 0.5}.items()) for size in (0.0, 1.0)]
    geometry = geometry_of(SPACE)
    small, large = cost.logs(geometry.embed(encoded(geometry, rows)))
    assert large - small == pytest.approx(np.log(20.0), rel=0.3)
    rows = [tuple({"size": 0.5, "rate": rate}.items()) for rate in (0.0, 1.0)]
    low, high = cost.logs(geometry.embed(encoded(geometry, rows)))
    assert abs(high - low) < 0.5


def test_without_measured_times_nothing_is_cheaper():
    assert fit_cost(RungHistory(), geometry_of(SPACE)) is None
    _, state, _ = searched(per_second=True, trials=12)
    unknown = dataclasses.replace(
        state, segments=tuple(dataclasses.replace(s, seconds=0.0) for s in state.segments)
    )
    assert fit_cost(unknown, geometry_of(SPACE)) is None


def test_telling_the_same_trials_again_gives_the_same_proposals():
    search, state, trials = searched(per_second=True, trials=16)
    again = search.init()
    for trial in trials:
        question = Situation(number=trial.number, space=SPACE)
        answer = search.ask(again, question)
        assert (answer.values, answer.schedule) == (trial.values, trial.schedule)
        again = search.tell(again, trial, SPACE)
    assert again == state


def test_the_gradient_per_second_is_the_slope_of_its_value():
    class Bowl:
        def value(self, features):
            return -(features**2).sum(axis=1)

        def gradient(self, features):
            return self.value(features), -2 * features

    _, state, _ = searched(per_second=False)
    worth = PerSecond(Bowl(), fit_cost(state, geometry_of(SPACE)))
    point, step = np.array([[0.3, 0.6]]), 1e-6
    value, slope = worth.gradient(point)
    for axis in range(point.shape[1]):
        moved = point.copy()
        moved[0, axis] += step
        assert (worth.value(moved) - value)[0] / step == pytest.approx(slope[0, axis], rel=1e-3)


@pytest.mark.parametrize("name", ["repeats", "per_second"])
def test_switches_are_true_or_false(name):
    with pytest.raises(ArgumentError, match=f"{name}: must be"):
        ModelBasedHalving(**{name: "yes"})


def test_the_automatic_choice_passes_it_on():
    [halving] = Auto(max_epochs=9, per_second=True).algorithms.values()
    assert halving.per_second
    assert halving.repeats
