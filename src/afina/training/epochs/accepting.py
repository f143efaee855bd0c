"""What a trainer of fused epochs begins with: it takes the arguments, or says why it cannot."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras

from afina.training.epochs import reasons
from afina.training.epochs.loop import EpochLoop
from afina.training.memory import SHARE, free_host_bytes
from afina.training.trainer import CannotTrainError, Trainer
from afina.trials import first_line


def accepted_arguments(
    trainer: Trainer,
    model: keras.Model,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    refusal: type[CannotTrainError] = CannotTrainError,
) -> dict[str, Any]:
    """All arguments of `fit` by name, defaults included, for a training that can be fused.

    Args:
        trainer: Says why it cannot.
        model: Compiled.
        args: Positional arguments of `fit`.
        kwargs: Keyword arguments of `fit`.
        refusal: What is raised.

    Raises:
        CannotTrainError: `trainer.why_not` names a reason.
    """
    reason = trainer.why_not(model, args, kwargs)
    if reason is not None:
        raise refusal(reason)
    given = reasons.fit_arguments(args, kwargs)
    assert isinstance(given, dict), "why_not has looked"
    return given


def check_room(training: EpochLoop) -> None:
    """Raises CannotTrainError if the data would not fit beside the models in the host's memory."""
    parts = [training.train.arrays]
    parts += [] if training.validation is None else [training.validation.arrays]
    free = free_host_bytes()
    size = sum(part.nbytes for part in parts if not part.placed)
    if free is not None and size > SHARE * free:
        raise CannotTrainError("the data are larger than half of the free memory")


@contextlib.contextmanager
def preparing(refusal: type[CannotTrainError] = CannotTrainError) -> Iterator[None]:
    """Within the block, what a Keras with other parts raises, or code of the user's, is a refusal.

    Plain `fit` will do then, or raise it again.
    """
    try:
        yield
    except (AttributeError, ImportError, TypeError) as error:
        raise refusal(f"the training cannot be prepared: {first_line(error)}") from error
