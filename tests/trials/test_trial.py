"""What a finished trial tells."""

import pytest

from afina.trials import Failure, FailureKind

FRAMES = "Traceback (frames of libraries left out):\n  File 'a.py', line 1, in f\n    g()\n"


@pytest.mark.parametrize(
    ("message", "headline"),
    [
        ("", "error"),
        ("one sentence", "one sentence"),
        ("a rule\nand more of it", "a rule"),
        (FRAMES + "ValueError: no", "ValueError: no"),
        (FRAMES + "ValueError: no\n\nfor this:\n- and that", "ValueError: no"),
        (
            FRAMES + "KeyError: 1\n\nwhich was the direct cause of:\n\n" + FRAMES + "Own: 2\n3",
            "Own: 2",
        ),
        (FRAMES + "... (9 characters left out) ...\nthe rest of it", "the rest of it"),
        (FRAMES, "g()"),
    ],
)
def test_the_headline_of_a_failure_is_the_first_line_of_the_error(message, headline):
    assert Failure(FailureKind.ERROR, message).headline == headline
