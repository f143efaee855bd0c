"""What the arithmetic alone of a recorded search would take on this machine.

    python benchmarks/speed/limits.py F [--batch 32] [--recording FILE]

Times the matrix products of each recorded model's train step and validation (NumPy's OpenBLAS)
and the traffic of one Adam update (28 bytes a parameter: weight, gradient and two moments read,
all but the gradient written), and adds them up over all steps. No tuner can be faster with the
same dense arithmetic; what it does beyond is overhead.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

HERE = Path(__file__).resolve().parent
ROWS = {"F": (48_000, 12_000), "R": (8_982, 1_123)}
"""Rows trained on and validated on in an epoch."""

ADAM_BYTES = 28


def widths(job: str, values: Mapping[str, Any]) -> list[int]:
    """Sizes of the input and of each layer's output."""
    if job == "F":
        return [784, values["units"], 10]
    return [10_000, 128, *[values["units"]] * values["layers"], 46]


def seconds_of(work: Callable[[], object], least: float = 0.03) -> float:
    """Seconds of one call: the best of three, each over a few calls."""
    work()
    begun = time.perf_counter()
    work()
    count = max(1, int(least / max(time.perf_counter() - begun, 1e-7)))
    best = float("inf")
    for _ in range(3):
        begun = time.perf_counter()
        for _ in range(count):
            work()
        best = min(best, (time.perf_counter() - begun) / count)
    return best


@functools.cache
def product(rows: int, inner: int, columns: int, threads: int) -> float:
    """Seconds of one matrix product."""
    rng = np.random.default_rng(0)
    left = rng.random((rows, inner), np.float32)
    right = rng.random((inner, columns), np.float32)
    out = np.empty((rows, columns), np.float32)
    with threadpool_limits(threads):
        return seconds_of(lambda: np.matmul(left, right, out=out))


@functools.cache
def adam(parameters: int, threads: int) -> float:
    """Seconds of the memory traffic of one update, in the cache that four such arrays fit."""
    sizes = [len(part) for part in np.array_split(np.empty(parameters, np.int8), threads)]
    parts = [[np.ones(size, np.float32) for _ in range(4)] for size in sizes]

    def sweep(arrays: list[np.ndarray]) -> None:
        weight, gradient, first, second = arrays
        for each in (weight, first, second):
            np.add(each, gradient, out=each)  # reads 8 bytes and writes 4

    with ThreadPoolExecutor(threads) as pool:

        def work() -> None:
            if threads == 1:
                sweep(parts[0])
            else:
                list(pool.map(sweep, parts))

        return seconds_of(work) * ADAM_BYTES / 36


def step(sizes: Sequence[int], batch: int, threads: int, *, train: bool) -> float:
    """Seconds of the products of one step: forward, and back unless it only validates."""
    total = 0.0
    for place, (inner, columns) in enumerate(itertools.pairwise(sizes)):
        total += product(batch, inner, columns, threads)
        if train:
            total += product(inner, batch, columns, threads)  # the weights' gradient
            if place > 0:
                total += product(batch, columns, inner, threads)  # the inputs' gradient
    return total


def limits(
    job: str, trials: Sequence[Mapping[str, Any]], batch: int, thin: int = 1
) -> dict[str, Any]:
    """Seconds of the whole recorded search by part, with one thread and with all cores."""
    trained, validated = (rows // thin for rows in ROWS[job])
    cores = os.cpu_count() or 1
    found: dict[str, Any] = {"cores": cores}
    for name, threads in (("one", 1), ("all", cores)):
        parts = {"products": 0.0, "adam": 0.0, "validation": 0.0}
        for trial in trials:
            sizes = widths(job, trial["values"])
            epochs = trial["epochs"] - trial["initial_epoch"]
            steps = epochs * -(-trained // batch)
            parameters = sum(a * b + b for a, b in itertools.pairwise(sizes))
            parts["products"] += steps * step(sizes, batch, threads, train=True)
            parts["adam"] += steps * adam(parameters, threads)
            tests = epochs * -(-validated // batch)
            parts["validation"] += tests * step(sizes, batch, threads, train=False)
        found[name] = {**parts, "sum": sum(parts.values())}
    # One program on all cores, or on each core a program of its own: whichever is better.
    found["least"] = min(found["all"]["sum"], found["one"]["sum"] / cores)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("job", choices=sorted(ROWS))
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--thin", type=int, default=1)
    parser.add_argument("--recording", type=Path)
    options = parser.parse_args()
    path = options.recording or HERE / "recorded" / f"{options.job}.json"
    trials = json.loads(path.read_text(encoding="utf-8"))["trials"]
    print(json.dumps(limits(options.job, trials, options.batch, options.thin)))


if __name__ == "__main__":
    main()
