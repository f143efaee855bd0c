"""Convolutions of a fused epoch: in the layout that XLA's CPU backend computes quickly in loops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import keras
import numpy as np
import pytest
from jax import lax

from afina.training import Account, fresh_session
from afina.training.choice import TrainerChooser
from afina.training.fused import Engine, convolutions, engine
from afina.training.fused.convolutions import PRIMITIVE, canonical, has_convolutions, traced_for
from afina.training.fused.engine import first_line

pytestmark = pytest.mark.service  # `make test` searches over images: tests/spaces

layers, ops = keras.layers, keras.ops


class Own(layers.Layer):  # type: ignore[misc]
    """A convolution that no layer of Keras' does."""

    def __init__(self, around: Callable[..., Any] = lambda function: function) -> None:
        super().__init__()
        self.around = around

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(shape=(3, 3, shape[-1], 2))

    def call(self, inputs: Any) -> Any:
        def convolve(images: Any, kernel: Any) -> Any:
            return ops.conv(images, kernel, padding="same")

        return self.around(convolve)(inputs, ops.convert_to_tensor(self.kernel))


def with_own_gradient(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with a derivative that is written down, as users write them."""
    call = jax.custom_vjp(function)

    def forward(*args: Any) -> Any:
        return function(*args), args

    def backward(args: Any, gradient: Any) -> Any:
        return jax.vjp(function, *args)[1](gradient)

    call.defvjp(forward, backward)
    return call  # type: ignore[no-any-return]


def in_a_branch(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        return lax.cond(args[0].sum() > -1e9, function, lambda *given: function(*given) * 2, *args)

    return call


def twice_in_a_loop(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(images: Any, kernel: Any) -> Any:
        step = lambda carry, _: (function(carry, kernel), None)  # noqa: E731
        return lax.scan(step, images, None, length=2)[0]

    return call


class OwnStep(keras.Model):  # type: ignore[misc]
    """Takes the gradients itself."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.dense = layers.Conv2D(2, 3), layers.Dense(1)

    def call(self, inputs: Any) -> Any:
        return self.dense(ops.mean(self.convolution(inputs), (1, 2)))

    def train_step(self, state: Any, data: Any) -> Any:
        trainable, others, optimizer, metrics = state
        x, y = data

        def loss(weights: Any) -> Any:
            outputs, _ = self.stateless_call(weights, others, x)
            return ops.mean((outputs - ops.reshape(y, (-1, 1))) ** 2)

        value, gradients = jax.value_and_grad(loss)(trainable)
        trainable, optimizer = self.optimizer.stateless_apply(optimizer, gradients, trainable)
        return {"loss": value}, (trainable, others, optimizer, metrics)


IMAGE, LINE, SPACE = (6, 6, 2), (8, 2), (4, 4, 4, 2)


def model_of(shape: tuple[int, ...], *middle: Any) -> keras.Model:
    return keras.Sequential([keras.Input(shape), *middle, layers.Flatten(), layers.Dense(1)])


def nested() -> keras.Model:
    inner = keras.Sequential([keras.Input(IMAGE), layers.Conv2D(2, 3)])
    middle = keras.Input(IMAGE)
    return model_of(IMAGE, keras.Model(middle, inner(middle)))


def branched() -> keras.Model:
    inputs = keras.Input(IMAGE)
    parts = [layers.Conv2D(2, 3, padding="same")(inputs), layers.DepthwiseConv2D(3)(inputs)]
    flat = [layers.GlobalAveragePooling2D()(part) for part in parts]
    return keras.Model(inputs, layers.Dense(1)(layers.Concatenate()(flat)))


CONVOLVE: dict[str, Callable[[], keras.Model]] = {
    "1 dimension": lambda: model_of(LINE, layers.Conv1D(2, 3)),
    "2 dimensions": lambda: model_of(IMAGE, layers.Conv2D(2, 3)),
    "3 dimensions": lambda: model_of(SPACE, layers.Conv3D(2, 3)),
    "two after each other": lambda: model_of(IMAGE, layers.Conv2D(3, 3), layers.Conv2D(2, 3)),
    "causal": lambda: model_of(LINE, layers.Conv1D(2, 3, padding="causal")),
    "strides": lambda: model_of(IMAGE, layers.Conv2D(2, 3, 2, "same")),
    "dilated": lambda: model_of(IMAGE, layers.Conv2D(2, 3, dilation_rate=2)),
    "groups": lambda: model_of(IMAGE, layers.Conv2D(4, 3, groups=2)),
    "1 x 1": lambda: model_of(IMAGE, layers.Conv2D(3, 1), layers.Conv2D(2, 1)),
    "1 dimension transposed": lambda: model_of(LINE, layers.Conv1DTranspose(2, 3, 2)),
    "2 dimensions transposed": lambda: model_of(IMAGE, layers.Conv2DTranspose(2, 3, 2)),
    "3 dimensions transposed": lambda: model_of(SPACE, layers.Conv3DTranspose(2, 3)),
    "1 dimension depthwise": lambda: model_of(LINE, layers.DepthwiseConv1D(3)),
    "2 dimensions depthwise": lambda: model_of(IMAGE, layers.DepthwiseConv2D(3)),
    "1 dimension separable": lambda: model_of(LINE, layers.SeparableConv1D(2, 3)),
    "2 dimensions separable": lambda: model_of(IMAGE, layers.SeparableConv2D(2, 3)),
    "channels first": lambda: model_of(IMAGE, layers.Conv2D(2, 2, data_format="channels_first")),
    "recurrent": lambda: model_of((3, *IMAGE), layers.ConvLSTM2D(2, 3)),
    "at each time": lambda: model_of((3, *IMAGE), layers.TimeDistributed(layers.Conv2D(2, 3))),
    "both ways": lambda: model_of((3, *LINE), layers.Bidirectional(layers.ConvLSTM1D(2, 3))),
    "nested models": nested,
    "branches": branched,
    "own layer": lambda: model_of(IMAGE, Own()),
    "own gradient": lambda: model_of(IMAGE, Own(with_own_gradient)),
    "own checkpoint": lambda: model_of(IMAGE, Own(jax.checkpoint)),
    "own branch": lambda: model_of(IMAGE, Own(in_a_branch)),
    "own loop": lambda: model_of(IMAGE, Own(twice_in_a_loop)),
    "own program": lambda: model_of(IMAGE, Own(jax.jit)),
    "own step": OwnStep,
}
OTHERS: dict[str, Callable[[], keras.Model]] = {
    "dense": lambda: model_of(LINE, layers.Dense(3)),
    "pooling": lambda: model_of(IMAGE, layers.MaxPooling2D(), layers.AveragePooling2D(2)),
    "recurrent": lambda: model_of(LINE, layers.LSTM(3)),
}


def shape_of(model: keras.Model) -> tuple[int, ...]:
    return IMAGE if isinstance(model, OwnStep) else tuple(model.input_shape[1:])


def data_of(model: keras.Model, rows: int = 10) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, *shape_of(model))).astype("float32")
    return x, rng.normal(size=(rows, 1)).astype("float32")


def made(make: Callable[[], keras.Model]) -> keras.Model:
    fresh_session()
    keras.utils.set_random_seed(3)
    model = make()
    model.compile("sgd", "mse")
    return model


def layouts(closed: Any) -> Iterator[Any]:
    """Of each convolution in a traced function."""
    for equation in convolutions._equations(closed.jaxpr):
        if equation.primitive.name == PRIMITIVE:
            yield equation.params["dimension_numbers"]


def is_quick(layout: Any) -> bool:
    rank = len(layout.lhs_spec)
    space = tuple(range(1, rank - 1))
    ends = (rank - 1, rank - 2, *range(rank - 2))
    return tuple(layout) == ((0, rank - 1, *space), ends, (0, rank - 1, *space))


class Traced(Exception):  # noqa: N818
    """Ends a training before its programs are compiled, which takes long."""


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The jaxprs of a training's programs, which are traced and no more."""
    seen: list[Any] = []

    def end(traced: Sequence[Any], device: Any) -> Any:
        del device
        seen.extend(each.jaxpr for each in traced if each is not None)
        raise Traced

    def let_through(error: Exception) -> str:
        if isinstance(error, Traced):
            raise error
        return first_line(error)

    monkeypatch.setattr(engine, "lower", end)
    monkeypatch.setattr(engine, "first_line", let_through)
    return seen


@pytest.mark.first(
    "1 dimension",
    "2 dimensions",
    "3 dimensions",
    "strides",
    "dilated",
    "groups",
    "2 dimensions transposed",
    "2 dimensions depthwise",
    "2 dimensions separable",
    "channels first",
    "recurrent",
    "nested models",
    "branches",
    "own layer",
    "own gradient",
    "own loop",
    "own step",
)
@pytest.mark.parametrize("name", CONVOLVE)
def test_each_kind_of_convolution_is_fused_in_the_quick_layout(
    name: str, programs: list[Any]
) -> None:
    model = made(CONVOLVE[name])
    data = data_of(model)
    settings = {"batch_size": 4, "verbose": 0, "validation_data": data}
    with pytest.raises(Traced):
        TrainerChooser("auto", Engine()).fit(model, data, settings, Account())
    found = [layout for program in programs for layout in layouts(program)]
    assert len(programs) == 2
    assert found
    assert all(map(is_quick, found))


@pytest.mark.parametrize("name", OTHERS)
def test_other_models_are_fused_as_they_were_traced_first(
    name: str, programs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convolutions, "canonical", lambda traced: pytest.fail("traced again"))
    model = made(OTHERS[name])
    with pytest.raises(Traced):
        TrainerChooser("auto", Engine()).fit(model, data_of(model), {"verbose": 0}, Account())
    assert programs


@pytest.mark.first("2 dimensions transposed", "own loop")
@pytest.mark.parametrize(
    "name", ["strides", "2 dimensions transposed", "1 dimension depthwise", "own loop", "own step"]
)
def test_fused_convolutions_give_the_numbers_of_fit(name: str) -> None:
    trained = []
    for mode in ("fused", "fit"):
        model, account = made(CONVOLVE[name]), Account()
        settings = {"batch_size": 4, "epochs": 2, "verbose": 0}
        history = TrainerChooser(mode, Engine()).fit(model, data_of(model), settings, account)
        trained.append((history.history["loss"], *model.get_weights()))
        assert account.path.startswith(mode)
    for one, other in zip(*trained, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_some_convolutions_are_in_another_layout_before() -> None:
    model = made(CONVOLVE["2 dimensions"])
    x, y = data_of(model)

    def loss(weights: Any) -> Any:
        return ((model.stateless_call(weights, [], x)[0] - y) ** 2).mean()

    traced = jax.jit(jax.grad(loss)).trace([v.value for v in model.trainable_variables])
    assert not all(map(is_quick, layouts(traced.jaxpr)))


def test_on_other_devices_than_a_cpu_convolutions_stay_as_they_are() -> None:
    class Gpu:
        platform = "gpu"

    first = ("NCH", "OIH", "NCH")
    image, kernel = jax.ShapeDtypeStruct((2, 3, 5), "float32"), np.ones((4, 3, 2), "float32")

    def convolve(image: Any) -> Any:
        return lax.conv_general_dilated(image, kernel, (1,), "VALID", dimension_numbers=first)

    [before] = layouts(traced_for(Gpu(), convolve, image).jaxpr)
    assert not is_quick(before)
    [after] = layouts(traced_for(jax.devices("cpu")[0], convolve, image).jaxpr)
    assert is_quick(after)


LAYOUTS = {
    "channels first": ("NCHW", "OIHW", "NCHW"),
    "channels last": ("NHWC", "HWIO", "NHWC"),
    "gradient of a kernel": ("CHWN", "IHWO", "HWNC"),
    "all mixed up": ("HCWN", "WIHO", "CWNH"),
    "axes of space swapped": ("NWHC", "HWIO", "NHWC"),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "strides": {"window_strides": (2, 1)},
    "padding": {"padding": [(1, 2), (0, 1)]},
    "dilated": {"rhs_dilation": (1, 2), "lhs_dilation": (2, 1), "padding": [(0, 0), (0, 0)]},
    "features in groups": {"feature_group_count": 2, "features": 2},
    "samples in groups": {"batch_group_count": 2},
    "more exact": {"preferred_element_type": "float32", "precision": "highest"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("options", OPTIONS)
def test_the_quick_layout_gives_the_same_sums_in_the_same_places(layout: str, options: str) -> None:
    chosen = dict(OPTIONS[options])
    sizes = {"N": 4, "C": 4, "H": 5, "W": 6}
    kernel_sizes = {"O": 4, "I": chosen.pop("features", 4), "H": 2, "W": 3}
    lefts, rights, _ = LAYOUTS[layout]
    rng = np.random.default_rng(0)
    left = rng.normal(size=[sizes[axis] for axis in lefts]).astype("float32")
    right = rng.normal(size=[kernel_sizes[axis] for axis in rights]).astype("float32")

    def convolve(left: Any, right: Any) -> Any:
        settings = {"window_strides": (1, 1), "padding": "VALID", **chosen}
        numbers = LAYOUTS[layout]
        return lax.conv_general_dilated(left, right, dimension_numbers=numbers, **settings)

    traced = jax.jit(convolve).trace(left, right)
    quick = jax.jit(canonical(traced))
    assert has_convolutions(traced.jaxpr)
    assert all(map(is_quick, layouts(jax.make_jaxpr(quick)(left, right))))
    np.testing.assert_allclose(quick(left, right), convolve(left, right), rtol=1e-5, atol=1e-5)
