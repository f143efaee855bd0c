"""Quick initializers draw what plain ones draw, to the bit."""

from __future__ import annotations

from typing import Any

import jax
import keras
import numpy as np
import pytest

from afina.training import keras_parts
from afina.training.fused import quick_initializers
from afina.training.fused.initializers import SMALLEST

pytestmark = pytest.mark.service  # each model of `make test` draws its weights so

initializers = keras.initializers
KINDS: dict[str, Any] = {
    name: kind
    for name, kind in vars(initializers).items()
    if isinstance(kind, type)
    and issubclass(kind, initializers.Initializer)
    and kind is not initializers.Initializer
}
SPECIAL = {"Identity": [(5, 5), (3, 7)], "IdentityInitializer": [(5, 5)], "STFT": [(9, 1, 10)]}
SHAPES = [(7,), (3, 5), (33, 40), (3, 3, 2, 5), (1, 1)]


def draws(kind: Any, shape: tuple[int, ...], dtype: str) -> list[np.ndarray[Any, Any]]:
    options = {"value": 0.3} if kind is initializers.Constant else {}
    seeded = "seed" in kind.__init__.__code__.co_varnames
    made = [kind(**options, **({"seed": seed} if seeded else {})) for seed in (1, 2)]
    keras.utils.set_random_seed(7)
    values = [each(shape, dtype=dtype) for each in [*made, kind(**options)]]
    return [keras.ops.convert_to_numpy(value) for value in values]


@pytest.mark.first(*(f"{name}-float32" for name in KINDS))
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", KINDS)
def test_every_initializer_of_keras_gives_the_same_numbers(name: str, dtype: str) -> None:
    shapes = SPECIAL.get(name, SHAPES if name != "Orthogonal" else SHAPES[1:4])
    for shape in shapes if dtype == "float32" else shapes[:2]:
        try:
            plain = draws(KINDS[name], shape, dtype)
        except Exception as error:  # an initializer that is not for this type
            with quick_initializers(), pytest.raises(type(error)):
                draws(KINDS[name], shape, dtype)
            continue
        with quick_initializers():
            quick = draws(KINDS[name], shape, dtype)
        for mine, theirs in zip(quick, plain, strict=True):
            assert mine.dtype == theirs.dtype
            np.testing.assert_array_equal(mine.view("uint8"), theirs.view("uint8"))


@pytest.mark.parametrize("count", [1, SMALLEST - 1, SMALLEST, SMALLEST + 1, 4 * SMALLEST + 3])
def test_draws_of_all_lengths_are_cut_from_longer_ones(count: int) -> None:
    for draw in (keras.random.normal, keras.random.uniform, keras.random.truncated_normal):
        plain = draw((count,), seed=3)
        with quick_initializers():
            np.testing.assert_array_equal(draw((count,), seed=3), plain)


def test_nothing_is_drawn_for_an_empty_shape() -> None:
    with quick_initializers():
        assert keras.random.normal((0, 3), seed=1).shape == (0, 3)
        assert keras.ops.zeros((0,)).shape == (0,)


@pytest.mark.parametrize("dtype", [None, "float32", "int32", "uint8", "bool", "bfloat16"])
def test_zeros_and_ones_have_the_type_that_was_asked_for(dtype: str | None) -> None:
    for fill in (keras.ops.zeros, keras.ops.ones):
        plain = fill((2, 3), dtype=dtype)
        with quick_initializers():
            quick = fill((2, 3), dtype=dtype)
            assert fill(3).shape == (3,)
        assert quick.dtype == plain.dtype
        np.testing.assert_array_equal(quick, plain)


def test_bounds_and_means_that_are_arrays_are_spread_over_the_shape() -> None:
    low, high = np.zeros(3, "float32"), np.arange(1.0, 4.0, dtype="float32")
    plain = (
        keras.random.uniform((5, 3), low, high, seed=1),
        keras.random.normal((5, 3), high, seed=1),
    )
    with quick_initializers():
        quick = keras.random.uniform((5, 3), low, high, seed=1)
        other = keras.random.normal((5, 3), high, seed=1)
    np.testing.assert_array_equal(quick, plain[0])
    np.testing.assert_array_equal(other, plain[1])


def test_a_model_has_the_same_weights_and_draws_the_same_afterwards() -> None:
    def build() -> list[Any]:
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(4)
        model = keras.Sequential(
            [
                keras.Input((6, 2)),
                keras.layers.LSTM(3, return_sequences=True),
                keras.layers.Dense(4),
                keras.layers.Flatten(),
                keras.layers.Dense(2, kernel_initializer="he_normal"),
            ]
        )
        after = keras.random.normal((3,))
        return [*model.get_weights(), keras.ops.convert_to_numpy(after)]

    plain = build()
    with quick_initializers():
        quick = build()
    assert all(map(np.array_equal, quick, plain))


def test_draws_within_a_trace_belong_to_the_program() -> None:
    def draw(seed: Any) -> Any:
        return (
            keras.random.uniform((3,), seed=seed)
            + keras.random.normal((3,), stddev=seed[0], seed=seed)
            + keras.ops.ones((3,))
        )

    seeds = jax.numpy.array([1, 2], "uint32")
    plain = jax.jit(draw)(seeds)
    with quick_initializers():
        traced = jax.make_jaxpr(draw)(seeds)
        np.testing.assert_array_equal(jax.jit(draw)(seeds), plain)
    assert "random_bits" in str(traced) or "threefry" in str(traced)


def test_symbolic_shapes_are_left_alone() -> None:
    def draw(x: Any) -> Any:
        return keras.ops.zeros(keras.ops.shape(x)) + x

    with quick_initializers():
        outputs = keras.layers.Lambda(draw, output_shape=(3,))(keras.Input((3,)))
    assert outputs.shape == (None, 3)


def functions() -> list[Any]:
    parts = keras_parts.drawing_and_filling()
    assert parts is not None
    random, numpy = parts
    return [random.uniform, random.normal, random.truncated_normal, numpy.zeros, numpy.ones]


def test_everything_is_as_before_when_the_block_is_left() -> None:
    before = functions()
    with quick_initializers():
        assert all(map(lambda a, b: a is not b, functions(), before))
        with quick_initializers():
            pass
        assert all(map(lambda a, b: a is not b, functions(), before))
    assert functions() == before
    with pytest.raises(ZeroDivisionError), quick_initializers():
        raise ZeroDivisionError
    assert functions() == before


@pytest.mark.parametrize("setting", ["jax_threefry_partitionable", "jax_disable_jit"])
def test_where_the_generator_lacks_the_property_nothing_changes(setting: str) -> None:
    before = getattr(jax.config, setting)
    jax.config.update(setting, not before)
    try:
        plain = functions()
        with quick_initializers():
            assert functions() == plain
    finally:
        jax.config.update(setting, before)


def test_other_backends_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    before = functions()
    with quick_initializers():
        assert functions() == before
