from __future__ import annotations

import keras
import pytest

from afina.errors import FailedTrialError, FatalTypeError, FatalValueError, OversizedModelError
from afina.training import build_model, parameter_count

from .conftest import Data, MakeModel


class Hyper:
    """A hypermodel whose build returns whatever it is given."""

    def __init__(self, result: object) -> None:
        self.result = result

    def build(self, hp: object) -> object:
        return self.result


def uncompiled() -> keras.Model:
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])


@pytest.mark.parametrize(
    ("result", "advice"),
    [(None, "forget `return model`"), (keras.Sequential, "call the class"), (3, "must return a K")],
)
def test_a_build_that_returns_no_model_ends_the_search_with_advice(
    result: object, advice: str
) -> None:
    with pytest.raises(FatalTypeError, match=advice):
        build_model(Hyper(result), None)


def test_a_model_that_is_not_compiled_ends_the_search_unless_the_tuner_compiles_it() -> None:
    with pytest.raises(FatalValueError, match=r"model\.compile"):
        build_model(Hyper(uncompiled()), None)
    model = build_model(Hyper(uncompiled()), None, optimizer="sgd", loss="mse")
    assert model.compiled
    assert model.loss == "mse"


def test_an_oversized_model_fails_its_trial_and_the_message_names_both_numbers(
    make_model: MakeModel,
) -> None:
    model = make_model(units=6)  # 4*6 + 6 + 2*6 + 6 + 1, the moving means are not trained
    assert parameter_count(model) == 49
    assert build_model(Hyper(model), None, max_model_size=49) is model
    with pytest.raises(OversizedModelError, match=r"49 .* max_model_size=48") as caught:
        build_model(Hyper(model), None, max_model_size=48)
    assert isinstance(caught.value, FailedTrialError)
    assert not isinstance(caught.value.__cause__, FailedTrialError)


def test_a_model_built_by_its_first_batch_is_not_counted(make_model: MakeModel) -> None:
    model = make_model(built=False)
    assert build_model(Hyper(model), None, max_model_size=1) is model


def test_parts_of_compile_that_the_tuner_does_not_give_are_kept(data: Data) -> None:
    def my_loss(y: object, predicted: object) -> object:
        return keras.ops.mean(keras.ops.abs(y - predicted), axis=-1)

    model = uncompiled()
    model.compile("adam", my_loss, metrics=["mae"], loss_weights=2.0, run_eagerly=True)
    built = build_model(Hyper(model), None, optimizer=keras.optimizers.SGD(0.25))

    assert built.optimizer.name == "SGD" or isinstance(built.optimizer, keras.optimizers.SGD)
    assert float(built.optimizer.learning_rate) == 0.25
    assert built.loss is my_loss
    assert built.run_eagerly
    logs = built.evaluate(*data, verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(2 * logs["mae"], rel=1e-5)


def test_each_model_gets_optimizer_loss_and_metrics_of_its_own(data: Data) -> None:
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5))
    metric = keras.metrics.MeanAbsoluteError(name="error")
    models = [
        build_model(Hyper(uncompiled()), None, optimizer=optimizer, loss="mse", metrics=[metric])
        for _ in range(2)
    ]
    for model in models:
        assert "error" in model.fit(*data, verbose=0).history
        assert int(model.optimizer.iterations) == 2
    assert models[0].optimizer is not models[1].optimizer
    assert int(optimizer.iterations) == 0
    assert not optimizer.built


def test_an_optimizer_that_cannot_be_made_anew_ends_the_search_with_advice() -> None:
    class Odd(keras.optimizers.SGD):  # type: ignore[misc]
        def __init__(self, rate: float) -> None:
            super().__init__(learning_rate=rate)

    with pytest.raises(FatalValueError, match="get_config"):
        build_model(Hyper(uncompiled()), None, optimizer=Odd(0.1), loss="mse")
