"""What users hand to a tuner: a function, or a `HyperModel`, that builds a model from `hp`."""

from __future__ import annotations

import difflib
import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

from afina.errors import FatalTypeError, FatalValueError, NoBuildError, check_flag, wrong
from afina.space import HyperParameters
from afina.tuners.overrides import is_overridden


class HyperModel:
    """A model with open hyperparameters: subclass it and override `build`.

    Args:
        name: For people; None takes the class's name.
        tunable: False builds with a copy of `hp`, so that what `build` asks for takes its
            defaults and never reaches the search space.

    Example:
        >>> class Net(HyperModel):
        ...     def build(self, hp):
        ...         return hp.Int("units", 8, 64, step=8)
        >>> Net().build(HyperParameters())
        8
    """

    tunable: bool = True
    _build: Callable[..., Any] | None = None  # while `_build_wrapper` is at work

    def __init__(self, name: str | None = None, tunable: bool = True) -> None:
        self.name = name or type(self).__name__
        self.tunable = check_flag("tunable", tunable)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "build" in cls.__dict__:
            cls.build = _respecting_tunable(cls.__dict__["build"])  # type: ignore[method-assign]

    def build(self, hp: HyperParameters) -> Any:
        """Builds and compiles a model; every `hp.Int(...)` in it is a hyperparameter."""
        raise NoBuildError(_no_build(self))

    def _build_wrapper(self, hp: HyperParameters, *args: Any, **kwargs: Any) -> Any:
        """Calls `build`: packages override it, to put each build into a scope of names."""
        assert self._build is not None
        return self._build(hp if self.tunable else hp.copy(), *args, **kwargs)

    def fit(self, hp: HyperParameters, model: Any, *args: Any, **kwargs: Any) -> Any:
        """Trains the model; override it to tune the whole loop.

        A `model.fit(...)` in it is trained as the search trains. Trials run side by side only where
        the override keeps nothing in `self`; `fit_arguments` never stands in the way of that.

        Args:
            hp: More hyperparameters may be asked for here.
            model: What `build` returned.
            args: What was given to `search`.
            kwargs: What was given to `search`, `callbacks` among it: pass them on.

        Returns:
            Keras' History, or the objective as a number, or a dict of metrics.
        """
        del hp
        return model.fit(*args, **kwargs)

    def fit_arguments(self, hp: HyperParameters) -> dict[str, Any]:
        """Arguments of `model.fit` that depend on hyperparameters; override it to tune them.

        They join those that `search` was given; `callbacks` join the others' callbacks. Not asked
        for where `fit` is overridden.

        Args:
            hp: More hyperparameters may be asked for here; those that are asked for in `build` or
                `declare_hyperparameters` too are known from the first trial on.

        Returns:
            Arguments by name.

        Example:
            >>> class Net(HyperModel):
            ...     def fit_arguments(self, hp):
            ...         return {"batch_size": hp.Choice("batch_size", [32, 64])}
            >>> Net().fit_arguments(HyperParameters())
            {'batch_size': 32}
        """
        del hp
        return {}

    def declare_hyperparameters(self, hp: HyperParameters) -> None:
        """Called once before the first build, for hyperparameters that `build` may not reach."""


def _respecting_tunable(build: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(build)
    def wrapped(self: HyperModel, hp: HyperParameters, *args: Any, **kwargs: Any) -> Any:
        hp.start_build()
        plain = not is_overridden(type(self), "_build_wrapper")
        if plain or self._build is not None:  # the latter where a build calls its parent's
            return build(self, hp if self.tunable else hp.copy(), *args, **kwargs)
        self._build = functools.partial(build, self)
        try:
            return self._build_wrapper(hp, *args, **kwargs)
        finally:
            self._build = None

    return wrapped


class DefaultHyperModel(HyperModel):
    """A `HyperModel` made of a function `build(hp)`."""

    def __init__(
        self, function: Callable[..., Any], name: str | None = None, tunable: bool = True
    ) -> None:
        super().__init__(name or getattr(function, "__name__", None), tunable)
        self.function = function

    def build(self, hp: HyperParameters) -> Any:
        """Calls the function."""
        return self.function(hp)


def join_arguments(given: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `search` and those of `HyperModel.fit_arguments`.

    Raises:
        FatalValueError: Both name the same one, so that one of them would be without effect.

    Example:
        >>> join_arguments({"epochs": 3}, {"batch_size": 32})
        {'epochs': 3, 'batch_size': 32}
    """
    joined = {**given, **own}
    for name in sorted(set(given) & set(own)):
        if name != "callbacks":
            advice = "Give it to search(), or let fit_arguments(hp) return it."
            raise FatalValueError(wrong(name, "must be given in one place", given[name], advice))
        joined[name] = [*(own[name] or []), *(given[name] or [])]
    return joined


def as_hypermodel(hypermodel: Any) -> HyperModel | None:
    """Reads what users give for a model: a `HyperModel`, a function of `hp`, or None.

    Raises:
        FatalValueError: It is none of these, or a `HyperModel` without `build`.
        FatalTypeError: It does not take `hp`.
    """
    if hypermodel is None:
        return None
    if isinstance(hypermodel, HyperModel):
        _check_methods(hypermodel)
        return hypermodel
    _refuse_value(hypermodel)
    _check_takes("hypermodel", hypermodel, "hp")
    return DefaultHyperModel(hypermodel)


def _check_methods(hypermodel: HyperModel) -> None:
    """Raises FatalTypeError where an overridden method cannot take what it is called with."""
    kind = type(hypermodel)
    takes = {
        "build": ("hp",),
        "fit": ("hp", "model"),
        "fit_arguments": ("hp",),
        "declare_hyperparameters": ("hp",),
    }
    for name, names in takes.items():
        if is_overridden(kind, name):
            _check_takes(
                f"{kind.__name__}.{name}", getattr(hypermodel, name), *names, more=name == "fit"
            )


# -- what people give instead, and what to write ------------------------------------------------


_EXAMPLE = "Write def build_model(hp): ... return model, and give build_model."


def _refuse_value(hypermodel: Any) -> None:
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
        advice = _EXAMPLE
        if callable(getattr(hypermodel, "build", None)):
            name = type(hypermodel).__name__
            advice = f"Let {name} be a subclass of HyperModel: class {name}(HyperModel)."
        raise FatalValueError(wrong("hypermodel", rule, hypermodel, advice))


def _refuse_class(kind: type, rule: str) -> None:
    if _is_a_subclass(kind, "Model"):
        if kind.__module__.partition(".")[0] == "keras":
            raise FatalValueError(wrong("hypermodel", rule, kind, _EXAMPLE))
        return  # the constructor of a class of the user's may take hp
    if callable(getattr(kind, "build", None)):
        advice = f"Give an instance: {kind.__name__}(...)."
        if not issubclass(kind, HyperModel):
            advice = f"Let it be a subclass of HyperModel, and give an instance: {kind.__name__}()."
        raise FatalValueError(wrong("hypermodel", rule, kind, advice))


def _check_takes(what: str, function: Callable[..., Any], *names: str, more: bool = False) -> None:
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


def _no_build(hypermodel: Any) -> str:
    """The message for a `HyperModel` whose class defines no `build`, with the likeliest reason."""
    kind = type(hypermodel)
    own = [
        name
        for base in kind.__mro__
        for name, member in vars(base).items()
        if callable(member) and not name.startswith("__") and is_overridden(kind, name)
    ]
    near = [name for name in own if "build" in name.lower() or "model" in name.lower()]
    near += difflib.get_close_matches("build", own, n=1)
    advice = "Write def build(self, hp): ... return model in it."
    if kind is HyperModel:
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
