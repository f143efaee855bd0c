"""Streams of data that are read into arrays: which, and that they train as `fit` trains."""

import random
import threading

import keras
import numpy as np
import pytest

import afina as kt
from afina.errors import ArgumentError
from afina.training import Account, Engine, Streams, TrainerChooser
from afina.training.streams import feed

RNG = np.random.default_rng(0)
X = RNG.normal(size=(22, 4)).astype("float32")
Y = (X[:, :1] > 0).astype("float32")


class Batches(keras.utils.PyDataset):
    """The samples in their order; counts how often each batch is read."""

    def __init__(self, x=X, y=Y, size=8, **kwargs):
        super().__init__(**kwargs)
        self.x, self.y, self.size = x, y, size
        self.read = 0

    def __len__(self):
        return -(-len(self.x) // self.size)

    def __getitem__(self, index):
        self.read += 1
        here = slice(index * self.size, (index + 1) * self.size)
        return self.x[here], self.y[here]


class Noisy(Batches):
    """Augments at random."""

    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return x + np.random.normal(size=x.shape).astype("float32"), y


class Reordering(Batches):
    """Shuffles at the end of each epoch, in a way of its own."""

    def on_epoch_end(self):
        order = np.random.permutation(len(self.x))
        self.x, self.y = self.x[order], self.y[order]


class Endless(Batches):
    def __getitem__(self, index):
        return super().__getitem__(index % 3)

    @property
    def num_batches(self):
        return None


class Uneven(Batches):
    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return (x[:5], y[:5]) if index == 0 else (x, y)


class Texts(Batches):
    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return x.astype(str), y


def model():
    keras.utils.set_random_seed(1)
    made = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, "relu"), keras.layers.Dense(1, "sigmoid")]
    )
    made.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return made


ON_JAX = pytest.mark.skipif(keras.backend.backend() != "jax", reason="chunks are for JAX")


@pytest.fixture(autouse=True)
def any_training_is_worth_chunks(monkeypatch):
    """As short ones would be left to `fit`."""
    monkeypatch.setattr("afina.training.fused.FusedTrainer.least_stream_steps", 0)


@pytest.fixture(scope="module")
def engine():
    return Engine()


def trained(engine, mode="auto", streams=None, **kwargs):
    """History and notes of a training from the same weights and random streams."""
    account = Account()
    chooser = TrainerChooser(mode, engine, streams)
    history = chooser.fit(model(), (), {"epochs": 3, "verbose": 0, **kwargs}, account)
    return history.history, account.notes()["training"]


def assert_same(one, other):
    assert list(one) == list(other)
    for name, values in one.items():
        np.testing.assert_allclose(values, other[name], rtol=1e-5)


@pytest.mark.first("class weights")
@pytest.mark.parametrize("weights", [None, {0: 1.0, 1: 3.0}], ids=["plain", "class weights"])
def test_a_py_dataset_in_its_order_is_read_twice_and_trains_as_by_fit(engine, weights):
    data, tested = Batches(), Batches(X[:10], Y[:10], size=4)
    kwargs = {"shuffle": False, "validation_data": tested, "class_weight": weights}
    found, note = trained(engine, x=data, **kwargs)
    assert note == "fused (x read into arrays; validation_data read into arrays)"
    assert data.read == tested.read == 6
    by_fit, _ = trained(engine, "fit", x=Batches(), **kwargs)
    assert_same(found, by_fit)


@pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="TensorFlow reads the next epoch too, and draws for it"
)
def test_fit_shuffles_the_batches_of_a_py_dataset_and_so_does_a_fused_training(engine):
    even = {"x": X[:16], "y": Y[:16], "size": 4}
    found, note = trained(engine, x=Batches(**even), validation_data=(X, Y))
    state = random.getstate()
    by_fit, _ = trained(engine, "fit", x=Batches(**even), validation_data=(X, Y))
    assert note == "fused (x read into arrays)"
    assert_same(found, by_fit)
    assert random.getstate() == state


def test_a_smaller_batch_comes_last_where_batches_are_shuffled(engine):
    found, note = trained(engine, x=Batches())
    by_fit, _ = trained(engine, "fit", x=Batches())
    assert note == "fused (x read into arrays)"
    np.testing.assert_allclose(found["loss"], by_fit["loss"], rtol=0.05)


class Failing(Batches):
    def __getitem__(self, index):
        raise ZeroDivisionError("no such file")


REFUSED = {
    "failing": (Failing, "a pass over it has failed: no such file"),
    "augmentation": (Noisy, "two passes over it differ"),
    "end of epoch": (Reordering, "Reordering overrides on_epoch_end"),
    "endless": (Endless, "it has no end"),
    "uneven": (Uneven, "its batches differ in size"),
    "texts": (Texts, "its batches are not dense arrays of numbers"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_not_mean_the_same_is_not_read_into_arrays(name):
    kind, reason = REFUSED[name]
    streams = Streams()
    found = streams.rewrite(streams.find((), {"x": kind()}))
    assert found == f"x is a {kind.__name__}, and {reason}"


def test_a_stream_is_read_once_for_all_trainings_and_leaves_the_random_streams_alone():
    streams, data = Streams(), Noisy()
    before = random.getstate(), np.random.get_state()[2]
    for _ in range(3):
        streams.rewrite(streams.find((), {"x": data}))
    assert data.read == 6
    assert (random.getstate(), np.random.get_state()[2]) == before


def test_materialize_true_reads_what_is_random_once_and_false_reads_nothing():
    given = {"x": Noisy()}
    streams = Streams(True)
    found = streams.rewrite(streams.find((), given))
    assert found.given["x"].shape == X.shape
    assert found.given["batch_size"] == 8
    streams = Streams(False)
    assert "materialize is False" in streams.rewrite(streams.find((), given))
    with pytest.raises(ArgumentError, match="materialize: must be True, False or"):
        Streams("yes")


def test_steps_per_epoch_is_allowed_where_it_is_the_whole_stream():
    streams, data = Streams(), Batches()
    assert not isinstance(streams.rewrite(streams.find((), {"x": data, "steps_per_epoch": 3})), str)
    found = streams.rewrite(streams.find((), {"x": data, "steps_per_epoch": 2}))
    assert found == "x is a Batches, and steps_per_epoch is given"


def test_a_large_stream_is_not_read(monkeypatch):
    from afina.training.streams import arguments

    monkeypatch.setattr(arguments, "MOST", 100)
    streams, data = Streams(), Batches()
    assert "it has more than" in streams.rewrite(streams.find((), {"x": data}))
    assert data.read == 1


# -- in chunks ------------------------------------------------------------------------------------


def noisy(**kwargs):
    np.random.seed(5)
    return Noisy(**kwargs)


def generator(count=None):
    """Samples without end, or in so many batches."""
    rng = np.random.default_rng(2)
    number = 0
    while count is None or number < count:
        number += 1
        x = rng.normal(size=(8, 4)).astype("float32")
        yield x, (x[:, :1] > 0).astype("float32")


def uneven():
    return Uneven()


CHUNKS = {
    "augmentation": (noisy, {"shuffle": False}),
    "augmentation, shuffled": (lambda: noisy(x=X[:20], y=Y[:20], size=5), {}),
    "shuffled at the end of an epoch": (Reordering, {"shuffle": False}),
    "uneven": (uneven, {"shuffle": False}),
    "endless generator": (generator, {"steps_per_epoch": 5, "shuffle": False}),
    "endless dataset": (Endless, {"steps_per_epoch": 2, "shuffle": False}),
}


@pytest.mark.first("augmentation", "uneven", "endless generator")
@ON_JAX
@pytest.mark.parametrize("name", CHUNKS)
def test_a_stream_in_chunks_trains_as_by_fit(engine, name):
    make, kwargs = CHUNKS[name]
    kwargs = {**kwargs, "validation_data": (X, Y)}
    found, note = trained(engine, x=make(), **kwargs)
    assert note.startswith("fused (in chunks, as x is a ")
    by_fit, _ = trained(engine, "fit", x=make(), **kwargs)
    assert_same(found, by_fit)


@ON_JAX
def test_few_steps_of_a_stream_are_left_to_fit_unless_fused_is_asked_for(engine, monkeypatch):
    monkeypatch.setattr("afina.training.fused.FusedTrainer.least_stream_steps", 10)
    for mode, epochs, steps, path in (
        ("auto", 3, 9, "fit: x is a Noisy, and two passes over it differ, and 9 steps do not pay"),
        ("auto", 4, 12, "fused (in chunks"),
        ("fused", 3, 9, "fused (in chunks"),
    ):
        given = {"x": noisy(), "epochs": epochs, "validation_data": (X, Y)}
        history, note = trained(engine, mode, **given)
        assert note.startswith(path)
        assert len(history["loss"]) == epochs == steps / 3


class Broken(Batches):
    def on_epoch_end(self):
        self.epochs = getattr(self, "epochs", 0) + 1

    def __getitem__(self, index):
        if self.read > 4:
            raise ZeroDivisionError("in the stream")
        return super().__getitem__(index)


def feeds():
    return [each for each in threading.enumerate() if each.name == "afina-feed"]


@ON_JAX
def test_what_a_stream_raises_reaches_the_user_and_the_thread_ends(engine):
    with pytest.raises(ZeroDivisionError, match="in the stream"):
        trained(engine, x=Broken(), verbose=0)
    assert not feeds()


@ON_JAX
def test_a_training_that_ends_early_ends_the_thread_and_reads_no_more_than_its_epochs(engine):
    read = []

    def counted():
        for batch in generator():
            read.append(1)
            yield batch

    class Ending(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    trained(engine, x=counted(), steps_per_epoch=5, callbacks=[Ending()])
    assert not feeds()
    assert len(read) == 5


def test_a_chunk_has_so_many_batches_that_few_are_left_over_and_no_more_than_its_bytes(monkeypatch):
    def chunks():
        fed = feed.Feed(Batches(size=2), shuffle=False, class_weight=None, steps=None)
        fed.build(model())
        sizes = [len(each.leaves[0]) // 2 for each in fed.chunks(fed.at_once())]
        return fed.at_once(), sizes

    assert chunks() == (10, [10, 1])
    monkeypatch.setattr(feed, "STEPS", 6)
    assert chunks() == (5, [5, 5, 1])
    monkeypatch.setattr(feed, "CHUNK", 2 * 2 * 5 * 4)
    assert chunks() == (2, [2, 2, 2, 2, 2, 1])


# -- in a search ----------------------------------------------------------------------------------


def test_a_search_reads_a_stream_once_for_all_its_trials(tmp_path):
    def build(hp):
        hp.Float("number", 0, 1)
        return model()

    data, tested = Batches(), Batches(X[:10], Y[:10], size=4)
    tuner = kt.RandomSearch(build, "val_loss", max_trials=3, seed=0, directory=tmp_path)
    tuner.search(data, validation_data=tested, epochs=2, verbose=0)
    trials = tuner.oracle.trials.values()
    assert {trial.notes["training"] for trial in trials} == {
        "fused (x read into arrays; validation_data read into arrays)"
    }
    assert data.read == tested.read == 6


def test_a_smaller_batch_comes_last_in_chunks_too():
    fed = feed.Feed(Batches(), shuffle=True, class_weight=None, steps=None)
    fed.build(model())
    epochs = [[each.batch_size for each in fed.chunks(fed.at_once())] for _ in range(5)]
    assert epochs[1:] == 4 * [[8, 6]]  # once a full batch has been seen
