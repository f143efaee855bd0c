"""Seeds: each training draws from streams of its own; the user's stay as they were."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import keras
import numpy as np

from afina.training.session import SEEDS, read_globals, write_globals


def trial_seed(seed: int, stream: int | Sequence[int], execution: int = 0, retry: int = 0) -> int:
    """The seed of one training: neighbouring trials and executions get unrelated streams.

    Args:
        seed: The search's seed, 0 or above.
        stream: What tells the trial from others, 0 or above: `afina.trials.stream_of`, or a number.
        execution: Which of the trial's repeated trainings, from 0.
        retry: How often the trial has failed before: a retry with the same draws would fail again.

    Returns:
        A number below 2**32, as `keras.utils.set_random_seed` takes it.

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
    """Seeds Python, NumPy, Keras and its backend inside; puts the callers' streams back after.

    The streams are the process's own, so two threads must not be inside at once. TensorFlow has
    no way to read its global seed: it keeps the last trial's.

    Args:
        seed: Below 2**32; None leaves every stream as it is, to be advanced by the training.
    """
    if seed is None:
        yield
        return
    python, numpy, torch = random.getstate(), np.random.get_state(), _torch_stream()
    keras_seeds = read_globals(SEEDS)
    try:
        keras.utils.set_random_seed(seed)
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        write_globals(keras_seeds)
        torch()


def _torch_stream() -> Callable[[], None]:
    """What puts torch's stream back; does nothing where torch is not in use."""
    if keras.backend.backend() != "torch":
        return lambda: None
    torch = sys.modules["torch"]
    state = torch.get_rng_state()

    def put_back() -> None:
        torch.set_rng_state(state)

    return put_back
