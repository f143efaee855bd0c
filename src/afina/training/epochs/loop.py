"""The loop over the epochs of one model, with all that `fit` does around its steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping
from typing import Any, Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from afina.training import keras_parts
from afina.training.epochs.data import DataCache, Samples
from afina.training.trainer import CannotTrainError

Logs = dict[str, Any]


class EpochLoop(ABC):
    """One `fit` of one model: callbacks, stopping, validation and History, around the steps.

    Whoever computes the steps fills in the four abstract methods; `ProgramLoop` does so for a
    program that is simply called.

    Args:
        data: The data that trainings share.
        model: Compiled.
        given: All arguments of `fit` by name.
    """

    def __init__(self, data: DataCache, model: keras.Model, given: Mapping[str, Any]) -> None:
        self.data = data
        self.model = model
        self.given = given
        self.train: Samples
        self.validation: Samples | None
        self.train, self.validation = data.parts(given)
        self.is_changed = False
        """Whether a callback has changed the model's structure or the data during the training."""

        self._look()

    def _look(self) -> None:
        """Builds what is not built yet, and records what the model and the data are now."""
        self.look()
        self._made_of = structure(self.model)
        self._looked = self.data.look(self.given)

    @abstractmethod
    def look(self) -> None:
        """Builds what is not built yet, and plans the epochs of the model as it is now."""

    @abstractmethod
    def prepare(self) -> None:
        """Makes the programs, or finds them; changes nothing in the model.

        Raises:
            CannotTrainError: They cannot be made.
        """

    @abstractmethod
    def train_epoch(self, order: NDArray[np.int32]) -> Generator[Any, Any, Logs]:
        """Trains one epoch; the model has the state after it when the generator returns.

        Args:
            order: Sample numbers in the order of training.

        Yields:
            Work whose result is sent back.

        Returns:
            The logs of the epoch.
        """

    @abstractmethod
    def validate(self) -> Generator[Any, Any, Logs]:
        """Validates once; yields and returns as `train_epoch` does."""

    def ended(self) -> None:  # noqa: B027  (nothing to free, by default)
        """Frees what only this training needs; called after the last epoch."""

    @property
    def first_epoch(self) -> int:
        """The number of the first epoch, from 0."""
        return keras_parts.first_epoch(self.model) or self.given["initial_epoch"]

    def epochs(self) -> Generator[Any, Any, Any]:
        """Goes through all epochs as `fit` does, and leaves the work of the programs to the caller.

        So several trainings can go through their epochs together.

        Yields:
            What `train_epoch` and `validate` yield; send back the results.

        Returns:
            The History.
        """
        model, given = self.model, self.given
        callbacks = self._callbacks()
        model.stop_training = False
        callbacks.on_train_begin()
        finished = False
        logs: Logs = {}
        try:
            for epoch in range(self.first_epoch, given["epochs"]):
                model.reset_metrics()  # before the callbacks, which may leave something in them
                callbacks.on_epoch_begin(epoch)
                self._prepare_if_changed()
                logs = numbers((yield from self.train_epoch(self.train.batches.order())))
                if self.validation is not None and self._is_validated(epoch):
                    callbacks.on_test_begin()
                    tested = numbers((yield from self.validate()))
                    callbacks.on_test_end(tested)
                    logs.update({f"val_{name}": value for name, value in tested.items()})
                callbacks.on_epoch_end(epoch, logs)
                if model.stop_training:
                    break
            finished = True
        finally:
            self.ended()
            if given["epochs"] > 0:
                model.optimizer.finalize_variable_values(model.trainable_weights)
            if finished:
                callbacks.on_train_end(logs=logs)
        return model.history

    def _callbacks(self) -> keras.callbacks.CallbackList:
        callbacks = self.given["callbacks"]
        if isinstance(callbacks, keras.callbacks.CallbackList):
            return callbacks
        verbose = self.given["verbose"]
        return keras.callbacks.CallbackList(
            callbacks,
            add_history=True,
            add_progbar=verbose != 0,
            verbose=verbose,
            epochs=self.given["epochs"],
            steps=self.train.batches.steps,
            model=self.model,
        )

    def _is_validated(self, epoch: int) -> bool:
        often = self.given["validation_freq"]
        return epoch + 1 in often if isinstance(often, list | tuple) else (epoch + 1) % often == 0

    def _prepare_if_changed(self) -> None:
        """Prepares again if a callback has changed the data in place, or the model's structure."""
        changed = self.data.look(self.given) != self._looked
        if changed:
            before = self.train.batches
            self.train, self.validation = self.data.parts(self.given)
            self.train.batches.go_on_from(before)
        if not changed and _equal(structure(self.model), self._made_of):
            return
        self.is_changed = True
        try:
            self._look()
            self.prepare()
        except CannotTrainError as error:  # it is too late for another trainer
            raise error.__cause__ or error from None


class EpochProgram(Protocol):
    """What computes the epochs and validations of one model on one backend."""

    def prepare(self) -> None:
        """Makes what the first epoch needs; changes nothing in the model.

        Raises:
            CannotTrainError: It cannot be made.
        """
        ...

    def read_state(self) -> None:
        """Reads the model's state, which callbacks may have changed; called before each epoch."""
        ...

    def run_epoch(self, order: NDArray[np.int32]) -> Mapping[str, Any]:
        """Trains on the samples of these numbers, in this order, and returns the logs."""
        ...

    def validate(self) -> Mapping[str, Any]:
        """Validates, from metrics that are reset, and returns the logs."""
        ...

    def write_back(self) -> None:
        """Gives the model the state; called before callbacks may look at it."""
        ...


class ProgramLoop(EpochLoop):
    """One `fit` of one model by an `EpochProgram`.

    Args:
        data: The data that trainings share.
        model: Compiled.
        given: All arguments of `fit` by name.
        make: Makes the program for the loop's `model`, `train` and `validation`, with the model
            built. It is called again if a callback changes the model's structure or the data.
    """

    def __init__(
        self,
        data: DataCache,
        model: keras.Model,
        given: Mapping[str, Any],
        make: Callable[[ProgramLoop], EpochProgram],
    ) -> None:
        self._make = make
        super().__init__(data, model, given)

    def run(self) -> Any:
        """Trains all epochs, as `fit` does; returns the History.

        Raises:
            CannotTrainError: The program cannot be made; no callback has been called.
        """
        self.prepare()
        try:
            next(self.epochs())
        except StopIteration as end:
            return end.value
        raise AssertionError("a program that is called leaves no work to others")

    def look(self) -> None:
        """Builds what is not built yet, and makes the program."""
        self.train.batches.build(self.model)
        self.model.reset_metrics()
        self.program = self._make(self)

    def prepare(self) -> None:
        """Prepares the program."""
        self.program.prepare()

    def train_epoch(self, order: NDArray[np.int32]) -> Generator[Any, Any, Logs]:
        """Runs an epoch of the program; yields nothing."""
        self.program.read_state()
        logs = self.program.run_epoch(order)
        self.program.write_back()
        return dict(logs)
        yield

    def validate(self) -> Generator[Any, Any, Logs]:
        """Runs a validation of the program; yields nothing."""
        logs = self.program.validate()
        self.program.write_back()
        return dict(logs)
        yield


def structure(model: keras.Model) -> tuple[Any, ...]:
    """What a callback changes by freezing layers or compiling again, after which programs no longer
    fit the model; cheap to compare."""
    variables = (model.trainable_variables, model.non_trainable_variables, model.metrics_variables)
    shapes = [[(tuple(v.shape), v.dtype) for v in each] for each in variables]
    return model.optimizer, keras_parts.loss_of(model), keras_parts.metrics_of(model), shapes


def _equal(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return all(a is b for a, b in zip(one[:3], other[:3], strict=True)) and one[3] == other[3]


def numbers(logs: Mapping[str, Any]) -> Logs:
    """Logs as Python numbers, in the order in which `fit` gives them to callbacks."""
    flat: Logs = {}
    for name, value in logs.items():
        if isinstance(value, Mapping):
            flat.update(numbers(value))
        else:
            flat[name] = float(value) if np.ndim(value) == 0 else np.asarray(value)
    return flat
