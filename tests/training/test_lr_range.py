"""The learning-rate range test: what it finds, what it leaves as it was, what it refuses."""

import random

import keras
import numpy as np
import pytest

from afina.errors import ArgumentError, DataError, DivergedError
from afina.training import lr_range
from afina.training.lr_curve import LearningRateCurve
from afina.training.lr_range import lr_range_test
from afina.training.lr_rules import RULES, longest_fall, smooth, suggestions
from afina.training.snapshot import copies, optimizers_of

layers = keras.layers


@pytest.fixture
def classes():
    """Three clouds of points."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 240)
    return (rng.normal(size=(240, 4)) + 2 * np.eye(4)[y]).astype("float32"), y


@pytest.fixture
def line():
    """A linear regression whose loss has the curvature 2 in one direction and less in others: plain
    gradient descent diverges beyond the rate 1."""
    rng = np.random.default_rng(0)
    x, _ = np.linalg.qr(rng.normal(size=(512, 4)))
    x = (x * np.sqrt(512) * [1.0, 0.7, 0.7, 0.7]).astype("float32")
    noise = 0.3 * rng.normal(size=(512, 1))
    return x, (x @ [[1.0], [-2.0], [0.5], [1.0]] + noise).astype("float32")


def make(optimizer="adam", *, metrics=("accuracy",), built=True):
    parts = [layers.Dense(16, activation="relu"), layers.BatchNormalization(), layers.Dropout(0.2)]
    parts.append(layers.Dense(3, activation="softmax"))
    model = keras.Sequential([keras.Input((4,)), *parts] if built else parts)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=list(metrics))
    return model


def linear(rate=0.01):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1, use_bias=False)])
    model.compile(keras.optimizers.SGD(rate), "mse")
    return model


def everything(model):
    parts = [model.variables, model.metrics_variables]
    parts += [optimizer.variables for optimizer in optimizers_of(model)]
    return [array for part in parts for array in copies(part)]


def same(before, after):
    return len(before) == len(after) and all(map(np.array_equal, before, after))


# -- what it finds ---------------------------------------------------------------------------------


def test_the_rates_grow_by_the_same_factor(classes):
    curve = lr_range_test(make(), *classes, min_lr=1e-4, max_lr=1.0, steps=41)
    assert curve.lrs[0] == pytest.approx(1e-4)
    assert np.ptp(np.diff(np.log(curve.lrs))) < 1e-9
    assert len(curve.lrs) == len(curve.losses) == len(curve.smoothed) <= 41
    assert set(curve.suggestions) == set(RULES)


def test_it_brackets_the_rate_that_theory_gives(line):
    curve = lr_range_test(linear(), *line, batch_size=64, min_lr=1e-4)
    assert curve.low < 0.25 < curve.high < 1.0
    assert 0.01 < curve.suggestion < 0.5
    assert curve.stopped_early


def test_a_short_training_at_the_suggestion_beats_one_a_hundredfold_off(classes):
    curve = lr_range_test(make(), *classes)

    def loss_at(rate):
        keras.utils.set_random_seed(1)
        history = make(keras.optimizers.Adam(rate)).fit(*classes, epochs=3, verbose=0).history
        return history["loss"][-1]

    best = loss_at(curve.suggestion)
    assert best < loss_at(curve.suggestion / 100)
    assert not best > loss_at(curve.suggestion * 100)


def test_it_ends_where_the_loss_blows_up(line):
    curve = lr_range_test(linear(), *line, min_lr=1e-3, max_lr=1e3, steps=120)
    assert curve.stopped_early
    assert curve.lrs[-1] < 100
    assert curve.smoothed[-1] > 4 * curve.smoothed.min()
    calm = lr_range_test(linear(), *line, min_lr=1e-5, max_lr=1e-3)
    assert not calm.stopped_early
    assert calm.lrs[-1] == pytest.approx(1e-3)


def test_a_negative_loss_is_no_divergence(classes):
    x, _ = classes
    model = keras.Sequential([keras.Input((4,)), layers.Dense(4)])
    model.compile("sgd", keras.losses.CosineSimilarity())
    curve = lr_range_test(model, x, x, min_lr=1e-4, max_lr=1.0, steps=30)
    assert not curve.stopped_early
    assert curve.losses.min() < 0


def test_the_same_seed_gives_the_same_curve(classes):
    model = make()
    first, again, other = (lr_range_test(model, *classes, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.losses, again.losses)
    assert first.suggestions == again.suggestions
    assert not np.array_equal(first.losses, other.losses)


def test_few_samples_are_gone_through_again(classes):
    x, y = classes
    curve = lr_range_test(make(), x[:20], y[:20], steps=30, batch_size=32)
    assert curve.batch_size == 20
    rows, places = lr_range._batches(10, 6, 4, seed=0)
    assert rows.tolist() == list(range(10))
    assert [np.bincount(places.ravel()[k : k + 10]).tolist() for k in (0, 10)] == [[1] * 10] * 2


@pytest.mark.first("adam")
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "nadam"])
def test_the_fused_steps_are_those_of_train_on_batch(classes, monkeypatch, optimizer):
    model = make(optimizer)
    fused = lr_range_test(model, *classes, max_lr=0.1)
    assert fused.path == "fused"
    monkeypatch.setattr(lr_range, "_fused", cannot_fuse)
    plain = lr_range_test(model, *classes, max_lr=0.1)
    assert plain.path == "fit: no"
    assert np.abs(fused.losses - plain.losses).max() < 1e-5


def cannot_fuse(*args):
    raise lr_range.CannotFuseError("no")


def test_bags_of_words_and_weights_are_fused_too():
    rng = np.random.default_rng(0)
    x = (rng.random((300, 1200)) < 0.01).astype("float32")
    y = (x[:, :600].sum(axis=1) > x[:, 600:].sum(axis=1)).astype("float32")
    model = keras.Sequential([keras.Input((1200,)), layers.Dense(1, activation="sigmoid")])
    model.compile("adam", "binary_crossentropy")
    curve = lr_range_test(model, x, y, sample_weight=np.ones(300))
    assert curve.path == "fused"
    assert curve.smoothed.min() < curve.smoothed[0]


def test_several_inputs_and_steps_of_the_users_own(classes):
    x, y = classes

    class Own(keras.Model):
        def train_on_batch(self, *args, **kwargs):
            return super().train_on_batch(*args, **kwargs)

    a, b = keras.Input((2,), name="a"), keras.Input((2,), name="b")
    out = layers.Dense(3, activation="softmax")(layers.Concatenate()([a, b]))
    for kind, path in ((keras.Model, "fused"), (Own, "fit: Own overrides train_on_batch")):
        model = kind([a, b], out)
        model.compile("adam", "sparse_categorical_crossentropy")
        curve = lr_range_test(model, [x[:, :2], x[:, 2:]], y, steps=20)
        assert curve.path == path


# -- what it leaves as it was ----------------------------------------------------------------------


@pytest.mark.first("True-True", "False-False")
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("trained", [True, False])
def test_the_model_is_restored_to_the_bit(classes, monkeypatch, fused, trained):
    if not fused:
        monkeypatch.setattr(lr_range, "_fused", cannot_fuse)
    model = make(keras.optimizers.SGD(0.05, momentum=0.9, use_ema=True))
    if trained:
        model.fit(*classes, verbose=0)
    else:
        model.optimizer.build(model.trainable_variables)
    before = everything(model)
    lr_range_test(model, *classes)
    assert same(before, everything(model))
    assert float(model.optimizer.learning_rate) == pytest.approx(0.05)


def test_the_random_streams_go_on_as_if_nothing_had_been(classes):
    def next_draws():
        own = keras.random.normal((2,))
        return random.random(), np.random.rand(), np.asarray(own).tolist()

    keras.utils.set_random_seed(3)
    model = make()
    expected = next_draws()
    keras.utils.set_random_seed(3)
    model = make()
    lr_range_test(model, *classes)
    assert next_draws() == expected


@pytest.mark.parametrize("built", [True, False])
def test_a_training_afterwards_is_the_one_without_the_test(classes, built):
    def history(first):
        keras.utils.set_random_seed(5)
        model = make(built=built)
        if first:
            lr_range_test(model, *classes)
        return model.fit(*classes, epochs=2, verbose=0).history

    assert history(first=True) == history(first=False)


def test_a_builder_is_asked_with_default_values_and_leaves_no_trace(classes):
    asked = []

    def build(hp):
        asked.append(hp.Choice("optimizer", ["adam", "sgd"]))
        return make(asked[-1])

    keras.utils.clear_session()
    curve = lr_range_test(build, *classes, seed=4)
    assert asked == ["adam"]
    assert layers.Dense(1).name == "dense"
    assert np.array_equal(curve.losses, lr_range_test(build, *classes, seed=4).losses)


def test_it_is_restored_where_the_training_raises(classes, monkeypatch):
    model = make()
    model.fit(*classes, verbose=0)
    before = everything(model)

    def fail(*args):
        model.optimizer.learning_rate = 9.0
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(lr_range, "_fused", fail)
    with pytest.raises(KeyboardInterrupt):
        lr_range_test(model, *classes)
    assert same(before, everything(model))


# -- what it refuses -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_lr": 1.0, "max_lr": 0.1}, "min_lr: must be below max_lr"),
        ({"min_lr": 0.0}, "min_lr: must be a number above 0"),
        ({"max_lr": float("inf")}, "max_lr: must be a number above 0"),
        ({"steps": 3}, "steps: must be a whole number from 10 up"),
        ({"batch_size": 0}, "batch_size: must be a whole number"),
        ({"rule": "best"}, "rule: must be one of"),
    ],
)
def test_arguments_out_of_range_are_refused(classes, arguments, message):
    with pytest.raises(ArgumentError, match=message):
        lr_range_test(make(), *classes, **arguments)


def test_models_that_cannot_be_tested_are_refused(classes):
    with pytest.raises(ArgumentError, match="must be compiled"):
        lr_range_test(keras.Sequential([keras.Input((4,)), layers.Dense(1)]), *classes)
    decay = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    with pytest.raises(ArgumentError, match="plain number, but got 'ExponentialDecay'"):
        lr_range_test(make(keras.optimizers.SGD(decay)), *classes)
    with pytest.raises(ArgumentError, match="must be a compiled model, a function"):
        lr_range_test("model", *classes)


def test_data_that_cannot_be_used_are_refused(classes):
    x, y = classes
    with pytest.raises(DataError, match="at least one sample"):
        lr_range_test(make(), x[:0], y[:0])
    with pytest.raises(DataError, match="as many samples"):
        lr_range_test(make(), x, y[:5])
    with pytest.raises(DataError, match="must be arrays"):
        lr_range_test(make(), iter([(x, y)]))
    holes = x.copy()
    holes[3, 1] = np.nan
    with pytest.raises(DataError, match="finite"):
        lr_range_test(make(), holes, y)


def test_a_loss_that_is_not_finite_or_blows_up_at_once_is_an_error(classes, line):
    model = keras.Sequential([keras.Input((4,)), layers.Rescaling(np.inf), layers.Dense(3)])
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(DivergedError, match="loss: must be a number at the first step"):
        lr_range_test(model, *classes)
    with pytest.raises(DivergedError, match="min_lr: must leave some steps"):
        lr_range_test(linear(), *line, min_lr=50, max_lr=1e4)


# -- the rules and the picture ---------------------------------------------------------------------


def test_the_rules_read_a_curve_as_a_person_would():
    rates = np.geomspace(1e-5, 10, 121)
    logs = np.log10(rates)
    fall = -1 / (1 + np.exp(-4 * (logs + 3)))  # steepest at 1e-3
    losses = 2.0 + fall + 40 * np.clip(logs + 0.5, 0, None) ** 2  # rises from 10 ** -0.5 on
    said = suggestions(rates, losses)
    assert said["steep"] == pytest.approx(1e-3, rel=0.2)
    assert said["minimum"] == pytest.approx(10**-1.5, rel=0.3)
    assert 3e-4 < said["valley"] < 3e-2
    assert 1e-5 <= said["slide"] < 0.3


def test_the_longest_fall_passes_over_bumps():
    assert longest_fall(np.array([5.0, 4.0, 6.0, 3.0, 9.0, 2.0, 2.5])) == [0, 1, 3, 5]
    values = np.random.default_rng(0).normal(size=40)
    places = longest_fall(values)
    assert (np.diff(values[places]) < 0).all()
    assert (np.diff(places) > 0).all()


def test_smoothing_does_not_lean_on_the_first_value():
    assert smooth(np.full(5, 3.0), 0.9) == pytest.approx(np.full(5, 3.0))
    assert smooth(np.array([1.0, 3.0]), 0.0).tolist() == [1.0, 3.0]


def curve_of(lrs, losses):
    smoothed = smooth(losses, 0.5)
    said = suggestions(lrs, smoothed)
    return LearningRateCurve(lrs, losses, smoothed, "minimum", said, True, 32, "fused")


def test_a_curve_says_what_it_found_and_draws_it(tmp_path):
    pytest.importorskip("matplotlib")
    lrs = np.geomspace(1e-5, 10, 60)
    curve = curve_of(lrs, 3.0 - np.sin(np.linspace(0, 3, 60)))
    assert f"{curve.suggestion:.1e} (minimum)" in str(curve)
    assert f"{curve.low:.1e} and {curve.high:.1e}" in str(curve)
    assert curve.low < curve.suggestion < curve.high
    figure = curve.plot(tmp_path / "curve.png")
    [axes] = figure.axes
    assert axes.get_xscale() == "log"
    assert (tmp_path / "curve.png").stat().st_size > 5000
