"""Tables for notebooks: what `_repr_html_` of tuners, trials, spaces and advice returns.

A notebook's page chooses the colours, light or dark, so nothing here sets one. Everything is
escaped: names, values and messages may come from anywhere.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

MOST_ROWS = 30
"""Longer tables are cut, and say how many rows there are."""


def escaped(value: object) -> str:
    r"""A value as HTML; control characters are written as in Python.

    Example:
        >>> escaped("<b>\x1b[31m"), escaped(0.123456789)
        ('&lt;b&gt;\\x1b[31m', '0.12346')
    """
    text = f"{value:.5g}" if isinstance(value, float) else str(value)
    plain = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return html.escape("".join(plain))


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table.

    Example:
        >>> table(("a",), [(1,)])
        '<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table>'
    """
    every = list(rows)
    shown = every[:MOST_ROWS]
    body = "".join(_row("td", row) for row in shown)
    more = f"<p>{len(every) - len(shown)} more</p>" if len(shown) < len(every) else ""
    return f"<table><thead>{_row('th', head)}</thead><tbody>{body}</tbody></table>{more}"


def lines(text: str) -> str:
    """A paragraph for each line of a text."""
    return "".join(f"<p>{escaped(line)}</p>" for line in text.splitlines() if line.strip())


def code(text: str) -> str:
    """Python code, to copy."""
    return f"<pre>{html.escape(text)}</pre>"


def _row(tag: str, cells: Sequence[object]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escaped(cell)}</{tag}>" for cell in cells) + "</tr>"
