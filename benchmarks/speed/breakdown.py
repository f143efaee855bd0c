"""Where a search's time goes, measured from outside by wrapping functions.

Only for runs of their own: the clocks cost a little. Times are thread-seconds: with two threads at
work a search of ten seconds has twenty to share out. An instant belongs to the first of `PARTS`
that is going on in its thread, so that no second counts twice; what none claims is "rest".
"""

from __future__ import annotations

import dataclasses
import functools
import gc
import importlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jobs

PARTS = ("save", "clear", "build", "compile", "validate", "train")
"""In this order of precedence: compiling the initialisers of a model belongs to building it,
compiling a train step to compiling, a validation within `fit` to validating."""

WRAPPED = {
    # Keras, whoever calls it.
    "keras.Model.fit": "train",
    "keras.Model.evaluate": "validate",
    "keras.Model.save_weights": "save",
    "keras.Model.load_weights": "save",
    "keras.Model.save": "save",
    "keras.backend.clear_session": "clear",
    "keras.utils.clear_session": "clear",
    # Afina's own.
    "afina.training.callbacks.take_snapshot": "save",
    "afina.training.callbacks.save_snapshot": "save",
    "afina.training.load_state": "save",
    "afina.training.release": "clear",
}
"""Functions by their dotted names; those that a rival does not have are left out."""

EVENTS = "/jax/core/compile/"
"""What JAX calls the times of tracing, lowering and compiling. TensorFlow tells no such times:
there they are part of building, training and validating."""


class Clocks:
    """Collects who did what from when to when."""

    def __init__(self) -> None:
        self.spans: list[tuple[int, str, float, float]] = []
        """Thread, part, beginning and end in seconds of `time.perf_counter`."""

    def add(self, part: str, begun: float, ended: float) -> None:
        """Notes a span of the calling thread."""
        self.spans.append((threading.get_ident(), part, begun, ended))

    def wrap(self, function: Callable[..., Any], part: str) -> Callable[..., Any]:
        """The function, timed."""

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            begun = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.add(part, begun, time.perf_counter())

        return timed


def start() -> Clocks:
    """Wraps all that is there of `WRAPPED`, the builds of the jobs, and what JAX reports."""
    clocks = Clocks()
    for name, part in WRAPPED.items():
        owner, attribute = find(name)
        if owner is not None and hasattr(owner, attribute):
            setattr(owner, attribute, clocks.wrap(getattr(owner, attribute), part))
    gc.collect = clocks.wrap(gc.collect, "clear")
    for name, job in jobs.JOBS.items():
        build = clocks.wrap(job.build, "build")
        jobs.JOBS[name] = dataclasses.replace(job, build=build)
    listen(clocks)
    return clocks


def find(name: str) -> tuple[Any, str]:
    """What holds the dotted name, a module or a class, or None; and the last part."""
    path, _, attribute = name.rpartition(".")
    if name.startswith("afina.") and not has_module("afina"):
        return None, attribute
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        module = ".".join(parts[:length])
        if not has_module(module):
            continue
        owner = importlib.import_module(module)
        for part in parts[length:]:
            owner = getattr(owner, part, None)
        return owner, attribute
    return None, attribute


def has_module(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def listen(clocks: Clocks) -> None:
    """Lets JAX, where it is at work, tell how long it traced and compiled."""
    import keras

    if keras.backend.backend() != "jax":
        return
    import jax

    def heard(event: str, seconds: float, **kwargs: Any) -> None:
        if event.startswith(EVENTS):
            now = time.perf_counter()
            clocks.add("compile", now - seconds, now)

    jax.monitoring.register_event_duration_secs_listener(heard)


def read(
    clocks: Clocks, tuner: Any, begun: float, created: float, ended: float
) -> dict[str, float]:
    """Thread-seconds of each part of a search.

    Args:
        clocks: What `start` returned.
        tuner: The tuner that has searched.
        begun: When it was about to be made, in seconds of `time.perf_counter`.
        created: When it was made and the search began.
        ended: When the search was over.
    """
    total = dict.fromkeys(PARTS, 0.0)
    for spans in clipped(clocks.spans, begun, created).values():
        add(total, shared_out(spans))
    threads = clipped(clocks.spans, created, ended)
    if len(threads) > 1:  # the main thread waits for those that work
        threads.pop(threading.main_thread().ident or 0, None)
    own = breakdown_of_afina(tuner)
    for spans in threads.values():
        found = shared_out(spans)
        add(total, found if own is None else {"clear": found.get("clear", 0.0)})
    add(total, own or {})
    workers = max(1, len(threads))
    whole = created - begun + workers * (ended - created)
    return {**total, "rest": whole - sum(total.values()), "threads": workers}


def clipped(
    spans: Iterable[tuple[int, str, float, float]], begun: float, ended: float
) -> dict[int, list[tuple[str, float, float]]]:
    """What lies between two moments, by thread."""
    threads: dict[int, list[tuple[str, float, float]]] = {}
    for thread, part, first, last in spans:
        if last > begun and first < ended:
            span = (part, max(first, begun), min(last, ended))
            threads.setdefault(thread, []).append(span)
    return threads


def add(total: dict[str, float], found: Mapping[str, float]) -> None:
    for part, seconds in found.items():
        total[part] += seconds


def shared_out(spans: Iterable[tuple[str, float, float]]) -> dict[str, float]:
    """Seconds of each part of one thread, each instant given to one part only.

    Example:
        >>> shared_out([("train", 0.0, 10.0), ("compile", 1.0, 3.0), ("compile", 2.0, 3.0)])
        {'train': 8.0, 'compile': 2.0}
    """
    found: dict[str, float] = {}
    moments = sorted(
        (moment, step, part)
        for part, first, last in spans
        for moment, step in ((first, 1), (last, -1))
    )
    going_on = dict.fromkeys(PARTS, 0)
    before = 0.0
    for moment, step, part in moments:
        now = next((each for each in PARTS if going_on[each]), None)
        if now is not None:
            found[now] = found.get(now, 0.0) + moment - before
        going_on[part] += step
        before = moment
    return found


OF_AFINA = {
    "build": "build",
    "trace": "compile",
    "compile": "compile",
    "train": "train",
    "validate": "validate",
    "save": "save",
}
"""Afina's own names, as they stand in a trial's note "seconds", and the parts they belong to."""


def breakdown_of_afina(tuner: Any) -> dict[str, float] | None:
    """The parts as Afina's trials tell them themselves.

    Epochs that run as compiled programs call nothing that could be wrapped, so a trial that was
    trained by them keeps a note "seconds", like "build 0.212, train 3.410".

    Returns:
        None where a trial has no such note or was trained by `fit`: there the wrappers see it all.
    """
    total = dict.fromkeys(OF_AFINA.values(), 0.0)
    for trial in tuner.oracle.trials.values():
        notes = getattr(trial, "notes", None) or {}
        if notes.get("training") != "fused" or "seconds" not in notes:
            return None
        for entry in notes["seconds"].split(", "):
            name, _, seconds = entry.rpartition(" ")
            if name in OF_AFINA:
                total[OF_AFINA[name]] += float(seconds)
    return total
