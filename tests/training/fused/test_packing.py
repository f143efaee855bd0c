"""Small variables lie end to end in one array, and are updated as if they did not."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax
import keras
import numpy as np
import pytest

from afina.training.epochs.reasons import fit_arguments
from afina.training.fused import Engine
from afina.training.fused.data import data_cache
from afina.training.fused.deferred import NUMBERWISE
from afina.training.fused.packing import LARGEST, packer_of
from afina.training.fused.program import ModelState

from .conftest import arrays, both, dense, layers, sequential

pytestmark = pytest.mark.service  # each fused training of `make test` packs its variables

optimizers = keras.optimizers


X, Y = arrays(rows=8)


def built(optimizer: Any) -> keras.Model:
    """A model of four small variables, its optimizer with moments that are not zero."""
    keras.utils.set_random_seed(0)
    model = sequential(layers.Dense(3, activation="tanh"), optimizer=optimizer)
    given = fit_arguments((X, Y), {})
    assert isinstance(given, dict)
    data_cache().parts(given)[0].batches.build(model)
    rng = np.random.default_rng(0)
    for variable in model.optimizer.variables[2:]:
        variable.assign(np.abs(rng.normal(size=variable.shape)) + 0.1)
    return model


SETTINGS: list[Any] = [
    *(kind(0.01) for kind in NUMBERWISE),
    optimizers.Adam(0.01, amsgrad=True, weight_decay=0.1),
    optimizers.SGD(optimizers.schedules.ExponentialDecay(0.1, 1, 0.5), momentum=0.9, nesterov=True),
    optimizers.RMSprop(0.01, momentum=0.5, centered=True),
    optimizers.Adam(0.01, clipvalue=0.01),
    optimizers.Adam(0.01, loss_scale_factor=8.0),
]


@pytest.mark.first(
    "SGD0", "RMSprop0", "Adam0", "AdamW", "Adagrad", "Lion", "Adam1", "SGD1", "RMSprop1", "Adam2"
)
@pytest.mark.parametrize("optimizer", SETTINGS, ids=lambda each: type(each).__name__)
def test_a_step_on_packed_variables_is_the_step_on_each_to_the_bit(optimizer: Any) -> None:
    model = built(type(optimizer).from_config(optimizer.get_config()))
    packer = packer_of(model)
    assert packer is not None
    state = ModelState.of(model)
    begin = state.trainable, state.non_trainable, state.optimizer
    device = jax.devices()[0]
    packed = packer.packing.pack(begin, device)
    assert len(packed[0]) == 1
    assert len(packed[2]) < 8
    logs, plain = model.train_step((*begin, state.metrics), (X, Y))
    packed_logs, after = packer.train_step((*packed, state.metrics), (X, Y))
    assert float(logs["loss"]) == float(packed_logs["loss"])
    found = packer.packing.unpack(after[:3], device)
    for one, other in zip(jax.tree.leaves(plain[:3]), jax.tree.leaves(found), strict=True):
        if isinstance(optimizer, optimizers.Ftrl):
            # It takes powers. Some processors compute those of a full vector and those of the
            # rest of an array in two ways, which differ in the last digit.
            np.testing.assert_allclose(one, other, rtol=3e-7, atol=1e-9)
        else:
            np.testing.assert_array_equal(one, other)


def constrained() -> keras.Model:
    return sequential(layers.Dense(3, kernel_constraint="non_neg", bias_constraint="non_neg"))


def decaying() -> keras.Model:
    model = built(optimizers.AdamW(0.01))
    model.optimizer.exclude_from_weight_decay(var_names=["bias"])
    return model


class Own(optimizers.Adam):  # type: ignore[misc]
    """An optimizer of the user's."""


APART: dict[str, Callable[[], keras.Model]] = {
    "norm of a variable": lambda: built(optimizers.Adam(clipnorm=1.0)),
    "norm of all": lambda: built(optimizers.Adam(global_clipnorm=1.0)),
    "moving average": lambda: built(optimizers.Adam(use_ema=True)),
    "several steps at once": lambda: built(optimizers.Adam(gradient_accumulation_steps=2)),
    "a hidden variable": lambda: built(optimizers.Nadam()),
    "rows and columns": lambda: built(optimizers.Adafactor()),
    "norms of layers": lambda: built(optimizers.Lamb()),
    "scaled losses": lambda: built(optimizers.LossScaleOptimizer(optimizers.Adam())),
    "the user's own": lambda: built(Own()),
    "decay of some": decaying,
}


@pytest.mark.parametrize("name", APART)
def test_what_does_more_than_treat_each_number_by_itself_is_not_packed(name: str) -> None:
    assert packer_of(APART[name]()) is None


def test_large_variables_and_those_with_constraints_stay_by_themselves() -> None:
    model = constrained()
    model.optimizer.build(model.trainable_variables)
    packer = packer_of(model)  # the last layer's only
    assert packer is not None
    assert packer.packing.trainable.groups == ((0,), (1,), (2, 3))
    wide = sequential(layers.Dense(8), columns=LARGEST // 8 + 1)
    wide.optimizer.build(wide.trainable_variables)
    packer = packer_of(wide)
    assert packer is not None
    assert packer.packing.trainable.groups == ((0,), (1, 2, 3))


def test_a_single_small_variable_is_not_packed() -> None:
    model = keras.Sequential([keras.Input((6,)), layers.Dense(1, use_bias=False)])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    assert packer_of(model) is None


def test_packed_epochs_are_those_of_fit() -> None:
    x, y = arrays()
    engine = Engine()
    both(dense, x, y, engine=engine, epochs=3, batch_size=16, sample_weight=x[:, 1] ** 2)
    [slot] = engine.programs._slots.values()
    assert slot.program is not None
    assert slot.program.packing is not None


def test_gradients_are_not_laid_end_to_end_by_masked_loads() -> None:
    # A masked load of memory that is not there costs microseconds: see `Packed.lay_over`.
    x, y = arrays()
    engine = Engine()
    both(dense, x, y, engine=engine, epochs=1, batch_size=16)
    [slot] = engine.programs._slots.values()
    assert slot.program is not None
    text = slot.program.train.as_text()
    assert re.search(r"f32\[\d+\]\S* dynamic-update-slice\(", text)
    assert not re.search(r"f32\[\d+\]\S* concatenate\(", text)


def test_a_rate_that_is_a_function_packs_nothing_and_trains_as_in_fit() -> None:
    def make() -> keras.Model:
        return dense(optimizer=keras.optimizers.Adam(lambda: 0.01))

    x, y = arrays()
    model = make()
    model.optimizer.build(model.trainable_variables)
    assert packer_of(model) is None
    both(make, x, y, epochs=2)
