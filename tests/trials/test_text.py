"""No text of unknown origin moves the cursor, changes colours or hides."""

import pytest

from afina.trials.text import printable


@pytest.mark.parametrize(
    "bad", ["\x1b[31m", "\n", "\r", "\x07", "\x9b", "\u202e", "\u2066", "\ud800"]
)
def test_what_a_terminal_obeys_is_escaped(bad: str) -> None:
    shown = printable(f"a{bad}b")
    assert shown.isprintable()
    assert shown.startswith("a\\")
    assert shown.endswith("b")


def test_words_of_all_languages_stay_and_lines_where_wanted() -> None:
    assert printable("größe 幅 حجم 👩\u200d💻") == "größe 幅 حجم 👩\u200d💻"
    assert printable("a\n\tb\x1b", lines=True) == "a\n\tb\\x1b"
