from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from afina.errors import DivergedError, FatalValueError
from afina.training import (
    CHECKPOINT,
    BestEpoch,
    copy_callbacks,
    load_state,
    take_snapshot,
    watch_execution,
)
from afina.trials import MultiObjective, Objective

from .conftest import Data, MakeModel

VAL_LOSS = Objective("val_loss", "min")
LOSS = Objective("loss", "min")


def plain_fit(*args: Any, **kwargs: Any) -> Callable[[keras.Model, list[Any]], Any]:
    """What trains a model by `model.fit` with these arguments."""
    return lambda model, callbacks: model.fit(*args, callbacks=callbacks, **kwargs)


def run_execution(
    *,
    build: Callable[[], keras.Model],
    fit: Callable[[keras.Model, list[Any]], Any],
    callbacks: Sequence[Any] = (),
    **kwargs: Any,
) -> Any:
    """Builds and trains one model, watched as in a search."""
    return watch_execution(
        lambda watched: fit(build(), watched), callbacks=copy_callbacks(callbacks), **kwargs
    )


class NaNAfter(keras.callbacks.Callback):  # type: ignore[misc]
    """Spoils the weights before the epoch with this number."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch = epoch
        self.ended = False

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == self.epoch:
            self.model.set_weights([np.full_like(w, np.nan) for w in self.model.get_weights()])


def test_the_best_epoch_is_kept_and_can_be_saved_and_restored(
    data: Data, make_model: MakeModel, tmp_path: Path
) -> None:
    best = BestEpoch(VAL_LOSS)
    models: list[keras.Model] = []

    def fit(model: keras.Model, callbacks: list[Any]) -> Any:
        models.append(model)
        # A step much too large after the second epoch: the best is the second.
        spoil = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: (
                epoch == 2 and model.optimizer.learning_rate.assign(50.0)
            )
        )
        return plain_fit(*data, epochs=4, verbose=0, validation_data=data)(
            model, [spoil, *callbacks]
        )

    history = run_execution(
        build=lambda: make_model(), fit=fit, objective=VAL_LOSS, best=best, seed=1
    )

    losses = history.history["val_loss"]
    assert losses.index(min(losses)) == 1
    assert best.best is not None
    assert (best.score, best.best.epochs) == (losses[1], 2)
    assert models[0].evaluate(*data, verbose=0)[0] == pytest.approx(losses[3], rel=1e-5)
    assert best.save(tmp_path / CHECKPOINT)
    assert models[0].evaluate(*data, verbose=0)[0] == pytest.approx(losses[1], rel=1e-5)
    loaded = make_model()
    assert load_state(loaded, tmp_path / CHECKPOINT) == 2
    assert loaded.evaluate(*data, verbose=0)[0] == pytest.approx(losses[1], rel=1e-5)


def test_the_best_of_all_executions_is_kept_and_each_epoch_is_reported(
    data: Data, make_model: MakeModel
) -> None:
    best = BestEpoch(MultiObjective([LOSS, Objective("mae", "min")]))
    told: list[tuple[int, int, float]] = []
    for execution, rate in enumerate([1e-4, 0.05, 1e-4]):
        run_execution(
            build=lambda rate=rate: make_model(optimizer=keras.optimizers.Adam(rate)),  # type: ignore[misc]
            fit=plain_fit(*data, epochs=2, verbose=0),
            objective=best.objective,
            best=best,
            on_epoch=lambda *news: told.append((news[0], news[1], news[2]["loss"])),
            execution=execution,
            seed=0,
        )
    assert [news[:2] for news in told] == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    assert best.best_execution == 1


def test_a_training_that_goes_on_from_a_checkpoint_is_that_of_one_go(
    data: Data, make_model: MakeModel, tmp_path: Path
) -> None:
    def train(epochs: int, start: int = 0) -> tuple[Any, BestEpoch]:
        def build() -> keras.Model:
            model = make_model()
            if start:  # as `Tuner` does for a promoted trial
                assert load_state(model, tmp_path / CHECKPOINT) == start
            return model

        best = BestEpoch(Objective("loss", "min"))
        history = run_execution(
            build=build,
            fit=plain_fit(
                *data,
                epochs=epochs,
                initial_epoch=start,
                shuffle=False,
                verbose=0,
                validation_data=data,
            ),
            objective=LOSS,
            best=best,
            seed=4,
        )
        return history.history["loss"], best

    straight, _ = train(4)
    first, half = train(1)
    assert half.save(tmp_path / CHECKPOINT)
    second, resumed = train(4, start=1)
    assert first + second == straight
    assert resumed.best is not None
    assert resumed.best.epochs > 1, "counted from the beginning of the whole training"


def test_a_training_that_becomes_nan_ends_at_once_and_its_callbacks_end_properly(
    data: Data, make_model: MakeModel
) -> None:
    best, ended = BestEpoch(LOSS), []
    seen: list[int] = []
    with pytest.raises(DivergedError, match="epoch 3: loss is nan"):
        run_execution(
            build=make_model,
            fit=plain_fit(*data, epochs=9, verbose=0),
            objective=LOSS,
            callbacks=[
                NaNAfter(2),
                keras.callbacks.LambdaCallback(on_train_end=lambda logs: ended.append(1)),
            ],
            best=best,
            on_epoch=lambda execution, epoch, numbers: seen.append(epoch),
        )
    assert seen == [0, 1, 2]
    assert ended == [1]
    assert best.best is not None
    assert best.best.epochs <= 2


def test_divergence_outranks_the_error_that_it_causes_in_the_users_fit(
    data: Data, make_model: MakeModel
) -> None:
    def fit(model: keras.Model, callbacks: list[Any]) -> float:
        loss = model.fit(*data, epochs=3, callbacks=callbacks, verbose=0).history["loss"][-1]
        return float(100 / int(loss))

    with pytest.raises(DivergedError) as caught:
        run_execution(build=make_model, fit=fit, objective=LOSS, callbacks=[NaNAfter(0)])
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize(
    ("name", "validated", "advice"),
    [
        ("val_mae", False, "validation_split="),
        ("val_maes", True, "Did you mean 'val_mae'"),
        ("accuracy", True, r"compile\(metrics=...\)"),
    ],
)
def test_an_objective_that_no_metric_bears_ends_the_search_naming_those_that_exist(
    name: str, validated: bool, advice: str, data: Data, make_model: MakeModel
) -> None:
    seen: list[int] = []
    with pytest.raises(FatalValueError, match=f"'loss', 'mae'.*{advice}"):
        run_execution(
            build=make_model,
            fit=plain_fit(*data, epochs=2, verbose=0, validation_data=data if validated else None),
            objective=Objective(name, "min"),
            on_epoch=lambda execution, epoch, numbers: seen.append(epoch),
        )
    assert seen == ([0, 1] if not validated else [])


def test_an_objective_that_is_only_logged_every_second_epoch_is_found(
    data: Data, make_model: MakeModel
) -> None:
    best = BestEpoch(VAL_LOSS)
    history = run_execution(
        build=make_model,
        fit=plain_fit(*data, epochs=4, verbose=0, validation_data=data, validation_freq=2),
        objective=VAL_LOSS,
        best=best,
        seed=0,
    )
    assert best.best is not None
    assert best.best.epochs in (2, 4)
    assert best.score == min(history.history["val_loss"])


def test_an_objective_may_be_logged_by_a_callback_or_returned_by_the_users_own_fit(
    data: Data, make_model: MakeModel
) -> None:
    class Extra(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            logs["extra"] = -epoch

    best = BestEpoch(Objective("extra", "min"))
    run_execution(
        build=make_model,
        fit=plain_fit(*data, epochs=2, verbose=0),
        objective=best.objective,
        callbacks=[Extra()],
        best=best,
    )
    assert best.score == -1.0

    def fit(model: keras.Model, callbacks: list[Any]) -> dict[str, float]:
        model.fit(*data, callbacks=callbacks, verbose=0)
        return {"mine": 0.5}

    returned = run_execution(
        build=make_model, fit=fit, objective=Objective("mine", "min"), from_logs=False
    )
    assert returned == {"mine": 0.5}


def test_the_same_seed_trains_the_same_model_whatever_was_trained_before(
    data: Data, make_model: MakeModel
) -> None:
    def train(seed: int) -> list[np.ndarray[Any, Any]]:
        ended: list[keras.Model] = []

        def fit(model: keras.Model, callbacks: list[Any]) -> Any:
            ended.append(model)
            return model.fit(*data, callbacks=callbacks, epochs=2, verbose=0)

        run_execution(build=make_model, fit=fit, objective=LOSS, seed=seed)
        return list(take_snapshot(ended[0], 2).variables)

    first, _, again = train(1), train(2), train(1)
    assert all(map(np.array_equal, first, again))
