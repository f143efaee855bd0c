"""Which of its methods a tuner or a hypermodel has from its user, and what follows from that.

Keras Tuner's users override public methods and, after its docstrings, private ones too. Whoever
does takes part of the work: how a trial is trained, or what is done around it. Everything that
Afina decides by itself (to check the data, to train trials side by side, to want a compiled model)
asks here first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

TRAINING = (
    "run_trial",
    "_run_and_update_trial",
    "_try_run_and_update_trial",
    "_build_and_fit_model",
    "_try_build",
    "_build_hypermodel",
)
"""Methods of a tuner that build or train: code of the user's in them may keep models, data or
anything else in the tuner and in the hypermodel while a trial runs."""

AROUND = (
    "on_trial_begin",
    "on_trial_end",
    "on_epoch_begin",
    "on_epoch_end",
    "on_batch_begin",
    "on_batch_end",
    "pre_create_trial",
    "_deepcopy_callbacks",
    "_configure_tensorboard",
    "_configure_tensorboard_dir",
    "_get_tensorboard_dir",
    "_override_compile_args",
    "_filter_metrics",
    "save_model",
)
"""Methods of a tuner that are called around a training. What they keep in the tuner belongs to one
trial, and they expect the calls of one trial before those of the next."""

ORACLE = ("create_trial", "update_trial", "end_trial")
"""Methods of an oracle that hand trials out and take results in. Overrides expect one tuner that
asks for the next trial when the last one has ended."""


def is_overridden(owner: Any, name: str) -> bool:
    """Whether a method is not Afina's own.

    What counts is where the function was written. So a subclass, a function that was put into an
    object or into a class of Afina, and a decorated method all count as overrides. A method that
    one class of Afina has in place of another's does not, and Afina's own decorators do not count.

    Args:
        owner: An object, or a class.
        name: The method's name. It counts as not overridden if `owner` does not have it.

    Example:
        >>> from afina import GridSearch
        >>> is_overridden(GridSearch, "run_trial")
        False
    """
    method = getattr(owner, name, None)
    if method is None:
        return False
    function = getattr(method, "__func__", method)
    while _is_ours(function):
        if not hasattr(function, "__wrapped__"):
            return False
        function = function.__wrapped__
    return True


def _is_ours(function: Any) -> bool:
    home = getattr(function, "__globals__", {}).get("__name__", "")
    return str(home).partition(".")[0] == "afina"


def first_overridden(owner: Any, names: Iterable[str]) -> str | None:
    """Says which of these methods is overridden first, as a reason; None if none is.

    Example:
        >>> from afina import HyperModel
        >>> class Mine(HyperModel):
        ...     fit = print
        >>> first_overridden(Mine(), ("declare_hyperparameters", "fit"))
        'Mine overrides fit'
    """
    for name in names:
        if is_overridden(owner, name):
            return f"{type(owner).__name__} overrides {name}"
    return None


def named_override(*methods: tuple[Any, str]) -> str | None:
    """The first of these methods that is overridden, as code names it; None if none is.

    Args:
        methods: Pairs of an owner and a method's name.

    Example:
        >>> from afina import HyperModel
        >>> class Mine(HyperModel):
        ...     fit = print
        >>> named_override((Mine(), "declare_hyperparameters"), (Mine(), "fit"))
        'Mine.fit'
    """
    for owner, name in methods:
        if is_overridden(owner, name):
            return f"{type(owner).__name__}.{name}"
    return None
