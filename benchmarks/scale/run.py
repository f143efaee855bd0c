"""Trials a second of Afina and Optuna on the same database, by trials and by workers.

    python benchmarks/scale/run.py --optuna PYTHON [--workers 1 4 16] \
        [--trials 320] [--epochs 0] [--workload random] [--loop optimize]

Trials return a number at once, so that all time is the store's. All workers have started, opened
the search and joined it before the clock starts. Each store is measured with both packages in turn,
twice, and the faster run counts. Workers call `optimize`, or `ask` and `tell` by hand.
PostgreSQL is Debian's, with its own settings, in a temporary folder. What is synced when:

| store | synced |
|---|---|
| Afina, SQLite | each result, once, before `tell` returns |
| Afina, PostgreSQL | a trial's start before `ask` returns, its result before `tell` returns |
| Optuna, SQLite | each call that writes: a trial, each of its parameters, each report, its state |
| Optuna, journal | the same calls, each a line of the file |
| Optuna, PostgreSQL | the same calls, each a transaction |
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))

STORES = {
    "sqlite": {"afina": "{folder}/p", "optuna": "sqlite:///{folder}/o.db"},
    "journal": {"optuna": "journal:{folder}/o.log"},
    "postgres": {
        "afina": "{url}&project={name}",
        "optuna": "{driver}&options=-csearch_path%3D{name}",
    },
}


def main() -> None:
    """Prints a row for each store, package and number of workers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--optuna", help="the Python in which Optuna and psycopg are installed")
    parser.add_argument("--stores", nargs="+", choices=STORES, default=list(STORES))
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 4, 16])
    parser.add_argument("--trials", type=int, default=320)
    parser.add_argument("--epochs", type=int, default=0)
    parser.add_argument("--workload", choices=["random", "hyperband"], default="random")
    parser.add_argument("--loop", choices=["optimize", "ask"], default="optimize")
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    pythons = {"afina": sys.executable, "optuna": options.optuna}
    print("| store | package | workers | trials a second | processor ms a trial | growth |")
    print("|---|---|---|---|---|---|", flush=True)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(database()) if "postgres" in options.stores else None
        for store in options.stores:
            for workers in options.workers:
                best: dict[str, dict[str, float]] = {}
                for repeat in range(options.repeats):
                    for package, form in STORES[store].items():
                        if not pythons[package]:
                            continue
                        name = f"s{workers}x{repeat}{package}"
                        with tempfile.TemporaryDirectory() as folder:
                            place = form.format(folder=folder, name=name, **urls(server, name))
                            found = measure(
                                package, pythons[package], place, workers, options, Path(folder)
                            )
                        if found["rate"] > best.get(package, found)["rate"] or package not in best:
                            best[package] = found
                for package, found in best.items():
                    growth = f"{found['growth']:.2f}" if workers == 1 else ""
                    print(
                        f"| {store} | {package} | {workers} | {found['rate']:.1f} | "
                        f"{found['cpu']:.1f} | {growth} |",
                        flush=True,
                    )


def measure(
    package: str, python: str, place: str, workers: int, options: Any, folder: Path
) -> dict[str, float]:
    """Runs the workers of one search."""
    go = folder / "go"
    given = [place, options.trials, options.epochs, go, workers, options.workload, options.loop]
    variables = {**os.environ, "KERAS_BACKEND": "jax"}
    if package == "afina":
        paths = [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
        variables["PYTHONPATH"] = os.pathsep.join(paths)
    command = [python, str(HERE / "worker.py"), package, *map(str, given)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=variables) as process:
        assert process.stdout is not None
        for _ in range(workers):
            assert process.stdout.readline() == "ready\n", package
        go.touch()
        said = process.stdout.read().splitlines()
    assert process.returncode == 0, said
    facts = [json.loads(text) for text in said]
    wall = max(each["to"] for each in facts) - min(each["from"] for each in facts)
    done = sum(each["done"] for each in facts)
    assert done == options.trials, (done, options.trials)
    cpu = 1000 * sum(each["cpu"] for each in facts) / done
    return {"rate": done / wall, "cpu": cpu, "growth": growth(facts[0]["marks"])}


def growth(marks: list[tuple[int, float, float]]) -> float:
    """The exponent with which a worker's processor time grows with its trials; 1 is ideal."""
    if len(marks) < 4:
        return math.nan
    (few, _, some), (many, _, all_of_it) = marks[-3], marks[-1]
    return math.log(max(all_of_it, 1e-9) / max(some, 1e-9)) / math.log(many / few)


@contextlib.contextmanager
def database() -> Iterator[Any]:
    """A PostgreSQL server."""
    from tests.postgres import running_server

    with running_server() as server:
        yield server


def urls(server: Any, name: str) -> dict[str, str]:
    """The server's URL, as each package wants it; Optuna gets a schema of its own."""
    if server is None:
        return {"url": "", "driver": ""}
    if name.endswith("optuna"):
        import psycopg

        with psycopg.connect(server.url) as connection:
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {name}")  # type: ignore[arg-type]
    driver = server.url.replace("postgresql://", "postgresql+psycopg://")
    return {"url": server.url, "driver": driver}


if __name__ == "__main__":
    main()
