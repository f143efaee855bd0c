"""Which of many things are shown."""

from __future__ import annotations


def evenly(count: int, most: int) -> list[int]:
    """At most `most` places out of `count`, with equal steps between them.

    Example:
        >>> evenly(10, 4)
        [0, 3, 6, 9]
    """
    if count <= most:
        return list(range(count))
    return [round(place * (count - 1) / max(most - 1, 1)) for place in range(most)]
