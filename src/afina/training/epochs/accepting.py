"""What a trainer of fused epochs begins with: it takes the arguments, or says why it cannot."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras

from afina.training.epochs import reasons
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


@contextlib.contextmanager
def preparing(refusal: type[CannotTrainError] = CannotTrainError) -> Iterator[None]:
    """Within the block, what a Keras with other parts raises, or code of the user's, is a refusal.

    Plain `fit` will do then, or raise it again.
    """
    try:
        yield
    except (AttributeError, ImportError, TypeError) as error:
        raise refusal(f"the training cannot be prepared: {first_line(error)}") from error
