"""`train_on=`: trials are trained by another backend than the one on which the script runs."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

import keras

from afina import training
from afina.backend import NAMES, is_installed
from afina.errors import ArgumentError, DataError, wrong
from afina.progress import Message
from afina.run import Processes, WorkerProcesses
from afina.run.processes import processors
from afina.tuners.remote import keras_processes
from afina.tuners.remote_search import RemoteSearch, SearchingTuner

BACKENDS = ("jax",)
"""Backends on which trials can be trained while the script runs on another one."""

HELPED = ("torch",)
"""Backends on which Afina trains some arrays more slowly than on JAX. On PyTorch, 8 dense networks
of many steps took 2.8 times the processor time of JAX, but 30 short trials half of it. On
TensorFlow it depends on the models: see `offer_after`."""

HINT = (
    "Long trainings of small dense networks take about a third of the time on JAX, which is "
    'installed: pass train_on="jax". Short ones are faster on {name}. The script stays on {name}, '
    "and so do the models that it gets."
)

HINT_AFTER = (
    "Many trainings like this one take less time on JAX, which is installed and trains several at "
    'once: pass train_on="jax". The script stays on {name}, and so do the models that it gets.'
)

_hinted: list[str] = []  # once in the life of a process


def check_train_on(train_on: Any, executor: Any, distribution_strategy: Any) -> None:
    """Checks `train_on=` by itself and beside the options that it contradicts.

    Raises:
        ArgumentError: It is neither None nor "jax", JAX is not installed, or another option
            belongs to this process or to its backend.
    """
    if train_on is None:
        return
    if train_on not in BACKENDS:
        raise ArgumentError(wrong("train_on", 'must be None or "jax"', train_on))
    if not is_installed(train_on):
        raise ArgumentError(
            f"train_on: needs {NAMES[train_on]}, but it is not installed. "
            f"Install it: pip install 'afina[{train_on}]'."
        )
    if not is_elsewhere(train_on):
        return
    if distribution_strategy is not None:
        rule = "must be None where train_on is given"
        advice = "It belongs to TensorFlow."
        raise ArgumentError(wrong("distribution_strategy", rule, distribution_strategy, advice))
    if executor is not None and not isinstance(executor, str):
        rule = 'must be None, "serial", "threads" or "processes" where train_on is given'
        raise ArgumentError(wrong("executor", rule, executor, "It runs trials in this process."))


def is_elsewhere(train_on: str | None) -> TypeGuard[str]:
    """Whether trials are trained on another backend than that of this process."""
    return train_on is not None and train_on != keras.backend.backend()


def start_process(train_on: str) -> WorkerProcesses:
    """A process with that backend, which is starting when this returns."""
    pool = keras_processes(1, train_on)
    pool.start(0)
    return pool


def start_early(
    tuner: object, train_on: str | None, directory: Any, project_name: Any, *, overwrite: Any
) -> WorkerProcesses | None:
    """A process that starts while the tuner explores its space and the script goes on.

    Args:
        tuner: With it, the process ends at the latest.
        train_on: The tuner's option.
        directory: The tuner's option.
        project_name: Likewise. If the project is there, the tuner may be meant for looking only.
        overwrite: Likewise; true where the project begins anew.

    Returns:
        None if it is better to wait for a search.
    """
    if not is_elsewhere(train_on):
        return None
    if Path(directory or ".", str(project_name or "untitled_project")).exists() and not overwrite:
        return None
    pool = start_process(train_on)
    weakref.finalize(tuner, pool.close)
    return pool


def run_elsewhere(
    tuner: SearchingTuner, train_on: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> None:
    """Runs the trials of a search on another backend.

    Args:
        tuner: Whose trials; its process, if one has started early, is used and ends here.
        train_on: The backend.
        args: As given to `search`.
        kwargs: Likewise.

    Raises:
        ArgumentError: The models, or something that they need, cannot be had there.
        DataError: The data cannot.
    """
    pool, tuner._process = tuner._process or start_process(train_on), None
    with pool:
        args, kwargs = as_arrays(*without_streams(tuner, args, kwargs))
        workers = RemoteSearch(tuner, pool, args, kwargs).run()
    if workers is not None:
        tuner._run_by(Processes(workers), args, kwargs)


def without_streams(
    tuner: SearchingTuner, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    """The arguments of `search` with arrays in place of the streams that may be read once."""
    streams = tuner._trainer.streams
    given = None if tuner._whose_training() is not None else streams.find(args, kwargs)
    if given is None:
        return args, kwargs
    read = streams.rewrite(given)
    if isinstance(read, str):
        return args, kwargs
    changed = {name: value for name, value in read.given.items() if value is not given[name]}
    return (), {**training.by_name(args, kwargs), **changed}


def as_arrays(
    args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of `search` with arrays in place of this backend's tensors.

    Raises:
        DataError: There is a `tf.data.Dataset` among them, which cannot leave its process.
    """
    found_args = tuple(keras.tree.map_structure(_as_array, each) for each in args)
    return found_args, {
        name: value if name == "callbacks" else keras.tree.map_structure(_as_array, value)
        for name, value in kwargs.items()
    }


def _as_array(value: Any) -> Any:
    if keras.ops.is_tensor(value):
        return keras.ops.convert_to_numpy(value)
    if type(value).__module__.startswith("tensorflow.") and hasattr(value, "element_spec"):
        advice = "Pass arrays, or materialize=True to have it read into arrays once."
        rule = "needs data that can leave this process"
        raise DataError(wrong("train_on", rule, type(value).__name__, advice))
    return value


def offer(tuner: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Tells a user who could train on JAX so, unless the search is silent."""
    silent = kwargs.get("verbose", "auto") in (0, "0", None) or not tuner.oracle.verbose
    if not silent and (told := hint(tuner, args, kwargs)) is not None:
        tuner._show(Message(told))


def hint(tuner: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
    """What to tell a user who could train on JAX instead; None where it would not help, and after
    the first time."""
    backend = keras.backend.backend()
    if backend not in HELPED or not _may_go_elsewhere(tuner):
        return None
    if not training.are_arrays(training.by_name(args, kwargs).get("x")):
        return None
    _hinted.append(backend)
    return HINT.format(name=NAMES[backend])


def offer_after(tuner: Any, account: training.Account) -> None:
    """Tells a user who could train on JAX so, once a trial was trained for which that pays.

    Args:
        tuner: Whose trial.
        account: How it was trained.
    """
    if not account.gains_on_jax or account.data or not _may_go_elsewhere(tuner):
        return
    if tuner.workers == 1 or processors() == 1 or tuner._folds:
        return
    if not tuner.oracle.search_state.algorithm.order_independent:  # then one at a time there too
        return
    backend = keras.backend.backend()
    _hinted.append(backend)
    tuner._show(Message(HINT_AFTER.format(name=NAMES[backend])))


def _may_go_elsewhere(tuner: Any) -> bool:
    """Whether the trials could be trained on JAX, and the user has neither said nor heard that."""
    if _hinted or tuner.train_on is not None or not is_installed("jax"):
        return False
    if tuner.training != "auto" or tuner._whose_training() is not None:
        return False
    return tuner.distribution_strategy is None and tuner.executor is None
