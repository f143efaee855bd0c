from __future__ import annotations

import keras
import numpy as np
import pytest
from tests.broken_errors import BROKEN, RaisingText, chain, nested_group, noted, raised

from afina import errors
from afina.errors import (
    DivergedError,
    FailedTrialError,
    LostWorkerError,
    OversizedModelError,
    TrialTimeoutError,
)
from afina.trials import (
    Failure,
    FailureKind,
    add_note,
    classify_failure,
    failure_message,
    failure_of,
    first_line,
    is_retried,
)
from afina.trials.failures import LONGEST


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
        (OutOfMemoryError("CUDA out of memory"), FailureKind.DEVICE_OUT_OF_MEMORY),
        (
            ResourceExhaustedError("OOM when allocating on device:GPU:0 by allocator GPU_0_bfc"),
            FailureKind.DEVICE_OUT_OF_MEMORY,
        ),
        (
            ResourceExhaustedError("OOM when allocating on device:CPU:0 by allocator cpu"),
            FailureKind.OUT_OF_MEMORY,
        ),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
            FailureKind.OUT_OF_MEMORY,
        ),
        (TrialTimeoutError("too long"), FailureKind.TIMEOUT),
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


def test_a_failure_for_want_of_memory_says_what_to_do() -> None:
    host, device = (
        failure_of(MemoryError("no room")),
        failure_of(RuntimeError("CUDA out of memory")),
    )
    assert host.headline == "MemoryError: no room"
    assert "The machine ran out of memory." in host.message
    assert "halve_batch_on_oom=True" in device.message
    long = failure_of(MemoryError("x" * 2 * LONGEST))
    assert "The machine ran out of memory." in long.message


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


@pytest.mark.parametrize("name", BROKEN)
def test_any_exception_becomes_a_bounded_text_that_every_file_and_terminal_takes(name: str) -> None:
    error = BROKEN[name]()
    failure = failure_of(error)
    for text in (failure.message, failure.headline, first_line(error)):
        assert 0 < len(text) <= LONGEST
        assert text.encode("utf-8").decode("utf-8") == text
        assert not [
            c for c in text if c != "\n" and c != "\t" and not (c.isprintable() or c == " ")
        ]
    assert len(first_line(error).splitlines()) == 1
    add_note(error, "a note more")
    assert isinstance(is_retried(error), bool)


def test_of_a_deep_recursion_the_error_is_the_headline() -> None:
    failure = failure_of(BROKEN["deep recursion"]())
    assert failure.headline.startswith("RecursionError: maximum recursion depth exceeded")
    assert "characters left out" in failure.message


def test_the_last_errors_of_a_chain_are_told_and_the_very_first() -> None:
    message = failure_message(chain(2000))
    assert "ValueError: the root of it" in message
    assert "... (1996 causes left out) ..." in message
    assert [f"effect {n}" in message for n in range(1995, 2000)] == [False, *[True] * 4]
    assert failure_of(chain(2000)).headline == "RuntimeError: effect 1999"
    assert classify_failure(raised(ValueError(), raised(KeyError(), MemoryError()))) is (
        FailureKind.OUT_OF_MEMORY
    )


def test_an_error_that_cannot_be_printed_is_told_by_its_class_and_why() -> None:
    assert failure_of(RaisingText()).headline.endswith(
        "RaisingText: <no text: its __str__ raised ZeroDivisionError>"
    )


def test_the_members_of_a_group_are_told_however_deep_they_lie() -> None:
    group = ExceptionGroup("in two rooms", [nested_group(3, KeyError("deep")), ValueError("near")])
    failure = failure_of(raised(group))
    assert failure.headline == "ExceptionGroup: in two rooms (2 sub-exceptions)"
    assert "  | KeyError: 'deep'" in failure.message
    assert "  | ValueError: near" in failure.message
    wide = failure_message(ExceptionGroup("wide", [ValueError(str(n)) for n in range(12)]))
    assert "... and 7 more" in wide


def test_a_group_counts_as_the_member_that_tells_most() -> None:
    group = ExceptionGroup("both", [ValueError("one"), nested_group(2, MemoryError())])
    assert classify_failure(group) is FailureKind.OUT_OF_MEMORY


def test_notes_of_any_kind_are_told() -> None:
    assert failure_message(noted([1, "two"])).splitlines() == ["ValueError: noted", "1", "two"]
    assert failure_message(noted("all of it")).splitlines()[1:] == ["all of it"]
    assert "... (90 notes left out) ..." in failure_message(noted(["x"] * 100))
    odd = noted(7)
    add_note(odd, "more")
    assert odd.__notes__ == ["more"]


def test_what_python_says_of_a_syntax_error_stays() -> None:
    with pytest.raises(SyntaxError) as caught:
        compile("x = = 1", "model.py", "exec")
    message = failure_message(caught.value)
    assert 'File "model.py", line 1' in message
    assert "SyntaxError: invalid syntax" in message


def test_colours_are_left_out_and_control_characters_escaped() -> None:
    told = failure_of(ValueError("\x1b[1mbold\x1b[0m\x1b[2J\0\ud800")).headline
    assert told == "ValueError: bold\\x1b[2J\\x00\\ud800"


def test_a_failure_is_bounded_whoever_makes_it() -> None:
    made = Failure(FailureKind.ERROR, "x" * 10**6)
    assert len(made.message) <= LONGEST
    assert Failure(made.kind, made.message) == made, "reading it again changes nothing"
    escaped = Failure(FailureKind.ERROR, "\ud800" * LONGEST)
    assert Failure(escaped.kind, escaped.message) == escaped
    assert Failure(FailureKind.ERROR, 3).message == "3"  # type: ignore[arg-type]


@pytest.mark.parametrize("reason", ["I stopped it", 42, None, b"bytes", RaisingText, object()])
def test_what_is_no_exception_is_a_reason_too(reason: object) -> None:
    failure = failure_of(reason)
    assert (failure.kind, failure.message) == (FailureKind.ERROR, str(reason))


NOT_RETRIED = {
    "ConstraintError",
    "FailedTrialError",
    "OversizedModelError",
    "TrialPruned",
    "TrialTimeoutError",
    "NoBuildError",
    "NoObjectiveError",
    "SuggestionError",
    *(name for name in vars(errors) if name.startswith("Fatal")),
}


def test_every_error_says_whether_a_trial_that_raises_it_is_retried() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    for kind in (*kinds, ValueError, MemoryError, KeyboardInterrupt):
        if issubclass(kind, BaseException):
            assert is_retried(kind("no")) is (kind.__name__ not in NOT_RETRIED)
    tree = errors.__doc__ or ""
    starred = {line.split("── ")[1].split()[0] for line in tree.splitlines() if " * " in line}
    assert starred == NOT_RETRIED & starred
    known = {"FailedTrialError", "ConstraintError", "OversizedModelError"}
    known |= {"TrialPruned", "TrialTimeoutError", "FatalError"}
    assert known == starred


def test_a_class_of_ones_own_is_retried_as_its_parent_is_unless_it_says_otherwise() -> None:
    class Hopeless(errors.FailedTrialError):
        pass

    class Flaky(errors.FailedTrialError):
        retried = True

    assert (is_retried(Hopeless()), is_retried(Flaky())) == (False, True)
