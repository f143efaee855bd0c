"""What people give in place of a hypermodel, and what to write instead."""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable
from typing import Any

from afina.errors import FatalTypeError, FatalValueError, wrong

EXAMPLE = "Write def build_model(hp): ... return model, and give build_model."


def refuse_value(hypermodel: Any) -> None:
    """Raises FatalValueError for what can be called, or not, but builds no model from `hp`."""
    rule = "must be a HyperModel or a function that takes hp"
    if _is_a(hypermodel, "Model") or _is_a(hypermodel, "Layer"):
        kind = "model" if _is_a(hypermodel, "Model") else "layer"
        got = f"the Keras {kind} {getattr(hypermodel, 'name', '')!r}"
        raise FatalValueError(
            f"hypermodel: {rule}, but got {got}. Each trial builds a new model: write "
            "def build_model(hp): ... return model, put what makes and compiles the model in it, "
            "and give build_model."
        )
    if isinstance(hypermodel, type):
        _refuse_class(hypermodel, rule)
    elif not callable(hypermodel):
        advice = EXAMPLE
        if callable(getattr(hypermodel, "build", None)):
            name = type(hypermodel).__name__
            advice = f"Let {name} be a subclass of HyperModel: class {name}(HyperModel)."
        raise FatalValueError(wrong("hypermodel", rule, hypermodel, advice))


def _refuse_class(kind: type, rule: str) -> None:
    if _is_a_subclass(kind, "Model"):
        if kind.__module__.partition(".")[0] == "keras":
            raise FatalValueError(wrong("hypermodel", rule, kind, EXAMPLE))
        return  # the constructor of a class of the user's may take hp
    if callable(getattr(kind, "build", None)):
        advice = f"Give an instance: {kind.__name__}(...)."
        if "afina.tuners.hypermodel" not in {base.__module__ for base in kind.__mro__}:
            advice = f"Let it be a subclass of HyperModel, and give an instance: {kind.__name__}()."
        raise FatalValueError(wrong("hypermodel", rule, kind, advice))


def check_takes(what: str, function: Callable[..., Any], *names: str, more: bool = False) -> None:
    """Raises FatalTypeError where a function cannot be called with these arguments.

    Args:
        what: What it is, for the message: "hypermodel", or "Net.build".
        function: As it will be called.
        names: What it is called with, in order.
        more: Whether it is called with other arguments too, which the user gives.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # compiled code does not always tell
        return
    try:
        (signature.bind_partial if more else signature.bind)(*names)
    except TypeError:
        pass
    else:
        return
    name = getattr(function, "__name__", type(function).__name__)
    taken = " and ".join(names)
    method = inspect.ismethod(function)
    shown = ", ".join((*(["self"] if method else []), *names))
    advice = f"Write def {name}({shown}): ..."
    if not more and _needed(signature) > len(names):
        advice += "; give other parameters a default, or bind them by functools.partial"
    rule = f"must take {taken}" + (" as its only argument" if len(names) == 1 else "")
    raise FatalTypeError(f"{what}: {rule}, but got def {name}{signature}. {advice}.")


def _needed(signature: inspect.Signature) -> int:
    """How many parameters must be given."""
    return sum(
        each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
        for each in signature.parameters.values()
    )


def no_build(hypermodel: Any) -> str:
    """The message for a `HyperModel` whose class defines no `build`, with the likeliest reason."""
    kind = type(hypermodel)
    own = [
        name
        for base in kind.__mro__
        if not base.__module__.startswith("afina.") and base is not object
        for name, member in vars(base).items()
        if callable(member) and not name.startswith("__")
    ]
    near = [name for name in own if "build" in name.lower() or "model" in name.lower()]
    near += difflib.get_close_matches("build", own, n=1)
    advice = "Write def build(self, hp): ... return model in it."
    if kind.__module__.startswith("afina."):
        advice = "Make a subclass of it with def build(self, hp): ... return model."
    elif near:
        advice = f"Rename {near[0]} to build."
    return f"{kind.__name__}: a HyperModel must define build(self, hp), but has none. {advice}"


def _is_a(value: Any, name: str) -> bool:
    return _is_a_subclass(type(value), name)


def _is_a_subclass(kind: type, name: str) -> bool:
    """Of Keras' class, where Keras is loaded: what is made by it can only be there then."""
    keras = sys.modules.get("keras")
    base = getattr(keras, name, None) or getattr(getattr(keras, "layers", None), name, None)
    return isinstance(base, type) and issubclass(kind, base)
