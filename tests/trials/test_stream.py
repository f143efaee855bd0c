"""What seeds a training: the same for the same part of the same configuration."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from afina.store import MemoryStore
from afina.trials import Schedule, Status, Trial, stream_of

VALUES = {"units": 64, "rate": 0.1, "kind": "relu", "bias": True, "none": None}
PART = Schedule(bracket=2, rung=1, start_epoch=3, end_epoch=9, parent=4, iteration=1)


def alone(trial):
    return stream_of(trial, {trial.number: trial})


def test_neither_the_number_nor_the_parent_s_number_matters():
    trial = Trial(number=5, values=VALUES, schedule=PART)
    other = replace(trial, number=9, schedule=replace(PART, parent=7))
    assert alone(trial) == alone(other)


def test_the_values_and_the_part_of_the_training_matter():
    trial = Trial(number=5, values=VALUES, schedule=PART)
    variants = [
        trial,
        replace(trial, schedule=None),
        *(replace(trial, schedule=replace(PART, **{name: 0})) for name in ("bracket", "rung")),
        replace(trial, schedule=replace(PART, iteration=0)),
        replace(trial, values={**VALUES, "rate": 0.2}),
        replace(trial, values={**VALUES, "bias": 1}),
        replace(trial, values={**VALUES, "units": 64.0}),
    ]
    for one, other in itertools.combinations(variants, 2):
        assert alone(one)[0] != alone(other)[0]


def test_a_configuration_that_comes_again_draws_anew():
    trials = {n: Trial(number=n, values={"x": n % 2}, schedule=PART) for n in range(6)}
    trials[6] = replace(trials[0], number=6, schedule=None)
    assert [stream_of(trial, trials)[1] for trial in trials.values()] == [0, 0, 1, 1, 2, 2, 0]
    assert len({stream_of(trial, trials) for trial in trials.values()}) == 7


def test_what_a_store_gives_back_has_the_stream_of_what_was_put_in():
    values = {"a": np.int64(3), "b": np.float64(0.1), "c": np.bool_(True), "d": 1e-30, "e": "ä"}
    trial = Trial(number=0, values=values, schedule=PART, status=Status.RUNNING)
    store = MemoryStore()
    store.put(trial)
    assert alone(store.trials()[0]) == alone(trial)


def test_it_is_the_same_in_every_process():
    trial = Trial(number=0, values={"units": 8, "rate": 0.1})
    assert alone(trial) == (1745149546835719440, 0)


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_the_order_of_the_values_does_not_matter(order):
    values = {"a": 1, "b": 2}
    shuffled = Trial(number=0, values={name: values[name] for name in order})
    assert alone(shuffled) == alone(Trial(number=0, values=values))
