"""Makes texts of unknown origin safe to print."""

from __future__ import annotations

import unicodedata

# Control characters, marks that are invisible or change the writing direction, lone surrogates.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS = "\u200c\u200d"  # parts of words and of emoji


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
