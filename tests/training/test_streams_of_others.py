"""Streams of TensorFlow and PyTorch that are read into arrays; for environments that have them."""

import keras
import numpy as np
import pytest

from afina.training import Account, Engine, Streams, TrainerChooser

pytestmark = pytest.mark.service

RNG = np.random.default_rng(0)
X = RNG.normal(size=(22, 4)).astype("float32")
Y = (X[:, :1] > 0).astype("float32")


@pytest.fixture(autouse=True)
def any_training_is_worth_chunks(monkeypatch):
    """As short ones would be left to `fit`."""
    monkeypatch.setattr("afina.training.fused.FusedTrainer.least_stream_steps", 0)


@pytest.fixture(scope="module")
def tf():
    return pytest.importorskip("tensorflow")


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def read(data):
    """What is made of a stream: its order in `fit`, or why it is not read."""
    streams = Streams()
    found = streams.rewrite(streams.find((), {"x": data}))
    if isinstance(found, str):
        return found.partition(", and ")[2]
    given = found.given
    np.testing.assert_array_equal(
        np.sort(given["x"], axis=0), np.sort(X[: len(given["x"])], axis=0)
    )
    return given["shuffle"], given["batch_size"], len(given["x"])


def noisy(tf, x):
    # After `keras.utils.set_random_seed`, TensorFlow's own draws are the same in each pass.
    return tf.numpy_function(
        lambda a: a + np.random.random(a.shape).astype("float32"), [x], x.dtype
    )


def slices(tf):
    return tf.data.Dataset.from_tensor_slices((X, Y))


PIPELINES = {
    "in order": (lambda tf: slices(tf).batch(8), (False, 8, 22)),
    "mapped and cached": (
        lambda tf: slices(tf).map(lambda x, y: (x, y)).cache().batch(8).prefetch(2),
        (False, 8, 22),
    ),
    "shuffled": (lambda tf: slices(tf).shuffle(22).batch(8), (True, 8, 22)),
    "shuffled by a seed": (lambda tf: slices(tf).shuffle(99, seed=1).batch(8), (True, 8, 22)),
    "shuffled once": (
        lambda tf: slices(tf).shuffle(22, reshuffle_each_iteration=False).batch(8),
        (False, 8, 22),
    ),
    "shuffled batches": (
        lambda tf: slices(tf).take(20).batch(2).shuffle(10),
        ("whole batches", 2, 20),
    ),
    "shuffled a little": (
        lambda tf: slices(tf).shuffle(3).batch(8),
        "it shuffles in a way of its own",
    ),
    "augmented": (
        lambda tf: slices(tf).batch(8).map(lambda x, y: (noisy(tf, x), y)),
        "two passes over it differ",
    ),
    "endless": (lambda tf: slices(tf).batch(8).repeat(), "it has no end"),
    "of unknown length": (
        lambda tf: slices(tf).filter(lambda x, y: True).batch(8),
        (False, 8, 22),
    ),
    "texts": (
        lambda tf: slices(tf).batch(8).map(lambda x, y: (tf.strings.as_string(x), y)),
        "its batches are not dense arrays of numbers",
    ),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_of_tensorflow_is_read_where_arrays_mean_the_same(name, tf):
    make, expected = PIPELINES[name]
    assert read(make(tf)) == expected


LOADERS = {
    "in order": ({}, (False, 8, 22)),
    "shuffled": ({"shuffle": True}, (True, 8, 22)),
    "without the rest": ({"drop_last": True}, (False, 8, 16)),
    "shuffled without the rest": (
        {"drop_last": True, "shuffle": True},
        "two passes over it differ",
    ),
}


@pytest.mark.parametrize("name", LOADERS)
def test_a_data_loader_is_read_where_arrays_mean_the_same(name, torch):
    options, expected = LOADERS[name]
    data = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    before = torch.get_rng_state()
    assert read(torch.utils.data.DataLoader(data, batch_size=8, **options)) == expected
    assert torch.equal(torch.get_rng_state(), before)


def model():
    keras.utils.set_random_seed(1)
    made = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, "relu"), keras.layers.Dense(1, "sigmoid")]
    )
    made.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return made


def trained(mode, **kwargs):
    account = Account()
    chooser = TrainerChooser(mode, Engine())
    kwargs = {"epochs": 3, "verbose": 0, "shuffle": False, **kwargs}
    history = chooser.fit(model(), (), kwargs, account)
    return history.history, account.notes()["training"]


def test_a_pipeline_in_its_order_trains_as_by_fit(tf):
    kwargs = {"x": slices(tf).batch(8), "validation_data": slices(tf).take(10).batch(4)}
    found, note = trained("auto", **kwargs)
    by_fit, _ = trained("fit", **kwargs)
    for name, values in found.items():
        np.testing.assert_allclose(values, by_fit[name], rtol=1e-5)
    if keras.backend.backend() != "torch":
        assert note == "fused (x read into arrays; validation_data read into arrays)"


def test_an_endless_pipeline_trains_in_chunks_as_by_fit(tf):
    kwargs = {"x": slices(tf).batch(8).repeat(), "steps_per_epoch": 5}
    found, note = trained("auto", **kwargs)
    by_fit, _ = trained("fit", **kwargs)
    for name, values in found.items():
        np.testing.assert_allclose(values, by_fit[name], rtol=1e-5)
    if keras.backend.backend() == "jax":
        assert note.startswith("fused (in chunks, as x is a ")
