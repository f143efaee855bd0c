import dataclasses

import numpy as np
import pytest

from afina.search import ModelBasedHalving, Situation
from afina.search.fidelity import rung_model
from afina.search.fidelity.luck import epoch_luck
from afina.space import Float, Space
from afina.trials import Status, Trial

EPOCHS = 9
SPACE = Space((Float("x", 0.0, 1.0), Float("y", 0.0, 1.0)))


def full_trainings(noise, budget=80):
    """How many of the trainings of a search end in full, where every epoch has noise of its own."""
    search = ModelBasedHalving(max_epochs=EPOCHS, seed=0)
    state, number, spent, full, curves = search.init(), 0, 0, 0, {}
    while spent < budget:
        answer = search.ask(state, Situation(number=number, space=SPACE))
        trial = Trial(number=number, values=answer.values, schedule=answer.schedule)
        rng = np.random.default_rng(number)
        level = 0.2 + 0.1 * ((trial.values["x"] - 0.5) ** 2 + (trial.values["y"] - 0.5) ** 2)
        fresh = level + 0.1 / np.arange(1.0, EPOCHS + 1) + noise * rng.normal(size=EPOCHS)
        curves[number] = fresh if trial.parent is None else curves[trial.parent]
        curve = tuple(curves[number][trial.start_epoch : trial.end_epoch].tolist())
        spent, full = spent + len(curve), full + (trial.end_epoch == EPOCHS)
        trial = dataclasses.replace(
            trial, status=Status.COMPLETED, curve=curve, loss=min(curve), score=min(curve)
        )
        state, number = search.tell(state, trial, SPACE), number + 1
    return full


@pytest.mark.parametrize("noise", [0.0, 0.002, 0.05])
def test_the_luck_of_an_epoch_is_told_from_the_fall_of_a_curve(noise):
    rng = np.random.default_rng(0)
    fall = 0.3 + 0.5 / np.arange(1.0, 31.0)
    curves = [fall + noise * rng.normal(size=30) for _ in range(4)]
    assert epoch_luck(curves) == pytest.approx(noise, rel=0.3, abs=2e-4)


def test_curves_that_are_short_or_have_epochs_without_a_loss_tell_no_luck():
    assert epoch_luck([]) == epoch_luck([(1.0, 3.0, 1.0, 3.0, 1.0)]) == 0.0
    assert epoch_luck([(1.0, 3.0, float("nan"), 3.0, 1.0, 3.0, 1.0)]) == 0.0


def test_where_epochs_differ_by_luck_more_trainings_are_finished(monkeypatch):
    finished = full_trainings(0.03)
    monkeypatch.setattr(rung_model, "MOST_LUCK", 0.0)
    assert finished > full_trainings(0.03)


def test_where_no_epoch_is_lucky_the_search_is_as_without_luck(monkeypatch):
    finished = full_trainings(0.0)
    monkeypatch.setattr(rung_model, "MOST_LUCK", 0.0)
    assert finished == full_trainings(0.0)
