"""What was set in the process that searches, for the processes that train its trials."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

from afina.errors import FatalRuntimeError, wrong
from afina.run.worker import farewells
from afina.training.compile_cache import cache_folder, compile_cache
from afina.training.memory import cheap_collections
from afina.training.session import read_globals, write_globals

OWN_SETTINGS = ("dtype_policy", "interactive_logging", "traceback_filtering", "flash_attention")
"""Keras' names for settings of a thread."""

JAX_SETTINGS = (
    "jax_enable_x64",
    "jax_default_matmul_precision",
    "jax_default_prng_impl",
    "jax_threefry_partitionable",
    "jax_numpy_dtype_promotion",
    "jax_debug_nans",
    "jax_disable_jit",
)
"""Those of JAX that change what comes out of a training."""

JAX_CACHE = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)
"""Those of JAX that say where compiled programs are kept."""


@dataclass(frozen=True)
class Settings:
    """What the script has set that has a say in how a model is built and trained.

    What it has set in TensorFlow or torch themselves stays behind.
    """

    folder: str | None
    """The working directory; None where nothing is read or written below it."""

    keras: Mapping[str, Any] = field(default_factory=dict)
    own: Mapping[str, Any] = field(default_factory=dict)
    jax: Mapping[str, Any] = field(default_factory=dict)
    custom_objects: Mapping[str, Any] = field(default_factory=dict)
    """Those that the script itself has registered; modules do it again when they are imported."""

    @classmethod
    def read(cls, *, with_folder: bool = True) -> Settings:
        """Those of this process and thread.

        Args:
            with_folder: Whether the working directory is among them.
        """
        return cls(
            folder=os.getcwd() if with_folder else None,
            keras={
                "floatx": keras.config.floatx(),
                "epsilon": keras.config.epsilon(),
                "image_data_format": keras.config.image_data_format(),
            },
            own={k: v for k, v in read_globals(OWN_SETTINGS).items() if v is not None},
            jax=_jax_settings(),
            custom_objects={
                name: known
                for name, known in keras.saving.get_custom_objects().items()
                if getattr(known, "__module__", None) == "__main__"
            },
        )

    def take(self) -> None:
        """Makes them those of this process."""
        try:
            if self.folder is not None:
                os.chdir(self.folder)
        except OSError as error:
            rule = "must be on a file system that all machines of the cluster share"
            advice = "Search in a shared folder, or pass checkpoint_dir= to RayExecutor."
            raise FatalRuntimeError(wrong("folder", rule, self.folder, advice)) from error
        if self.jax:
            import jax

            for name, value in self.jax.items():
                if getattr(jax.config, name) != value:
                    jax.config.update(name, value)
        for name, value in self.keras.items():
            getattr(keras.config, f"set_{name}")(value)
        write_globals(dict(self.own))
        for name, known in self.custom_objects.items():
            package, _, short = name.rpartition(">")
            if package:
                keras.saving.register_keras_serializable(package, short)(known)
            else:
                keras.saving.get_custom_objects()[name] = known
        _settle()


def _jax_settings() -> dict[str, Any]:
    jax = sys.modules.get("jax")
    if jax is None:
        return {}
    names = [*JAX_SETTINGS]
    if jax.config.jax_compilation_cache_dir != str(cache_folder()):  # ours they find themselves
        names += JAX_CACHE
    return {name: getattr(jax.config, name) for name in names if hasattr(jax.config, name)}


_settled: list[bool] = []


def _settle() -> None:
    """Once in the life of a process: what a search does once, too."""
    if not _settled:
        _settled.append(True)
        farewells.enter_context(compile_cache())
        farewells.enter_context(cheap_collections())
