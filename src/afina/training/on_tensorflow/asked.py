"""Which models were compiled with `jit_compile=False` by their user's word.

Keras keeps what it has made of the argument: on a CPU, False for "auto" as well. So `compile` is
listened to while models are built.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import weakref
from collections.abc import Callable
from typing import Any

import keras

from afina.training.replacing import MethodPatch

_without: weakref.WeakSet[Any] = weakref.WeakSet()


def forbids_xla(model: keras.Model) -> bool:
    """Whether the user has compiled a model with `jit_compile=False`, as far as was heard."""
    return model in _without


def listens() -> bool:
    """Whether `listening` hears anything on this backend."""
    backend: str = keras.backend.backend()
    return backend == "tensorflow"


def listening() -> contextlib.AbstractContextManager[None]:
    """Within the block, what `compile` is given is remembered; on TensorFlow only."""
    return _patch.on() if listens() else contextlib.nullcontext()


def _heard(original: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(original)

    @functools.wraps(original)
    def compile(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        given = signature.bind(self, *args, **kwargs).arguments.get("jit_compile")
        if given is False:
            _without.add(self)
        else:
            _without.discard(self)
        return result

    return compile


_patch = MethodPatch(keras.Model, "compile", _heard)
