"""Slips of the pen in `build(hp)`, answered with the name that was probably meant."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Concatenate, ParamSpec, TypeVar

from afina.errors import SpaceTypeError

METHODS = {
    "Bool": "Boolean",
    "Categorical": "Choice",
    "Uniform": "Float",
    "LogUniform": "Float",
    "Normal": "Float",
    "suggest_categorical": "Choice",
    "suggest_float": "Float",
    "suggest_int": "Int",
    "suggest_loguniform": "Float",
    "suggest_uniform": "Float",
    "randint": "Int",
}
"""Other packages' names for the methods of `hp`, beside those that look alike."""

ARGUMENTS = {
    "choices": "values",
    "high": "max_value",
    "log": "sampling",
    "low": "min_value",
    "max": "max_value",
    "min": "min_value",
    "options": "values",
    "q": "step",
}
"""Other packages' names for arguments, beside those that look alike."""

P = ParamSpec("P")
S = TypeVar("S")
R = TypeVar("R")


def meant(name: str, known: Iterable[str], others: Mapping[str, str] | None = None) -> str:
    """The known name that someone probably meant; empty if none comes near.

    Args:
        name: What was written.
        known: The names that exist.
        others: Names of other packages, and what they are called here.

    Example:
        >>> meant("lnt", ["Int", "Float"]), meant("low", ["min_value"], ARGUMENTS)
        ('Int', 'min_value')
        >>> meant("val_acc", ["val_auc", "val_accuracy"])  # an abbreviation
        'val_accuracy'
        >>> meant("val_accuracy", ["val_acc", "val_loss"])  # what it is short for
        'val_acc'
        >>> meant("xyz", ["Int"])
        ''
    """
    by_case = {each.lower(): each for each in known}
    foreign = (others or {}).get(name, "")
    if foreign.lower() in by_case:
        return foreign
    written = name.lower()
    longer = [each for each in by_case if len(written) > 2 and each.startswith(written)]
    shorter = [each for each in by_case if len(each) > 2 and written.startswith(each)]
    near = longer if len(longer) == 1 else difflib.get_close_matches(written, by_case, n=1)
    near = near or longer or sorted(shorter, key=len, reverse=True)
    return by_case[near[0]] if near else ""


def question(name: str, known: Iterable[str], others: Mapping[str, str] | None = None) -> str:
    """A space and "Did you mean ...?", to end a message with; empty if nothing comes near.

    Example:
        >>> question("unit", ["units", "layers"])
        " Did you mean 'units'?"
    """
    near = meant(name, known, others)
    return f" Did you mean {near!r}?" if near else ""


def checks_names(
    method: Callable[Concatenate[S, P], R],
) -> Callable[Concatenate[S, P], R]:
    """Makes a method name the argument that an unknown keyword probably stands for."""
    known = [name for name in inspect.signature(method).parameters if name != "self"]

    @functools.wraps(method)
    def checked(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        for name in kwargs:
            if name not in known:
                near = question(name, known, ARGUMENTS)
                raise SpaceTypeError(
                    f"hp.{method.__name__}: {name!r} is not one of its arguments "
                    f"({', '.join(known)}).{near}"
                )
        return method(self, *args, **kwargs)

    return checked
