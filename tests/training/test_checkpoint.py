from __future__ import annotations

import errno
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from afina.errors import CheckpointError, StoreError
from afina.training import (
    BUILD_CONFIG,
    CHECKPOINT,
    load_state,
    remove_checkpoint,
    save_snapshot,
    save_state,
    take_snapshot,
)

from .conftest import Data, MakeModel


def same_state(one: keras.Model, other: keras.Model) -> bool:
    mine, theirs = take_snapshot(one, 0), take_snapshot(other, 0)
    flat = [
        (*snapshot.variables, *(a for each in snapshot.optimizers for a in each))
        for snapshot in (mine, theirs)
    ]
    return len(flat[0]) == len(flat[1]) and all(map(np.array_equal, *flat))


@pytest.mark.parametrize("built", [True, False], ids=["built", "built by its first batch"])
def test_a_training_goes_on_from_a_checkpoint_exactly_as_if_it_had_never_stopped(
    built: bool, data: Data, make_model: MakeModel, tmp_path: Path
) -> None:
    keras.utils.set_random_seed(3)
    straight = make_model(built=built)
    whole = straight.fit(*data, epochs=4, shuffle=False, verbose=0).history

    keras.utils.set_random_seed(3)
    first = make_model(built=built)
    first.fit(*data, epochs=2, shuffle=False, verbose=0)
    save_state(first, tmp_path / CHECKPOINT, epochs=2)

    keras.utils.set_random_seed(99)
    second = make_model(built=built)
    assert load_state(second, tmp_path / CHECKPOINT) == 2
    assert same_state(first, second)
    rest = second.fit(*data, epochs=4, initial_epoch=2, shuffle=False, verbose=0).history

    assert rest["loss"] == whole["loss"][2:]
    assert same_state(straight, second)
    assert int(second.optimizer.iterations) == 8  # 2 batches an epoch


def test_a_checkpoint_is_a_weights_file_that_plain_keras_reads(
    data: Data, make_model: MakeModel, tmp_path: Path
) -> None:
    model, other = make_model(), make_model()
    model.fit(*data, verbose=0)
    save_state(model, tmp_path / CHECKPOINT)

    other.optimizer.build(other.trainable_variables)  # else Keras warns that it skips it
    other.load_weights(tmp_path / CHECKPOINT)

    np.testing.assert_array_equal(
        model.predict(data[0], verbose=0), other.predict(data[0], verbose=0)
    )


def test_a_weights_file_by_plain_keras_is_read_too(
    data: Data, make_model: MakeModel, tmp_path: Path
) -> None:
    model, other = make_model(), make_model()
    model.fit(*data, verbose=0)
    model.save_weights(tmp_path / CHECKPOINT)

    assert load_state(other, tmp_path / CHECKPOINT) is None
    np.testing.assert_array_equal(model.layers[0].get_weights()[0], other.get_weights()[0])
    assert int(other.optimizer.iterations) == 2


def test_the_optimizer_can_be_left_as_it_is(
    data: Data, make_model: MakeModel, tmp_path: Path
) -> None:
    model, other = make_model(), make_model(optimizer="sgd")
    model.fit(*data, verbose=0)
    save_state(model, tmp_path / CHECKPOINT)

    load_state(other, tmp_path / CHECKPOINT, optimizer=False)

    np.testing.assert_array_equal(model.get_weights()[0], other.get_weights()[0])
    assert int(other.optimizer.iterations) == 0


def test_a_checkpoint_of_another_optimizer_or_shape_is_refused_with_the_likely_reason(
    data: Data, make_model: MakeModel, tmp_path: Path
) -> None:
    model = make_model()
    model.fit(*data, verbose=0)
    save_state(model, tmp_path / CHECKPOINT)

    with pytest.raises(StoreError, match="optimizer in build"):
        load_state(make_model(optimizer="sgd"), tmp_path / CHECKPOINT)
    with pytest.raises(StoreError, match=r"Has build\(hp\) changed"):
        load_state(make_model(units=7), tmp_path / CHECKPOINT)
    with pytest.raises(StoreError, match="must exist"):
        load_state(model, tmp_path / "none" / CHECKPOINT)
    (tmp_path / CHECKPOINT).write_bytes(b"half of a file")
    with pytest.raises(StoreError, match="this very model"):
        load_state(model, tmp_path / CHECKPOINT)


def test_the_error_for_an_unbuilt_model_without_a_build_config_says_what_to_do(
    data: Data, make_model: MakeModel, tmp_path: Path
) -> None:
    with pytest.raises(StoreError, match=r"keras\.Input"):
        save_state(make_model(built=False), tmp_path / CHECKPOINT)
    model = make_model()
    save_state(model, tmp_path / CHECKPOINT)
    (tmp_path / BUILD_CONFIG).unlink()
    with pytest.raises(StoreError, match=r"keras\.Input"):
        load_state(make_model(built=False), tmp_path / CHECKPOINT)


def test_a_subclassed_model_of_two_inputs_is_rebuilt_from_its_build_config(tmp_path: Path) -> None:
    class Two(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = keras.layers.Dense(3), keras.layers.Dense(3)

        def call(self, inputs: dict[str, object]) -> object:
            return self.left(inputs["a"]) + self.right(inputs["b"])

    inputs = {"a": np.ones((8, 2), "float32"), "b": np.ones((8, 5), "float32")}
    model, other = Two(), Two()
    for each in (model, other):
        each.compile("adam", "mse")
    model.fit(inputs, np.ones((8, 3), "float32"), verbose=0)
    save_state(model, tmp_path / CHECKPOINT)

    load_state(other, tmp_path / CHECKPOINT)

    assert same_state(model, other)


def test_a_model_with_two_optimizers_of_its_own_is_snapshot_with_both(
    data: Data, make_model: MakeModel
) -> None:
    model = make_model()
    model.second = keras.optimizers.SGD(momentum=0.9)
    model.second.build(model.trainable_variables)
    assert [len(each) for each in take_snapshot(model, 0).optimizers] == [2, 8]


def test_a_snapshot_is_not_changed_by_training_on_and_its_saving_puts_the_model_into_its_state(
    data: Data, make_model: MakeModel, tmp_path: Path
) -> None:
    model, early = make_model(), make_model()
    model.fit(*data, verbose=0)
    snapshot = take_snapshot(model, 1)
    weights = model.get_weights()
    model.fit(*data, epochs=3, verbose=0)

    save_snapshot(snapshot, model, tmp_path / CHECKPOINT)

    assert load_state(early, tmp_path / CHECKPOINT) == 1
    assert all(map(np.array_equal, early.get_weights(), weights))
    assert int(early.optimizer.iterations) == 2
    assert all(map(np.array_equal, model.get_weights(), weights))


def test_a_snapshot_from_before_another_compile_is_saved_without_its_optimizer(
    data: Data, make_model: MakeModel, tmp_path: Path
) -> None:
    model, other = make_model(), make_model()
    model.fit(*data, verbose=0)
    snapshot = take_snapshot(model, 1)
    model.compile("sgd", "mse")
    model.fit(*data, verbose=0)

    save_snapshot(snapshot, model, tmp_path / CHECKPOINT)

    load_state(other, tmp_path / CHECKPOINT)
    np.testing.assert_array_equal(other.get_weights()[0], snapshot.variables[0])
    assert int(other.optimizer.iterations) == 0


@pytest.mark.service
def test_a_process_killed_at_any_moment_leaves_a_whole_checkpoint(
    make_model: MakeModel, tmp_path: Path
) -> None:
    path = tmp_path / CHECKPOINT
    writer = textwrap.dedent(
        """
        import sys, numpy as np, keras
        from pathlib import Path
        from afina.training import save_state
        model = keras.Sequential([keras.Input((300,)), keras.layers.Dense(300, use_bias=False)])
        model.compile("adam", "mse")
        for value in range(1, 1_000_000):
            model.set_weights([np.full((300, 300), value, "float32")])
            save_state(model, Path(sys.argv[1]), epochs=value)
            if value == 1:
                print("writing", flush=True)
        """
    )
    for pause in (0.0, 0.007, 0.05):
        with subprocess.Popen(
            [sys.executable, "-c", writer, str(path)], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            started = child.stdout.readline()
            time.sleep(pause)
            child.kill()
        assert started == "writing\n"

        model = keras.Sequential([keras.Input((300,)), keras.layers.Dense(300, use_bias=False)])
        model.compile("adam", "mse")
        epochs = load_state(model, path)
        assert epochs is not None
        assert np.all(model.get_weights()[0] == epochs)
    assert remove_checkpoint(path)
    assert list(tmp_path.iterdir()) == []


def frozen(model: keras.Model, *places: int) -> keras.Model:
    """The model with these layers frozen, compiled as before."""
    for place, layer in enumerate(model.layers):
        layer.trainable = place not in places
    model.compile(type(model.optimizer)(), "mse")
    return model


def twin_layers() -> keras.Model:
    """Two layers of one size: shapes do not tell their moments apart."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4), keras.layers.Dense(4)])
    model.compile("adam", "mse")
    return model


def loss_scaled(model: keras.Model) -> keras.Model:
    model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam()), "mse")
    return model


MISFITS = {
    "another class": lambda make: (make(), make(optimizer="sgd")),
    "another class of the same shapes": lambda make: (
        make(optimizer=keras.optimizers.SGD(momentum=0.9)),
        make(optimizer=keras.optimizers.Adagrad()),
    ),
    "fewer frozen": lambda make: (make(), frozen(make(), 0)),
    "more frozen": lambda make: (frozen(make(), 0, 1), make()),
    "others of the same shapes frozen": lambda make: (
        frozen(twin_layers(), 0),
        frozen(twin_layers(), 1),
    ),
    "wrapped by loss scaling": lambda make: (loss_scaled(make()), make()),
    "now wrapped by loss scaling": lambda make: (make(), loss_scaled(make())),
}


@pytest.mark.parametrize("kind", MISFITS)
def test_an_optimizer_state_that_does_not_fit_is_left_out_whole_with_one_notice(
    kind: str, make_model: MakeModel, tmp_path: Path
) -> None:
    saved, fresh = MISFITS[kind](make_model)
    x = np.random.default_rng(0).normal(size=(48, 4)).astype("float32")
    saved.fit(x, x[:, : saved.output_shape[1]], epochs=2, verbose=0)
    save_state(saved, tmp_path / CHECKPOINT, epochs=2)
    fresh.optimizer.build(fresh.trainable_variables)
    before = take_snapshot(fresh, 0).optimizers

    told: list[str] = []
    assert load_state(fresh, tmp_path / CHECKPOINT, left_out=told.append) == 2

    assert len(told) == 1
    assert "optimizer state is left out" in told[0]
    assert all(map(np.array_equal, fresh.get_weights(), saved.get_weights()))
    for mine, theirs in zip(take_snapshot(fresh, 0).optimizers, before, strict=True):
        assert all(map(np.array_equal, mine, theirs))
    fresh.fit(x, x[:, : fresh.output_shape[1]], verbose=0)  # it can be trained on
    with pytest.raises(CheckpointError, match="optimizer in build"):
        load_state(fresh, tmp_path / CHECKPOINT)


def test_an_optimizer_state_that_fits_is_restored_without_a_notice_also_under_loss_scaling(
    data: Data, make_model: MakeModel, tmp_path: Path
) -> None:
    told: list[str] = []
    for prepared in (loss_scaled, lambda model: frozen(model, 0)):
        saved, fresh = prepared(make_model()), prepared(make_model())
        saved.fit(*data, epochs=2, verbose=0)
        save_state(saved, tmp_path / CHECKPOINT)
        load_state(fresh, tmp_path / CHECKPOINT, left_out=told.append)
        assert same_state(saved, fresh)
    assert told == []


def test_a_checkpoint_without_the_optimizers_state_is_reported_too(
    data: Data, make_model: MakeModel, tmp_path: Path
) -> None:
    model, other = make_model(), make_model()
    model.fit(*data, verbose=0)
    snapshot = take_snapshot(model, 1)
    frozen(model, 0).fit(*data, verbose=0)
    save_snapshot(snapshot, model, tmp_path / CHECKPOINT)
    told: list[str] = []
    load_state(other, tmp_path / CHECKPOINT, left_out=told.append)
    assert len(told) == 1


@pytest.mark.parametrize("error", [ValueError, NotImplementedError, OSError, KeyError])
def test_a_model_that_cannot_be_saved_is_no_trouble_of_the_store(
    error: type[Exception], data: Data, tmp_path: Path
) -> None:
    class Unsavable(keras.layers.Dense):  # type: ignore[misc]
        def save_own_variables(self, store: object) -> None:
            raise error("I am not to be saved")

    model = keras.Sequential([keras.Input((4,)), Unsavable(1)])
    model.compile("sgd", "mse")
    with pytest.raises(CheckpointError, match=r"that Keras can save.*I am not to be"):
        save_state(model, tmp_path / CHECKPOINT)
    assert not list(tmp_path.glob("*.h5"))


def test_a_full_disk_is_no_trouble_of_the_model(make_model: MakeModel, tmp_path: Path) -> None:
    class Full(keras.layers.Dense):  # type: ignore[misc]
        def save_own_variables(self, store: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    model = keras.Sequential([keras.Input((4,)), Full(1)])
    with pytest.raises(OSError, match="No space") as raised:
        save_state(model, tmp_path / CHECKPOINT)
    assert not isinstance(raised.value, CheckpointError)


class MakesLayersInBuild(keras.Model):  # type: ignore[misc]
    """Its own `build` makes layers without building them, so the model is built before they are."""

    def build(self, input_shape: object) -> None:
        self.hidden = keras.layers.Dense(3)
        self.outer = keras.Sequential([keras.layers.Dense(4), keras.layers.Dense(1)])
        self.never_called = keras.layers.Dense(2)

    def call(self, inputs: object) -> object:
        if isinstance(inputs, dict):
            return self.outer(self.hidden(inputs["a"])) + inputs["b"]
        return self.outer(self.hidden(inputs))


@pytest.mark.parametrize("built", [False, True], ids=["returned unbuilt", "built by its builder"])
@pytest.mark.parametrize("several", [False, True], ids=["one input", "inputs in a dict"])
def test_layers_that_the_models_own_build_makes_get_their_weights_too(
    built: bool, several: bool, data: Data, tmp_path: Path
) -> None:
    x = {"a": data[0], "b": data[1]} if several else data[0]
    model, other = MakesLayersInBuild(), MakesLayersInBuild()
    for each in (model, other):
        each.compile("adam", "mse")
    model.fit(x, data[1], verbose=0)
    save_state(model, tmp_path / CHECKPOINT)
    if built:
        other.build((None, 4))

    load_state(other, tmp_path / CHECKPOINT)

    assert np.array_equal(model.predict(x, verbose=0), other.predict(x, verbose=0))
    assert same_state(model, other)


def test_a_layer_that_cannot_get_its_weights_is_an_error_not_an_untrained_model(
    data: Data, tmp_path: Path
) -> None:
    model, other = MakesLayersInBuild(), MakesLayersInBuild()
    for each in (model, other):
        each.compile("adam", "mse")
    model.fit(*data, verbose=0)
    save_state(model, tmp_path / CHECKPOINT)
    (tmp_path / BUILD_CONFIG).unlink()  # with it goes how to build them
    other.build((None, 4))
    with pytest.raises(CheckpointError, match="has no variables yet"):
        load_state(other, tmp_path / CHECKPOINT)


def test_what_a_kill_left_half_written_is_removed_too(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        save_state(make_model(), tmp_path / CHECKPOINT)
    assert list(tmp_path.iterdir()) != []
    remove_checkpoint(tmp_path / CHECKPOINT)
    assert list(tmp_path.iterdir()) == []
