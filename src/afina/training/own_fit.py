"""Code of the user's that calls `model.fit`: each of these calls is trained as a search trains.

An override of `HyperModel.fit` or `run_trial` may do anything, and most end in `model.fit(...)`.
While such code runs, `fit` of Keras' models asks the trainers of the search. Nothing is put into
the models, which may be copied, pickled and saved meanwhile, and code in other threads is left
alone: what counts is the context in which `fit` is called.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

import keras

from afina.training.replacing import MethodPatch

Fit: TypeAlias = Callable[[Any, Sequence[Any], Mapping[str, Any], Callable[..., Any]], Any]
"""Called with a model, the arguments of its `fit` by place and by name, and Keras' own `fit`."""

_fit: ContextVar[Fit | None] = ContextVar("fit", default=None)


def _redirected(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def fit(self: Any, *args: Any, **kwargs: Any) -> Any:
        chosen = _fit.get()
        if chosen is None:
            return original(self, *args, **kwargs)
        with keras_fits():
            return chosen(self, args, kwargs, functools.partial(original, self))

    return fit


_redirection = MethodPatch(keras.Model, "fit", _redirected)


@contextmanager
def fitting_by(fit: Fit) -> Iterator[None]:
    """Within the block, `model.fit(...)` of any Keras model calls this instead.

    It does so in the calling thread only. Calls of `model.fit` within `fit` are Keras' own.

    Args:
        fit: Trains the model, and returns what `model.fit` would return.
    """
    with _redirection.on():
        token = _fit.set(fit)
        try:
            yield
        finally:
            _fit.reset(token)


@contextmanager
def keras_fits() -> Iterator[None]:
    """Within the block, `model.fit` is Keras' own, whatever the context asks for."""
    token = _fit.set(None)
    try:
        yield
    finally:
        _fit.reset(token)
