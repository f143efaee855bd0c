"""Short searches that no one tuned Afina to, on each backend, beside Keras Tuner on the same one.

    python benchmarks/speed/everyday.py [--jobs CNN GRU TABULAR F R] [--rounds 2] [--warm]
    python benchmarks/speed/everyday.py --backends torch --python torch=/path/to/bin/python
    python benchmarks/speed/everyday.py --backends jax --before ../other/src --alone

The trials are drawn once (or, for F and R, taken from `recorded/`) and replayed by each rival. The
rivals run in turn (A B A B), each in a fresh process, on a part of the data (--thin). Cold: Afina
begins with an empty cache of compiled programs. Warm (--warm): every rival on JAX has a filled one.

An environment is made once for each backend, from `requirements-BACKEND.txt`; on JAX Afina runs in
the Python that runs this file, and Keras Tuner in that of `requirements-rivals.txt`. With --python
they are taken from elsewhere; Afina's package is always that of a checkout. With --before another
checkout's Afina runs beside this one's.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")  # `jobs` imports Keras

from jobs import JOBS, drawn
from measure import Search, measure
from rich.console import Console
from rich.table import Table
from rivals import BACKENDS, HERE, OURS, STOCK, WORKSHOP, Rival, made_environment

TRIALS = {"F": 4, "R": 4, "CNN": 4, "GRU": 4, "TABULAR": 6}
THIN = {"F": 4, "R": 2, "CNN": 20, "GRU": 6, "TABULAR": 10}
"""One row in so many is kept."""


def main() -> None:
    options = arguments()
    WORKSHOP.mkdir(exist_ok=True)
    pythons = dict(each.split("=", 1) for each in options.python)
    table = Table(
        "job", "backend", "rival", "search s", "CPU s", "peak MB", "best", "KT / it", "CPU"
    )
    for column in table.columns[3:]:
        column.justify = "right"
    found = []
    for job in options.jobs:
        with tempfile.TemporaryDirectory(prefix="data-", dir=WORKSHOP) as folder:
            search = prepared(job, Path(folder), options)
            for backend in options.backends:
                rivals = rivals_on(backend, pythons, options)
                runs = runs_of(rivals, search, options, Path(folder))
                for row in rows(job, backend, runs):
                    table.add_row(*row)
                found.append({"job": job, "backend": backend, "runs": runs})
                table.add_section()
    if options.output:
        options.output.write_text(json.dumps(found, indent=1), encoding="utf-8")
    Console(width=110).print(table)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    everyday = [name for name in JOBS if name not in ("F", "R")]
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=everyday)
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--rounds", type=int, default=1, help="how often each rival runs")
    parser.add_argument("--trials", type=int, help="of each search")
    parser.add_argument("--thin", type=int, help="keep one row in so many")
    parser.add_argument("--warm", action="store_true", help="with filled caches on JAX")
    parser.add_argument(
        "--python",
        nargs="+",
        default=[],
        metavar="NAME=PATH",
        help=f"interpreter for a backend or a rival, such as {STOCK}-jax",
    )
    parser.add_argument("--before", type=Path, help="`src` of another Afina, measured too")
    parser.add_argument("--alone", action="store_true", help="without Keras Tuner")
    parser.add_argument("--train-on", choices=("jax",), help="measure Afina with it too")
    parser.add_argument("--output", type=Path, help="JSON file for all that was measured")
    return parser.parse_args()


def prepared(job: str, folder: Path, options: argparse.Namespace) -> Search:
    """The data and the trials of a job, as files in a folder."""
    data, thin = folder / "arrays.npz", options.thin or THIN[job]
    prepare = [sys.executable, str(HERE / "prepare.py"), job, str(data), "--thin", str(thin)]
    if subprocess.run(prepare, check=False).returncode != 0:
        raise SystemExit(f"There are no data for {job}: see above.")
    count = options.trials or TRIALS[job]
    if JOBS[job].epochs is None:
        whole = json.loads((HERE / "recorded" / f"{job}.json").read_text(encoding="utf-8"))
        trials = whole["trials"][:count]
    else:
        trials = drawn(job, count)
    recorded = folder / "trials.json"
    recorded.write_text(json.dumps({"trials": trials}), encoding="utf-8")
    return Search(job=job, data=data, recorded=recorded, batch=JOBS[job].batch)


def rivals_on(backend: str, pythons: Mapping[str, str], options: argparse.Namespace) -> list[Rival]:
    """Both packages on a backend, Keras Tuner last; between them the other Afinas asked for."""

    def python(name: str) -> Path:
        given = pythons.get(name) or pythons.get(backend)
        if given is not None:
            return Path(given)
        if backend == "jax":
            return Path(sys.executable) if name.startswith(OURS) else made_environment()
        return made_environment(HERE / f"requirements-{backend}.txt")

    ours = Rival(f"{OURS}-{backend}", OURS, backend, python(f"{OURS}-{backend}"))
    stock = Rival(f"{STOCK}-{backend}", "keras_tuner", backend, python(f"{STOCK}-{backend}"))
    others = []
    if options.before is not None:
        source = options.before.resolve()
        others.append(replace(ours, name=f"{ours.name}, before", source=source))
    if options.train_on is not None:
        name = f"{ours.name}, train_on={options.train_on}"
        others.append(replace(ours, name=name, train_on=options.train_on))
    return [ours, *others, stock]


def runs_of(
    rivals: list[Rival], search: Search, options: argparse.Namespace, folder: Path
) -> list[dict[str, Any]]:
    """Runs the rivals in turn (A B A B)."""
    if options.alone:
        rivals = [rival for rival in rivals if rival.ours]
    runs = []
    for number in range(options.rounds + options.warm):
        for rival in rivals:
            programs = folder / f"programs-{rival.name.replace(' ', '')}"
            on_jax = rival.backend == "jax"
            kept = programs if rival.ours or (options.warm and on_jax) else None
            run = measure(rival, search, programs=kept, own_cache=not (options.warm and on_jax))
            if not options.warm:
                shutil.rmtree(programs, ignore_errors=True)
            if number < options.warm:  # it has filled the cache, and does not count
                continue
            runs.append(run)
            print(f"{search.job}  {rival.name:<24} {run['search_s']:6.1f} s", flush=True)
    return runs


def rows(job: str, backend: str, runs: list[dict[str, Any]]) -> list[list[str]]:
    """A row for each rival: medians, and how many times faster than Keras Tuner it is."""
    found = []
    names = list(dict.fromkeys(run["rival"] for run in runs))

    def median(name: str, value: str) -> float:
        return statistics.median(run[value] for run in runs if run["rival"] == name)

    reference = next((name for name in names if name.startswith(STOCK)), None)
    for name in names:
        times = ["", ""]
        if reference not in (None, name):
            times = [
                f"{median(reference, value) / median(name, value):.2f}"
                for value in ("search_s", "cpu_s")
            ]
        values = [median(name, value) for value in ("search_s", "cpu_s", "peak_mb", "best")]
        numbers = [f"{values[0]:.1f}", f"{values[1]:.1f}", f"{values[2]:.0f}", f"{values[3]:.4f}"]
        found.append([job, backend, name, *numbers, *times])
    return found


if __name__ == "__main__":
    main()
