"""`train_on=`: what is refused, what is offered, and what travels; without another backend."""

import keras
import numpy as np
import pytest

import afina as kt
from afina.errors import ArgumentError, FailedTrialError
from afina.training import Account
from afina.tuners import remote_search, train_on
from afina.tuners.hypermodel import as_hypermodel
from tests.tuners import models


@pytest.fixture
def place(tmp_path):
    return {"directory": tmp_path, "max_trials": 1}


@pytest.fixture
def on_torch(monkeypatch):
    """As if the script ran on PyTorch; nothing is trained."""
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    monkeypatch.setattr(train_on, "_hinted", [])
    monkeypatch.setattr(train_on, "start_early", lambda *args, **options: None)


def tuner(place, **options):
    return kt.RandomSearch(lambda hp: None, "val_loss", **place, **options)


class Quiet(kt.RandomSearch):
    """Builds nothing for its space."""

    def _populate_initial_space(self):
        pass


def quiet(place, **options):
    return Quiet(models.build, "val_loss", **place, **options)


def test_a_backend_that_trials_cannot_be_trained_on_is_refused(place):
    with pytest.raises(ArgumentError, match=r'train_on: must be None or "jax", but got .torch'):
        tuner(place, train_on="torch")


def test_a_backend_that_is_not_installed_is_refused(place, monkeypatch):
    monkeypatch.setattr(train_on, "is_installed", lambda name: False)
    with pytest.raises(ArgumentError, match=r"needs JAX, but it is not .*pip install 'afina\[jax"):
        tuner(place, train_on="jax")


def test_options_that_belong_to_this_process_are_refused_beside_it(place, on_torch):
    class Mine:
        def run(self, next_job, work):
            raise AssertionError

    with pytest.raises(ArgumentError, match=r"executor: must be None, .*train_on"):
        tuner(place, train_on="jax", executor=Mine())
    with pytest.raises(ArgumentError, match="distribution_strategy: must be None where train_on"):
        tuner(place, train_on="jax", distribution_strategy=object())


def test_on_the_same_backend_trials_are_trained_in_this_process(place, monkeypatch):
    monkeypatch.setattr(train_on, "start_process", None)  # calling it fails
    x, y = models.data(rows=40)
    searched = kt.RandomSearch(models.build, "loss", train_on="jax", **place)
    searched.search(x, y, verbose=0)
    assert [trial.status for trial in searched.oracle.trials.values()] == ["COMPLETED"]


def test_training_on_jax_is_offered_once_for_arrays(place, on_torch):
    x, y = models.data()
    told = train_on.hint(quiet(place), (x, y), {})
    assert 'train_on="jax"' in told
    assert "PyTorch" in told
    assert train_on.hint(quiet(place), (x, y), {}) is None


@pytest.mark.parametrize(
    "options", [{"train_on": "jax"}, {"training": "fit"}, {"executor": "serial"}], ids=str
)
def test_training_on_jax_is_not_offered_to_who_has_chosen(place, on_torch, options):
    assert train_on.hint(quiet(place, **options), models.data(), {}) is None


def test_training_on_jax_is_not_offered_where_it_cannot_help(place, on_torch, monkeypatch):
    class OwnFit(kt.HyperModel):
        def build(self, hp):
            return models.build(hp)

        def fit(self, hp, model, *args, **kwargs):
            return model.fit(*args, **kwargs)

    x, y = models.data()
    assert train_on.hint(quiet(place), (iter([(x, y)]),), {}) is None
    assert train_on.hint(Quiet(OwnFit(), "val_loss", **place), (x, y), {}) is None
    monkeypatch.setattr(train_on, "is_installed", lambda name: False)
    assert train_on.hint(quiet(place), (x, y), {}) is None
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setattr(train_on, "is_installed", lambda name: True)
    assert train_on.hint(quiet(place), (x, y), {}) is None


class Listening:
    """A display that keeps what it is told."""

    def __init__(self):
        self.told = []

    def handle(self, event):
        self.told.append(event.text)


def told_after(tuner, **facts):
    """What a user of TensorFlow is told once a trial was trained."""
    tuner._display = Listening()
    account = Account(**{"path": "fused", "gains_on_jax": True, **facts})
    train_on.offer_after(tuner, account)
    return tuner._display.told


@pytest.fixture
def on_tensorflow(on_torch, monkeypatch):
    """As if the script ran on TensorFlow, on two processors."""
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    monkeypatch.setattr(train_on, "processors", lambda: 2)


def test_on_tensorflow_training_on_jax_is_offered_once_after_a_training_that_gains(
    place, on_tensorflow
):
    assert train_on.hint(quiet(place), models.data(), {}) is None
    assert told_after(quiet(place), gains_on_jax=False) == []
    [told] = told_after(quiet(place))
    assert 'train_on="jax"' in told
    assert "TensorFlow" in told
    assert told_after(quiet(place)) == []


def test_on_tensorflow_training_on_jax_is_not_offered_where_trials_run_one_by_one(
    place, on_tensorflow, monkeypatch
):
    one_by_one = kt.BayesianOptimization(models.build, "val_loss", **place)
    assert told_after(one_by_one) == []
    assert told_after(quiet(place, workers=1)) == []
    assert told_after(quiet(place), data="batch by batch, as x is a generator") == []
    assert told_after(quiet(place, training="fit")) == []
    monkeypatch.setattr(train_on, "processors", lambda: 1)
    assert told_after(quiet(place)) == []


def test_training_on_jax_is_not_offered_to_a_silent_search(place, on_torch):
    searched = quiet(place)
    searched._begin_display(0, {})
    x, y = models.data()
    train_on.offer(searched, (x, y), {"verbose": 0})
    assert train_on._hinted == []


def test_tensors_travel_as_arrays_wherever_they_are_among_the_data():
    x, y = models.data(rows=4)
    inputs = {"a": keras.ops.convert_to_tensor(x), "b": [x]}
    callbacks = [keras.callbacks.Callback()]
    args, kwargs = train_on.as_arrays(
        (inputs, keras.ops.convert_to_tensor(y)),
        {"validation_data": (inputs, y), "callbacks": callbacks, "epochs": 2},
    )
    assert kwargs["callbacks"] is callbacks
    assert kwargs["epochs"] == 2
    for found in (args[0], kwargs["validation_data"][0]):
        assert type(found["a"]) is np.ndarray
        np.testing.assert_array_equal(found["a"], x)
        assert found["b"][0] is x
    assert type(args[1]) is np.ndarray


class Batches(keras.utils.PyDataset):
    """Forty samples in four batches."""

    def __init__(self):
        super().__init__()
        self.x, self.y = models.data(rows=40)

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return self.x[index * 10 : index * 10 + 10], self.y[index * 10 : index * 10 + 10]


def test_streams_that_may_be_read_once_travel_as_arrays(place):
    data, validation = Batches(), models.data(rows=4)
    args, kwargs = train_on.without_streams(
        kt.RandomSearch(models.build, "val_loss", **place),
        (data,),
        {"epochs": 2, "validation_data": validation},
    )
    assert args == ()
    np.testing.assert_array_equal(kwargs["x"], data.x)
    np.testing.assert_array_equal(kwargs["y"], data.y)
    assert (kwargs["epochs"], kwargs["batch_size"]) == (2, 10)
    assert kwargs["validation_data"] is validation
    assert "class_weight" not in kwargs, "only what was given, and what reading has changed"


# -- the model that is tried before the first trial -----------------------------------------------


def own_loss(true, found):
    raise TypeError("torch.mean(): argument 'input' must be Tensor")


def tried(tuner, *args, **kwargs):
    remote_search._try_backend(tuner, args, kwargs)
    return tuner


@pytest.fixture
def imports_a_backend(monkeypatch):
    """As if the user's code had imported TensorFlow or PyTorch."""
    monkeypatch.setattr(remote_search, "OWN_BACKENDS", ("json",))


def test_a_loss_that_does_not_run_on_the_other_backend_is_refused(place, imports_a_backend):
    searched = kt.RandomSearch(models.build, "val_loss", loss=own_loss, **place)
    with pytest.raises(ArgumentError, match=r"train_on: needs models .* on JAX, but got .*Tensor"):
        tried(searched, *models.data(rows=40))


def test_a_model_is_not_trained_before_the_first_trial_without_a_reason(place):
    tried(kt.RandomSearch(models.build, "val_loss", loss=own_loss, **place), *models.data(rows=40))


def test_data_that_the_hypermodel_makes_are_not_asked_of_search(place, imports_a_backend):
    tried(kt.RandomSearch(models.build, "val_loss", loss=own_loss, **place), epochs=2)


def test_a_model_that_is_too_large_fails_its_trial_and_not_the_search(place):
    tried(kt.RandomSearch(models.build, "val_loss", max_model_size=1, **place))


def test_a_build_that_fails_its_own_trial_is_no_reason_to_refuse_the_search(place):
    def build(hp):
        raise FailedTrialError("not these")

    searched = quiet(place)
    searched.hypermodel = as_hypermodel(build)
    tried(searched)
