"""A Keras that lacks what Afina uses of its private parts: all trains on, without the fast path."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import afina as kt
from afina.training import Account, fresh_session, keras_parts, session
from afina.training.choice import TrainerChooser, building
from afina.training.fused import Engine
from afina.training.plain import multiplications

from .conftest import Data, MakeModel

SETTINGS = {"epochs": 2, "verbose": 0, "batch_size": 16}


Hide = Callable[..., None]


@pytest.fixture
def hide(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hide]:
    """Hides a module, or a name in it, and looks anew at what this Keras has.

    From Afina only: without them, Keras would not work itself.
    """
    known = importlib.import_module

    def hide(module: str, name: str | None = None) -> None:
        class Without:
            def __getattr__(self, other: str) -> Any:
                if other == name:
                    raise AttributeError(other)
                return getattr(known(module), other)

        def without(wanted: str, *args: Any) -> Any:
            if wanted == module and name is None:
                raise ModuleNotFoundError(wanted)
            return Without() if wanted == module else known(wanted, *args)

        monkeypatch.setattr(importlib, "import_module", without)
        importlib.reload(keras_parts)
        monkeypatch.setattr(session, "_state", keras_parts.session_module())

    yield hide
    monkeypatch.undo()
    importlib.reload(keras_parts)


def trained(data: Data, make_model: MakeModel, mode: Any) -> tuple[Account, Any]:
    """How a model was trained, and what came of it."""
    keras.utils.set_random_seed(5)
    with building():
        model = make_model()
    account = Account()
    history = TrainerChooser(mode, Engine()).fit(
        model, data, {**SETTINGS, "validation_data": data}, account
    )
    return account, [*history.history.values(), *model.get_weights()]


def assert_close(one: Any, other: Any) -> None:
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("module", "name"), keras_parts.IMPORTED)
def test_without_a_name_in_a_module_models_train_by_fit_and_the_reason_names_it(
    module: str, name: str, data: Data, make_model: MakeModel, hide: Hide
) -> None:
    expected = trained(data, make_model, "fit")[1]
    hide(module, name)
    assert keras_parts.missing == (name,)
    account, found = trained(data, make_model, "auto")
    rule = "which fused epochs are made of"
    assert account.path == f"fit: Keras {keras.__version__} lacks {name}, {rule}"
    assert_close(found, expected)


@pytest.mark.parametrize("name", keras_parts.OF_MODELS)
def test_without_a_method_of_models_the_fast_path_is_off(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Other:
        """A Model with other methods, which Keras' own code could not do without."""

    for each in keras_parts.OF_MODELS:
        if each != name:
            setattr(Other, each, None)
    with monkeypatch.context() as patch:
        patch.setattr(keras, "Model", Other)
        importlib.reload(keras_parts)
        assert keras_parts.missing == (f"Model.{name}",)
    importlib.reload(keras_parts)
    assert keras_parts.missing == ()


@pytest.mark.parametrize("name", [*keras_parts.DRAWING, *keras_parts.FILLING])
def test_without_the_functions_of_initializers_weights_are_drawn_as_keras_draws_them(
    name: str, data: Data, make_model: MakeModel, hide: Hide
) -> None:
    parts = keras_parts.drawing_and_filling()
    assert parts is not None
    expected = trained(data, make_model, "auto")[1]
    hide((parts[0] if name in keras_parts.DRAWING else parts[1]).__name__, name)
    assert keras_parts.drawing_and_filling() is None
    account, found = trained(data, make_model, "auto")
    assert account.path == "fused"
    assert_close(found, expected)


@pytest.mark.parametrize("name", [None, keras_parts.SESSION[0][1]])
def test_without_the_session_names_are_counted_anew_and_models_train(
    name: str | None, data: Data, make_model: MakeModel, hide: Hide
) -> None:
    expected = trained(data, make_model, "auto")[1]
    hide(keras_parts.SESSION[0][0], name)
    fresh_session()
    assert keras.Sequential().name == "sequential"
    assert session.read_session() == session.read_globals(["global_random_seed"]) == {}
    account, found = trained(data, make_model, "auto")
    assert account.path == "fused"
    assert_close(found, expected)


@pytest.mark.parametrize(
    "name", ["loss_of", "metrics_of", "losses_of", "moments_of", "epoch_logs", "has_mean_metrics"]
)
def test_without_an_attribute_of_models_or_optimizers_models_train(
    name: str, data: Data, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = trained(data, make_model, "fit")[1]

    def lacking(*args: Any) -> Any:
        raise AttributeError("another Keras keeps it elsewhere")

    monkeypatch.setattr(keras_parts, name, lacking)
    account, found = trained(data, make_model, "auto")
    if account.path != "fused":
        assert account.path.endswith(": another Keras keeps it elsewhere")
    assert_close(found, expected)


@pytest.mark.parametrize("name", ["_inputs", "_num_samples"])
def test_without_an_attribute_of_data_adapters_models_train(
    name: str, data: Data, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = trained(data, make_model, "fit")[1]
    known = keras_parts._parts["EpochIterator"]

    class Other(known):  # type: ignore[misc, valid-type]
        """Keras' own, with another adapter to look at."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            delattr(self.data_adapter, name)

    monkeypatch.setitem(keras_parts._parts, "EpochIterator", Other)
    account, found = trained(data, make_model, "auto")
    assert account.path.startswith("fit: the training cannot be prepared: ")
    assert name in account.path
    assert_close(found, expected)


@pytest.mark.service  # a process of its own
def test_a_search_says_once_that_the_fast_path_is_off(
    tmp_path: Path, hide: Hide, capsys: pytest.CaptureFixture[str]
) -> None:
    hide("keras.src.trainers.epoch_iterator")

    def build(hp: Any) -> keras.Model:
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(hp.Int("units", 1, 3))])
        model.compile("sgd", "mse")
        return model

    tuner = kt.RandomSearch(build, "val_loss", max_trials=2, directory=tmp_path, project_name="p")
    x = np.zeros((8, 4), "float32")
    tuner.search(x, x[:, :1], validation_split=0.5, epochs=1, verbose=2)
    assert [trial.status for trial in tuner.oracle.trials.values()] == ["COMPLETED"] * 2
    assert capsys.readouterr().out.count("lacks EpochIterator, which fused epochs are made of") == 1


def test_without_what_layers_keep_nothing_is_guessed_of_their_arithmetic(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model()
    assert 0 < multiplications(model) < float("inf")
    monkeypatch.setattr(keras_parts, "missing", ("EpochIterator",))
    assert multiplications(model) == float("inf")


def test_the_learning_rate_is_found_where_a_keras_keeps_it_elsewhere() -> None:
    class Elsewhere:
        learning_rate = "public"

    assert keras_parts.rate_of(Elsewhere()) == "public"


def test_no_other_file_reaches_into_keras() -> None:
    package = Path(keras_parts.__file__).parents[1]
    found = [file.name for file in package.rglob("*.py") if "keras.src" in file.read_text("utf-8")]
    assert sorted(found) == ["keras_parts.py", "torch_parts.py"]
