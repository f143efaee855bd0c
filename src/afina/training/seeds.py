"""Seeds: each training draws from streams of its own, and the user's streams stay as they were."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from afina.training.session import SEEDS, read_globals, write_globals
from afina.training.tensorflow_kernels import kernels_kept


def trial_seed(seed: int, stream: int | Sequence[int], execution: int = 0, retry: int = 0) -> int:
    """The seed of one training: neighbouring trials and executions get unrelated streams.

    Args:
        seed: The search's seed, 0 or above.
        stream: The trial's own number or numbers, 0 or above; see `afina.trials.stream_of`.
        execution: Which of the trial's repeated trainings this is, from 0.
        retry: How often the trial has failed before: a retry with the same draws would fail again.

    Returns:
        A seed below 2**32, for `keras.utils.set_random_seed`.

    Example:
        >>> trial_seed(1, 0) == trial_seed(1, 0)
        True
        >>> trial_seed(1, 0) == trial_seed(1, 1)
        False
    """
    trial = [stream] if isinstance(stream, int) else list(stream)
    entropy = [seed, *trial, execution, *([retry] if retry else [])]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


@contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Seeds Python, NumPy, Keras and its backend within the block; restores the streams afterwards.

    The streams belong to the process, so two threads must not be inside at once. TensorFlow's
    global seed cannot be read, so it keeps the seed of the last trial.

    Args:
        seed: Below 2**32; None seeds nothing, so that the training advances the caller's streams.
    """
    if seed is None:
        yield
        return
    torch = sys.modules["torch"] if keras.backend.backend() == "torch" else None
    keras_seeds = read_globals(SEEDS)
    with streams_kept(torch):
        try:
            with kernels_kept():
                keras.utils.set_random_seed(seed)
            yield
        finally:
            write_globals(keras_seeds)


@contextmanager
def streams_kept(torch: Any) -> Iterator[None]:
    """The random streams of Python and NumPy are after the block as they were before.

    Args:
        torch: The package, if its stream is to be kept too.
    """
    python, numpy = random.getstate(), np.random.get_state()
    drawn = None if torch is None else torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        if drawn is not None:
            torch.set_rng_state(drawn)
