"""A trial that was interrupted continues from its last interim checkpoint, to the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import afina
from afina.errors import ArgumentError, CheckpointError
from afina.training.interim import INTERIM, Interim, Interval
from afina.trials import Status
from tests.tuners import models


class Interrupted(BaseException):
    """What no code catches, as a crash would be."""


def build(hp: Any) -> keras.Model:
    layers = [
        keras.Input((6,)),
        keras.layers.Dense(hp.Int("units", 4, 12, step=4), activation="relu"),
        keras.layers.Dropout(0.3),
        keras.layers.BatchNormalization(),
        keras.layers.Dense(2, activation="softmax"),
    ]
    model = keras.Sequential(layers)
    rate = keras.optimizers.schedules.ExponentialDecay(hp.Choice("rate", [0.02, 0.03]), 5, 0.9)
    model.compile(
        keras.optimizers.Adam(rate, use_ema=hp.Boolean("ema", default=True)),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def tuner_in(folder: Path, **options: Any) -> afina.RandomSearch:
    settings = {"max_trials": 1, "seed": 5, "directory": folder, "checkpoint_every": "2 epochs"}
    return afina.RandomSearch(build, "val_loss", **{**settings, **options})


def searched(tuner: afina.RandomSearch, **fit: Any) -> afina.RandomSearch:
    given = {"epochs": 8, "validation_split": 0.25, "verbose": 0, "batch_size": 16, **fit}
    tuner.search(*models.data(), **given)
    return tuner


def interrupted(
    tuner: afina.RandomSearch, monkeypatch: pytest.MonkeyPatch, at: tuple[int, int], **fit: Any
) -> None:
    """Searches until one execution's epoch has ended and been saved, but not reported."""

    def epoch_ended(trial: Any, execution: int, epoch: int, metrics: Any) -> Any:
        if (execution, epoch) == at:
            raise Interrupted
        return original(trial, execution, epoch, metrics)

    original = tuner._epoch_ended
    monkeypatch.setattr(tuner, "_epoch_ended", epoch_ended)
    with pytest.raises(Interrupted):
        searched(tuner, **fit)


def picture(tuner: afina.RandomSearch) -> dict[str, Any]:
    """All that a trial left."""
    state = tuner.oracle.search_state
    [trial] = state.trials.values()
    [model] = tuner.get_best_models(1)
    return {
        "score": trial.score,
        "metrics": dict(trial.metrics),
        "best_step": trial.best_step,
        "curve": trial.curve,
        "reports": [(r.execution, r.step, dict(r.metrics)) for r in state.history(0)],
        "weights": [w.tolist() for w in model.get_weights()],
        "optimizer": [np.asarray(v).tolist() for v in model.optimizer.variables],
    }


STOPPING = keras.callbacks.EarlyStopping("loss", patience=2, min_delta=0.02)
PLATEAU = keras.callbacks.ReduceLROnPlateau("val_loss", patience=1, min_delta=0.05, factor=0.5)


@pytest.mark.first("fused-at0")
@pytest.mark.parametrize(
    ("training", "at"), [("fused", (0, 3)), ("fused", (1, 4)), ("fit", (0, 4))]
)
def test_a_trial_that_was_interrupted_ends_as_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, training: str, at: tuple[int, int]
) -> None:
    options = {"training": training, "executions_per_trial": 2}
    fit = {"callbacks": [STOPPING]}
    straight = picture(searched(tuner_in(tmp_path / "a", **options), **fit))
    interrupted(tuner_in(tmp_path / "b", **options), monkeypatch, at, **fit)
    resumed = searched(tuner_in(tmp_path / "b", **options), **fit)
    note = resumed.oracle.search_state.trials[0].notes["resumed"]
    saved = at[1] + 1 - (at[1] + 1) % 2
    assert note.startswith(f"after epoch {saved},")
    assert picture(resumed) == straight
    assert not list(tmp_path.rglob(INTERIM)), "it is gone when the trial has ended"


def test_callbacks_of_keras_own_go_on_counting_where_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plain(hp: Any) -> keras.Model:
        model = models.build(hp)
        model.optimizer.learning_rate = 0.05
        return model

    def tuner(folder: str) -> afina.RandomSearch:
        options = {"max_trials": 1, "seed": 1, "directory": tmp_path / folder}
        return afina.RandomSearch(plain, "val_loss", checkpoint_every="epoch", **options)

    best = keras.callbacks.EarlyStopping("val_loss", patience=3, restore_best_weights=True)
    fit = {"callbacks": [PLATEAU, best], "epochs": 12}
    straight = picture(searched(tuner("a"), **fit))
    interrupted(tuner("b"), monkeypatch, (0, 4), **fit)
    assert picture(searched(tuner("b"), **fit)) == straight


def test_a_promoted_trial_that_was_interrupted_continues_in_its_own_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tuner(folder: str) -> afina.Hyperband:
        options = {"max_epochs": 4, "workers": 1, "seed": 2, "directory": tmp_path / folder}
        return afina.Hyperband(models.build, "val_loss", checkpoint_every="epoch", **options)

    def scores(tuner: afina.Hyperband) -> list[Any]:
        return [t.score for t in tuner.oracle.search_state.trials.values()]

    straight = scores(searched(tuner("a")))
    broken, calls = tuner("b"), []
    original = broken._epoch_ended

    def epoch_ended(trial: Any, execution: int, epoch: int, metrics: Any) -> Any:
        if trial.segment.start_epoch and epoch > trial.segment.start_epoch:
            calls.append(epoch)
            raise Interrupted
        return original(trial, execution, epoch, metrics)

    monkeypatch.setattr(broken, "_epoch_ended", epoch_ended)
    with pytest.raises(Interrupted):
        searched(broken)
    resumed = searched(tuner("b"))
    notes = [t.notes.get("resumed", "") for t in resumed.oracle.search_state.trials.values()]
    assert [note[:13] for note in notes if note] == [f"after epoch {calls[0]}"]
    assert scores(resumed) == straight


class Mine(keras.callbacks.Callback):
    pass


def test_a_trial_with_callbacks_of_ones_own_starts_over_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = {"callbacks": [Mine()]}
    interrupted(tuner_in(tmp_path), monkeypatch, (0, 5), **fit)
    assert not list(tmp_path.rglob(INTERIM))
    [trial] = searched(tuner_in(tmp_path), **fit).oracle.search_state.trials.values()
    assert trial.status is Status.COMPLETED
    assert trial.notes["interim_checkpoints"] == "none: Mine may keep a state of its own"


def test_a_short_trial_writes_nothing_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(tuner_in(tmp_path, checkpoint_every=300), monkeypatch, (0, 6))
    assert not list(tmp_path.rglob(INTERIM))
    monkeypatch.setattr("afina.training.interim.time.monotonic", iter(range(10**6)).__next__)
    interrupted(tuner_in(tmp_path, checkpoint_every=2), monkeypatch, (0, 6))
    assert list(tmp_path.rglob(INTERIM))


@pytest.mark.filterwarnings("ignore:A training starts over:UserWarning")
def test_a_damaged_file_is_found_out_and_the_trial_starts_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = picture(searched(tuner_in(tmp_path / "a")))
    interrupted(tuner_in(tmp_path / "b"), monkeypatch, (0, 5))
    [file] = (tmp_path / "b").rglob(INTERIM)
    whole = file.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", whole[:5000] + b"?" + whole[5001:]):
        file.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="must be whole"):
            Interim.read(file)
    assert picture(searched(tuner_in(tmp_path / "b"))) == straight


def test_what_was_trained_otherwise_is_not_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(tuner_in(tmp_path), monkeypatch, (0, 5))
    [trial] = searched(tuner_in(tmp_path), batch_size=8).oracle.search_state.trials.values()
    assert "resumed" not in trial.notes


def test_half_precision_and_other_values_come_back_as_they_were(tmp_path: Path) -> None:
    import ml_dtypes

    from afina.training.snapshot import Snapshot

    arrays = (
        np.arange(3, dtype=ml_dtypes.bfloat16),
        np.array(7, "uint32"),
        np.empty((0, 2), "float16"),
    )
    kept = Interim("key", 3, (((0, {"loss": float("nan"), "each": np.ones(2)}),),),
                   Snapshot(arrays, ((arrays[0],),), 3), None, float("inf"), 0)  # fmt: skip
    kept.write(tmp_path / "x.npz")
    found = Interim.read(tmp_path / "x.npz")
    for one, other in zip(found.model.variables, arrays, strict=True):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert one.tobytes() == other.tobytes()
    assert (found.epochs, found.score, found.best) == (3, float("inf"), None)
    assert found.seen[0][0][0] == 0
    assert np.isnan(found.seen[0][0][1]["loss"])


@pytest.mark.parametrize("often", ["5 minutes", "0 epochs", 0, -1, True, object(), "epochs 3"])
def test_an_interval_is_a_number_of_seconds_or_of_epochs(often: object, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="checkpoint_every"):
        Interval.of(often)
