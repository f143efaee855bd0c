"""Colours, sizes and number formats that all figures of a report share."""

from __future__ import annotations

import html
from typing import Any

from afina.trials.text import printable

# Colours that colour-blind people can distinguish: Okabe & Ito, "Color Universal Design" (2008).
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#8a8f98"
PINK, SKY, YELLOW = "#CC79A7", "#56B4E9", "#C9BC1F"
DIM = "rgba(84,96,114,0.45)"
BAND = "rgba(0,158,115,0.2)"
INK, GRID, PAPER = "#1c2430", "#dfe4ea", "#ffffff"

HEIGHT, SMALL = 360, 250
"""Height of a figure in pixels, and of one among many."""

LONGEST_TICK = 16
"""Most characters of a value at an axis."""

MOST_CURVES = 400
"""Most learning curves in a figure: the best ones, and some of the rest. More become a grey cloud,
and make the file slow to open on a phone."""

MOST_POINTS = 1000
"""Most points in a figure, chosen in the same way; there is one figure for each hyperparameter."""

MOST_LINES = 600
"""Most lines in the parallel coordinates: more would cover each other."""


def short(value: Any) -> str:
    """Writes a value: a real number with four digits, a whole one with all its digits.

    Example:
        >>> short(0.123456), short(96000.0), short(64)
        ('0.1235', '96000', '64')
    """
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e9:
        return str(int(value))
    return f"{value:.4g}" if isinstance(value, float) else printable(str(value))


def label(value: Any) -> str:
    """A value as text in a figure. It is escaped, since Plotly interprets tags.

    Example:
        >>> label("<b>")
        '&lt;b&gt;'
    """
    return html.escape(short(value), quote=False)


def short_label(value: Any, most: int = LONGEST_TICK) -> str:
    """A value as text in a figure, cut to fit. It is cut first: half an escape is no escape.

    Example:
        >>> short_label("<b>a rather long name</b>", 8)
        '&lt;b&gt;a ra…'
    """
    text = short(value)
    return html.escape(text if len(text) <= most else text[: most - 1] + "…", quote=False)


def log_scaled(sampling: str | None) -> bool:
    """Whether values with this sampling are best drawn on a log scale."""
    return sampling in ("log", "reverse_log")


def spread(count: int, most: int) -> list[int]:
    """At most `most` places out of `count`: the first third from the start, the others evenly.

    Example:
        >>> spread(10, 4)
        [0, 1, 5, 9]
    """
    if count <= most:
        return list(range(count))
    head = most // 3
    rest = most - head
    step = (count - 1 - head) / max(rest - 1, 1)
    return list(range(head)) + [head + round(place * step) for place in range(rest)]


def named(name: str, drawn: int, count: int) -> str:
    """The legend for trials; it says so if not all of them are drawn."""
    return name if drawn == count else f"{name.removeprefix('all ')}: {drawn} of {count}"
