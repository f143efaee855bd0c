"""Texts of unknown origin, made fit for a terminal."""

from __future__ import annotations

import unicodedata

# Control characters, marks that turn the direction of writing or show nothing, halves of pairs.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS = "\u200c\u200d"  # parts of words and of emoji


def printable(text: str, *, lines: bool = False) -> str:
    r"""A text in which nothing moves the cursor, changes colours or hides: all that is escaped.

    Args:
        text: A name, a value or a message, of whoever made the search.
        lines: Whether new lines and tabs stay, as a message of several lines needs.

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
