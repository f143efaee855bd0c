"""Programs draw the numbers that JAX draws, without a loop for each draw."""

from __future__ import annotations

from typing import Any

import jax
import keras
import numpy as np
import pytest

from afina.training.epochs.reasons import fit_arguments
from afina.training.fused.data import data_cache
from afina.training.fused.draws import options_of_lowering
from afina.training.fused.plan import Plan
from afina.training.fused.program import ModelState, ProgramFunctions, lower, trace

from .conftest import arrays, both, layers, sequential

X, Y = arrays(rows=48)


def bits(key: Any) -> Any:
    return jax.random.bits(key, (5, 7)), jax.random.normal(key, (33,)), jax.random.split(key, 3)


@pytest.mark.parametrize("partitionable", [True, False])
def test_draws_are_those_of_jax_to_the_bit(partitionable: bool) -> None:
    options = options_of_lowering("cpu")
    assert options  # this JAX has the parts
    for seed in (0, 1, 2**31 + 7):
        with jax.threefry_partitionable(partitionable):
            key = jax.random.PRNGKey(np.uint32(seed))
            quick = jax.jit(bits).trace(key).lower(**options).compile()(key)
            for one, other in zip(quick, jax.jit(bits)(key), strict=True):
                np.testing.assert_array_equal(one, other)


def test_a_program_has_the_loop_over_its_steps_and_none_for_its_draws() -> None:
    given = fit_arguments((X, Y), {"batch_size": 16})
    assert isinstance(given, dict)
    train, _ = data_cache().parts(given)
    model = sequential(layers.Dropout(0.3), layers.Dense(4), layers.Dropout(0.2))
    train.batches.build(model)
    functions = ProgramFunctions(model, train, None, Plan.of(model, train, None))
    device = jax.devices()[0]
    traced = trace(functions, ModelState.of(model), train, None, rows=48, device=device)
    assert lower(traced, device)[0].as_text().count("stablehlo.while") == 1


def test_other_devices_keep_their_own_way() -> None:
    assert options_of_lowering("gpu") == {}


def test_dropout_and_noise_train_as_by_fit() -> None:
    def make() -> keras.Model:
        return sequential(layers.GaussianNoise(0.2), layers.Dense(4), layers.Dropout(0.4))

    both(make, X, Y, epochs=2, batch_size=16)
