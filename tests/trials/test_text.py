"""No text of unknown origin moves the cursor, changes colours or hides."""

import json

import pytest

from afina.trials.text import json_text, markup, printable


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


@pytest.mark.parametrize(
    "bad", ["\x1b[31m", "\x07", "\x7f", "\x9b", "\u202e", "\u2028", "\U000e0001"]
)
def test_json_holds_every_text_and_shows_a_terminal_nothing_that_it_obeys(bad: str) -> None:
    value = {f"a{bad}": [f"größe {bad} 👩\u200d💻", 1]}
    shown = json_text(value)
    assert json.loads(shown) == value
    assert all(line.replace("\u200d", "").isprintable() for line in shown.split("\n"))
    assert "größe" in shown


def test_markup_is_neither_interpreted_nor_hidden() -> None:
    assert markup("<b>&\"'\x1b\n") == "&lt;b&gt;&amp;&quot;&#x27;\\x1b\\n"
    assert markup("a\nb", lines=True) == "a\nb"
