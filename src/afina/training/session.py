"""Keras' global state: cleared between trials, without losing what the user set there.

`keras.utils.clear_session` forgets more than the names of layers: also the mixed-precision policy,
the distribution, the logging settings and an open `custom_object_scope`. From the second model on,
a search would then not train what the user asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras

from afina.training import keras_parts
from afina.training.tensorflow_kernels import kernels_kept

_state = keras_parts.session_module()
"""None if this Keras keeps its session elsewhere; settings are then not carried over."""

SETTINGS = (
    "dtype_policy",
    "distribution",
    "custom_objects_scope_dict",
    "interactive_logging",
    "traceback_filtering",
    "flash_attention",
    "nnx_enabled",
    "safe_mode_saving",
)
"""Keras' names for the user's settings that `clear_session` would drop."""

SEEDS = ("global_random_seed", "global_seed_generator")
"""Keras' names for the seeds that `keras.utils.set_random_seed` sets."""


def read_globals(names: Iterable[str]) -> dict[str, Any]:
    """Reads Keras' global attributes; None for those that are not set."""
    if _state is None:
        return {}
    return {name: getattr(_state.GLOBAL_STATE_TRACKER, name, None) for name in names}


def write_globals(values: dict[str, Any]) -> None:
    """Sets Keras' global attributes to what `read_globals` returned."""
    for name, value in values.items():
        setattr(_state.GLOBAL_STATE_TRACKER, name, value)


def read_session() -> dict[str, Any]:
    """All that Keras keeps for the calling thread: settings, seeds, counted names."""
    return {} if _state is None else dict(vars(_state.GLOBAL_STATE_TRACKER))


def write_session(session: dict[str, Any]) -> None:
    """Replaces the calling thread's session by what `read_session` returned."""
    if _state is not None:
        here = vars(_state.GLOBAL_STATE_TRACKER)
        here.clear()
        here.update(session)


def fresh_session() -> None:
    """Starts a new Keras session: layer names count from 0 again, the user's settings stay.

    Only the calling thread gets a new session. Keras would clear those of all threads, and with
    them the settings and seeds of trainings beside this one. Garbage is not collected here, which
    would take a good part of a second; `release` does it.
    """
    settings = read_globals(SETTINGS)
    sessions = getattr(_state, "GLOBAL_STATE_TRACKER", None)
    with kernels_kept():
        keras.utils.clear_session(free_memory=False)
    if sessions is not None:
        _state.GLOBAL_STATE_TRACKER = sessions
    write_session({name: value for name, value in settings.items() if value is not None})
