"""Ready-made spaces: they look at the data, and every configuration builds and trains."""

import cloudpickle
import keras
import numpy as np
import pytest

import afina as kt
from afina.errors import ArgumentError, DataError
from afina.spaces import cnn, mlp, text
from afina.spaces.target import look_at_targets

RNG = np.random.default_rng(0)
TABLE = RNG.normal([0, 50, -3], [1, 20, 0.01], size=(120, 3))
IMAGES = RNG.integers(0, 256, size=(120, 8, 8), dtype=np.uint8)
LARGER = RNG.integers(0, 256, size=(120, 12, 12), dtype=np.uint8)
WORDS = np.where(np.arange(9) < RNG.integers(2, 9, size=(120, 1)), RNG.integers(1, 40, (120, 9)), 0)
SERIES = RNG.normal(5, 9, size=(120, 7, 2)).astype("float32")
BAGS = (RNG.random((120, 60)) < 0.05).astype("float32")
CLASSES = np.arange(120) % 3

TARGETS = {
    "classes": (CLASSES, ("classes", 3)),
    "a column of classes": (CLASSES[:, None], ("classes", 3)),
    "two classes": (CLASSES > 0, ("binary", 1)),
    "two classes as floats": ((CLASSES > 0).astype("float32"), ("binary", 1)),
    "one-hot": (np.eye(3)[CLASSES], ("one-hot", 3)),
    "several labels": (RNG.integers(0, 2, (120, 4)), ("labels", 4)),
    "numbers": (TABLE[:, 1], ("numbers", 1)),
    "rows of numbers": (TABLE[:, :2], ("numbers", 2)),
    "years": (1990 + np.arange(120) % 20, ("numbers", 1)),
}

INPUTS = {
    "table": (mlp, TABLE),
    "bags of words": (mlp, BAGS),
    "images as a table": (mlp, IMAGES.reshape(120, -1)),
    "images to be flattened": (mlp, IMAGES),
    "images": (cnn, IMAGES),
    "images with channels": (cnn, np.repeat(IMAGES[..., None], 3, axis=-1) / 255.0),
    "texts": (text, WORDS),
    "series": (text, SERIES),
}


def train(space, x, y, values=None):
    hp = kt.HyperParameters()
    hp.values.update(values or {})
    model = space.build(hp)
    arguments = {**space.fit_arguments(hp), "batch_size": 40, "epochs": 1}
    history = model.fit(x, y, validation_split=0.2, verbose=0, **arguments).history
    return hp, model, history


# -- data ------------------------------------------------------------------------------------------


@pytest.mark.first("classes", "one-hot", "several labels", "numbers")
@pytest.mark.parametrize("name", TARGETS)
def test_each_kind_of_target_is_told_and_trains(name):
    y, expected = TARGETS[name]
    space = mlp(TABLE, y)
    assert (space.target.kind, space.target.outputs) == expected
    _, _, history = train(space, TABLE, y)
    assert np.isfinite(history["val_loss"]).all()
    metric = "val_mae" if expected[0] == "numbers" else "val_accuracy"
    assert metric in history


@pytest.mark.first("table", "images", "texts", "series")
@pytest.mark.parametrize("name", INPUTS)
def test_each_kind_of_input_trains(name):
    make, x = INPUTS[name]
    _, model, history = train(make(x, CLASSES), x, CLASSES)
    assert np.isfinite(history["loss"]).all()
    assert model.output_shape == (None, 3)


def test_only_inputs_that_need_it_are_scaled():
    def kinds(x):
        hp = kt.HyperParameters()
        return [type(layer).__name__ for layer in mlp(x, CLASSES).build(hp).layers]

    assert kinds(TABLE)[0] == "Normalization"
    assert kinds(IMAGES)[:2] == ["Rescaling", "Flatten"]
    assert kinds(BAGS)[0] == "Dense"
    assert kinds((TABLE - TABLE.mean(0)) / TABLE.std(0))[0] == "Dense"


def test_a_regression_does_not_depend_on_the_targets_unit():
    """The same training, to rounding, for targets in metres and in millimetres."""
    y = TABLE[:, 0]

    def losses(y):
        keras.utils.set_random_seed(0)
        return train(mlp(TABLE, y), TABLE, y)[2]

    metres, millimetres = losses(y), losses(1000 * y + 7)
    assert metres["val_loss"] == pytest.approx(millimetres["val_loss"], rel=1e-3)
    assert 1000 * metres["val_mae"][0] == pytest.approx(millimetres["val_mae"][0], rel=1e-3)


def test_the_task_can_be_said_where_numbers_mislead():
    assert look_at_targets(CLASSES, "regression").kind == "numbers"
    assert look_at_targets(np.array([0.0, 2.0, 7.0]), "classification").outputs == 8
    with pytest.raises(DataError, match="classes counted from 0"):
        look_at_targets(np.array([-1, 1]), "classification")
    with pytest.raises(ArgumentError, match="task"):
        look_at_targets(CLASSES, "ranking")


@pytest.mark.parametrize(
    ("make", "x", "y", "message"),
    [
        (mlp, TABLE, np.array(["a", "b", "c"] * 40), "Number the classes from 0"),
        (mlp, np.array([["a"]] * 120), CLASSES, "must be an array of numbers"),
        (mlp, np.full((120, 2), np.nan), CLASSES, "finite"),
        (mlp, TABLE[:0], CLASSES[:0], "must be"),
        (mlp, TABLE, CLASSES[:9], "as many samples"),
        (cnn, TABLE, CLASSES, "must be images"),
        (text, BAGS, CLASSES, "use mlp"),
        (text, TABLE, CLASSES, "whole numbers"),
        (text, WORDS - 5, CLASSES, "word indices from 0"),
    ],
)
def test_data_that_do_not_fit_are_told(make, x, y, message):
    with pytest.raises(DataError, match=message):
        make(x, y)


def test_arguments_out_of_range_are_told():
    for arguments in (
        {"optimizers": ["lion tamer"]},
        {"optimizers": []},
        {"learning_rate": (1e-2, 1e-4)},
        {"learning_rate": "fast"},
        {"batch_size": 0},
        {"patience": -1},
    ):
        with pytest.raises(ArgumentError, match=next(iter(arguments))):
            mlp(TABLE, CLASSES, **arguments)
    with pytest.raises(ArgumentError, match="largest word index, 39"):
        text(WORDS, CLASSES, vocabulary=10)


# -- the space -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["table", "images", "texts"])
def test_all_entries_are_declared_and_their_defaults_lie_within(name):
    make, x = INPUTS[name]
    space = make(x, CLASSES)
    declared, built = kt.HyperParameters(), kt.HyperParameters()
    space.declare_hyperparameters(declared)
    space.build(built)
    assert {entry.name for entry in declared.space} == {entry.name for entry in built.space}
    assert all(entry.contains(entry.default) for entry in declared.space)
    assert "batch_size" in declared.values or len(x) < 320


@pytest.mark.first("table-values0", "images-values2", "texts-values4")
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("table", {"layers": 2, "shape": "pyramid", "activation": "tanh", "dropout": 0.0}),
        ("table", {"optimizer": "sgd", "layers": 2, "shape": "equal"}),
        ("images", {"blocks": 1, "pooling": "average", "batch_normalization": True}),
        ("larger images", {"blocks": 2, "shape": "equal", "dropout": 0.0, "kernel_size": 5}),
        ("texts", {"reader": "convolution", "kernel_size": 5}),
        ("texts", {"reader": "gru", "dropout": 0.0}),
    ],
)
def test_other_values_train_too(name, values):
    make, x = {**INPUTS, "larger images": (cnn, LARGER)}[name]
    hp, _, history = train(make(x, CLASSES), x, CLASSES, values)
    assert {**hp.values, **values} == hp.values
    assert np.isfinite(history["loss"]).all()


def test_widths_are_equal_or_a_pyramid_that_ends_no_narrower_than_the_output():
    x = RNG.normal(size=(1200, 4))
    y = np.arange(1200) % 20

    def widths(shape):
        hp = kt.HyperParameters()
        hp.values.update(layers=3, units=64, shape=shape)
        return [each.units for each in mlp(x, y).build(hp).layers if hasattr(each, "units")]

    assert widths("equal") == [64, 64, 64, 20]
    assert widths("pyramid") == [64, 32, 20, 20]


def test_a_space_travels_to_other_processes():
    for name in ("table", "images", "texts"):
        make, x = INPUTS[name]
        space = cloudpickle.loads(cloudpickle.dumps(make(x, CLASSES)))
        built = space.build(kt.HyperParameters())
        assert built.output_shape == (None, 3)


def test_each_optimizer_has_learning_rates_of_its_own():
    hp = kt.HyperParameters()
    mlp(TABLE, CLASSES, learning_rate={"sgd": (0.01, 0.1)}).declare_hyperparameters(hp)
    rates = {entry.name: entry for entry in hp.space if entry.name.endswith("learning_rate")}
    assert set(rates) == {"adam_learning_rate", "sgd_learning_rate"}
    assert (rates["sgd_learning_rate"].min_value, rates["sgd_learning_rate"].max_value) == (
        0.01,
        0.1,
    )
    assert "adam_learning_rate" in hp.values
    assert "sgd_learning_rate" not in hp.values


def test_what_is_given_as_a_number_is_not_tuned():
    space = mlp(TABLE, CLASSES, optimizers=["adam"], learning_rate=0.01, batch_size=24)
    hp = kt.HyperParameters()
    model = space.build(hp)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)
    assert not {"optimizer", "learning_rate", "batch_size"} & set(hp.values)
    assert space.fit_arguments(hp)["batch_size"] == 24


def test_auto_learning_rates_come_from_a_range_test_of_each_optimizer():
    x = RNG.normal(size=(300, 3)).astype("float32")
    y = (x.sum(axis=1) > 0).astype(int)
    space = mlp(x, y, learning_rate="auto")
    assert set(space.curves) == {"adam", "sgd"}
    for name, rates in space.training.rates.items():
        assert rates.low < rates.default < rates.high
        assert rates.default == space.curves[name].suggestion
    assert space.training.rates["sgd"].default > space.training.rates["adam"].default


def test_a_training_that_gets_no_better_ends_and_one_without_validation_does_not():
    space = mlp(TABLE, CLASSES, patience=0, learning_rate=1e-12)
    hp = kt.HyperParameters()
    model = space.build(hp)
    validated = model.fit(
        TABLE,
        CLASSES,
        epochs=9,
        verbose=0,
        validation_data=(TABLE, CLASSES),
        **space.fit_arguments(hp),
    )
    assert len(validated.epoch) < 9
    alone = model.fit(TABLE, CLASSES, epochs=3, verbose=0, **space.fit_arguments(hp))
    assert len(alone.epoch) == 3


# -- searches --------------------------------------------------------------------------------------


@pytest.mark.first("table-2", "texts-1")
@pytest.mark.parametrize(("name", "trials"), [("table", 2), ("images", 1), ("texts", 1)])
def test_a_small_search_of_each_space_is_fused(name, trials, tmp_path):
    make, x = INPUTS[name]
    tuner = kt.RandomSearch(
        make(x, CLASSES), "val_accuracy", max_trials=trials, seed=1, directory=tmp_path, workers=1
    )
    tuner.search(x, CLASSES, validation_split=0.2, epochs=1, verbose=0)
    found = tuner.oracle.get_best_trials(trials)
    assert len(found) == trials
    assert {trial.notes["training"] for trial in found} == {"fused"}
