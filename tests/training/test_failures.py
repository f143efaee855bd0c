from __future__ import annotations

import keras
import numpy as np
import pytest

from afina.errors import DivergedError, FailedTrialError, LostWorkerError, OversizedModelError
from afina.training import classify_failure, failure_message
from afina.training.failures import LONGEST
from afina.trials import Failure, FailureKind


class ResourceExhaustedError(Exception):
    """Named as TensorFlow's."""


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


def caused(error: Exception, cause: Exception) -> Exception:
    try:
        raise error from cause
    except Exception as raised:
        return raised


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), FailureKind.OUT_OF_MEMORY),
        (ResourceExhaustedError("OOM when allocating"), FailureKind.OUT_OF_MEMORY),
        (OutOfMemoryError("CUDA out of memory"), FailureKind.OUT_OF_MEMORY),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating"), FailureKind.OUT_OF_MEMORY),
        (caused(ValueError("in my fit"), MemoryError()), FailureKind.OUT_OF_MEMORY),
        (DivergedError("nan"), FailureKind.NOT_A_NUMBER),
        (OversizedModelError("big"), FailureKind.OVERSIZED),
        (FailedTrialError("not this one"), FailureKind.REFUSED),
        (LostWorkerError("killed"), FailureKind.LOST_WORKER),
        (ValueError("out of memory, says the user"), FailureKind.ERROR),
        (RuntimeError("shapes differ"), FailureKind.ERROR),
    ],
)
def test_failures_are_told_apart(error: Exception, kind: FailureKind) -> None:
    assert classify_failure(error) is kind


def test_a_real_allocation_that_no_machine_can_make_is_out_of_memory() -> None:
    with pytest.raises(RuntimeError, match="RESOURCE_EXHAUSTED") as caught:
        keras.ops.zeros((2**26, 2**20), dtype="float32").block_until_ready()
    assert classify_failure(caught.value) is FailureKind.OUT_OF_MEMORY
    with pytest.raises(MemoryError) as numpys:
        np.empty(2**58, dtype="uint8")
    assert classify_failure(numpys.value) is FailureKind.OUT_OF_MEMORY


def build_badly() -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.compile("adam", "mse")
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)


def test_a_message_shows_the_users_frames_and_the_error_but_no_frames_of_keras() -> None:
    with pytest.raises(ValueError, match="shape") as caught:
        build_badly()
    message = failure_message(caught.value)
    assert "in build_badly" in message
    assert "ValueError" in message
    assert message.count("site-packages/keras") <= 1  # where it was raised


def test_a_message_tells_the_cause_too_and_stays_short() -> None:
    message = failure_message(caused(ValueError("mine"), KeyError("theirs")))
    assert message.index("theirs") < message.index("mine")
    assert len(failure_message(ValueError("x" * 100_000))) < LONGEST + 100


def test_what_jax_says_of_its_own_frames_is_left_out() -> None:
    with pytest.raises(ValueError, match="shape") as caught:
        build_badly()
    caught.value.add_note("seen on a Monday")
    message = failure_message(caught.value)
    assert "JAX has removed" not in message
    assert "seen on a Monday" in message
    headline = Failure(FailureKind.ERROR, message).headline
    assert headline.startswith("ValueError: Exception encountered when calling")
