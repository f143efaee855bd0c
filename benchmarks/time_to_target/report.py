"""From the lines of single searches to the table of times to the target."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

DIRECTIONS = dict.fromkeys(["F", "R", "CNN", "GRU", "TABULAR"], 1) | {"REGRESSION": -1}
"""1 where a higher score is better."""

EPOCHS = {"F": 10, "R": 10, "CNN": 9, "GRU": 9, "TABULAR": 9, "REGRESSION": 27}
"""Of a full training."""

FIRST = "kt-hyperband"
HEAD = """# Time to target

Written by `python benchmarks/time_to_target/run.py`; do not edit. See the README beside it.

The target is the median score that Keras Tuner's Hyperband ends with. Each cell is the median over
the seeds of what a search needs to reach it: wall seconds, processor seconds, epochs. "not reached"
counts the seeds whose search has spent twice Hyperband's epochs before. The ratio divides
Hyperband's whole wall time by that of the search.
"""


def best(scores: Sequence[float], job: str) -> float:
    """The best of some scores of a job."""
    return max(scores) if DIRECTIONS[job] > 0 else min(scores)


def written(lines: Sequence[dict[str, Any]], thin: int) -> str:
    """The page."""
    kept = [line for line in lines if line["thin"] == thin and line["steps"]]
    parts = [HEAD] if thin == 1 else [f"On one row in {thin}."]
    parts += [_table(job, kept) for job in DIRECTIONS if any(_of(kept, job, FIRST))]
    return "\n".join(parts)


def _of(lines: Sequence[dict[str, Any]], job: str, name: str) -> list[dict[str, Any]]:
    return [line for line in lines if (line["job"], line["contestant"]) == (job, name)]


def _table(job: str, lines: Sequence[dict[str, Any]]) -> str:
    first = _of(lines, job, FIRST)
    ends = [line["steps"][-1][3] for line in first]
    target = statistics.median_low(ends) if DIRECTIONS[job] > 0 else statistics.median_high(ends)
    whole = statistics.median(line["seconds"] for line in first)
    epochs = statistics.median(line["epochs"] for line in first)
    rows = [
        f"## {job}: {target:.4f}",
        "",
        f"Hyperband: {whole:.0f} s and {epochs:.0f} epochs in all; it ends with "
        f"{min(ends):.4f} to {max(ends):.4f} over {len(first)} seed(s).",
        "",
        "| search | seeds | not reached | wall s | processor s | epochs | ratio of wall time |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name in sorted({line["contestant"] for line in lines if line["job"] == job}):
        found = [_reached(line, target, DIRECTIONS[job]) for line in _of(lines, job, name)]
        missed = sum(reached is None for reached in found)
        cells = [
            _median([math.inf if r is None else r[place] for r in found]) for place in range(3)
        ]
        shown = " | ".join("-" if math.isinf(cell) else f"{cell:.0f}" for cell in cells)
        ratio = "-" if math.isinf(cells[0]) else f"{whole / max(cells[0], 0.01):.1f}"
        rows.append(f"| {name} | {len(found)} | {missed} | {shown} | {ratio} |")
    return "\n".join([*rows, ""])


def _reached(line: dict[str, Any], target: float, sign: int) -> Sequence[float] | None:
    """The first step at or beyond the target."""
    steps: Sequence[Sequence[float]] = line["steps"]
    return next((step for step in steps if sign * (step[3] - target) >= 0), None)


def _median(values: Sequence[float]) -> float:
    return statistics.median_high(values)
