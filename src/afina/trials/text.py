"""Makes texts of unknown origin safe to print."""

from __future__ import annotations

import html
import json
import re
import unicodedata
from typing import Any

# Control characters, marks that are invisible or change the writing direction, lone surrogates.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS = "\u200c\u200d"  # parts of words and of emoji
_UNUSUAL = re.compile(r"[^\x00-\x7e]")


def printable(text: str, *, lines: bool = False) -> str:
    r"""Escapes characters that move the cursor, change colours or are invisible.

    Args:
        text: A name, a value or a message from the user's code.
        lines: Whether to keep line breaks and tabs.

    Example:
        >>> printable("red\x1b[31m\nnext")
        'red\\x1b[31m\\nnext'
    """
    if text.isascii() and text.isprintable():
        return text
    kept = _JOINERS + ("\n\t" if lines else "")
    return "".join(
        each
        if each in kept or unicodedata.category(each) not in _HIDDEN
        else each.encode("unicode_escape").decode()
        for each in text
    )


def markup(text: str, *, lines: bool = False) -> str:
    r"""A text as HTML that shows it: what `printable` escapes too, and what HTML would interpret.

    Example:
        >>> markup("a<b\x1b")
        'a&lt;b\\x1b'
    """
    return html.escape(printable(text, lines=lines))


def json_text(value: Any) -> str:
    r"""Indented JSON that a terminal shows as it is; a program reads from it what was written.

    Example:
        >>> json_text("é\u202e")
        '"é\\u202e"'
    """
    return visible_json(json.dumps(value, indent=2, ensure_ascii=False))


def visible_json(text: str) -> str:
    """JSON with escapes in place of what is invisible or changes how a text is shown.

    Args:
        text: JSON, in which such characters stand in strings only.
    """
    return text if text.isascii() and "\x7f" not in text else _UNUSUAL.sub(_as_json, text)


def _as_json(found: re.Match[str]) -> str:
    each = found.group()
    if each in _JOINERS or unicodedata.category(each) not in _HIDDEN:
        return each
    return "\\u007f" if each == "\x7f" else json.dumps(each)[1:-1]
