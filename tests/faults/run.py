"""Kills real searches and counts: `python tests/faults/run.py --kills 500`.

Cells: four tuners, serial, in threads and in processes, on SQLite; six processes of "two machines"
on one PostgreSQL, if there is a server; and one that trains real Keras models. Each kill is a
SIGKILL at a random moment after a trial has begun. After each one the project is opened and
compared with all that was acknowledged.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.faults.campaign import Campaign, Nursery, killed
from tests.postgres import running_server, why_none

KINDS = ("random", "hyperband", "bayesian", "auto")
SHARE = {"serial": 0.1, "threads": 0.08, "processes": 0.02}
"""Which part of the kills each tuner gets on SQLite; PostgreSQL gets the rest."""
REAL = 0.02
"""Which part of the kills the search with real models gets, in addition."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=[*SHARE, "postgres", "keras"], nargs="+")
    parser.add_argument("--kinds", choices=KINDS, nargs="+", default=KINDS)
    options = parser.parse_args()
    wanted = options.only or [*SHARE, "postgres", "keras"]
    rng = random.Random(options.seed)
    total: Counter[str] = Counter()
    nursery = Nursery()
    with tempfile.TemporaryDirectory() as folder:
        for executor in SHARE:
            for kind in options.kinds if executor in wanted else ():
                kills = round(options.kills * SHARE[executor])
                counts = on_sqlite(nursery, Path(folder), rng, kind, executor, kills)
                show(f"{kind}, {executor}", counts)
                total += counts
        if "keras" in wanted:
            kills = round(options.kills * REAL)
            counts = on_sqlite(nursery, Path(folder), rng, "keras", "serial", kills)
            show("real models, serial", counts)
            total += counts
        if "postgres" in wanted and (reason := why_none()) is None:
            kills = round(options.kills * (1 - len(KINDS) * sum(SHARE.values())) / len(KINDS))
            with running_server() as server:
                for kind in options.kinds:
                    counts = on_postgres(nursery, Path(folder), rng, kind, server.url, kills)
                    show(f"{kind}, two machines", counts)
                    total += counts
        elif "postgres" in wanted:
            print("no PostgreSQL:", reason)
    nursery.close()
    show("all", total)
    bad = ("lost", "doubled", "unopenable", "out of order", "ended in an error")
    return int(any(total[name] for name in bad))


def on_sqlite(
    nursery: Nursery, folder: Path, rng: random.Random, kind: str, executor: str, kills: int
) -> Counter[str]:
    """Searches one after the other, until there have been enough kills."""
    counts: Counter[str] = Counter()
    while counts["kills"] < kills:
        campaign = Campaign(folder / f"{kind}-{executor}-{counts['searches']}", counts)
        slow = executor == "processes" or kind == "keras"
        many = {"after": 1.0, "pause": 0.3} if slow else {"pause": 0.02}
        left = kills - counts["kills"]
        killed(nursery, campaign, rng, kills=left, kind=kind, executor=executor, **many)
    return counts


def on_postgres(
    nursery: Nursery, folder: Path, rng: random.Random, kind: str, url: str, kills: int
) -> Counter[str]:
    """Likewise with six processes of "two machines" on one database."""
    counts: Counter[str] = Counter()
    while counts["kills"] < kills:
        name = f"{kind}-{counts['searches']}"
        campaign = Campaign(folder / f"pg-{name}", counts, f"{url}&project={name}")
        left = kills - counts["kills"]
        more = {"processes": 6, "machines": 2, "pause": 0.1}
        killed(nursery, campaign, rng, kills=left, kind=kind, **more)
    return counts


def show(what: str, counts: Counter[str]) -> None:
    names = ("kills", "searches", "trials", "opened", "unopenable", "lost", "doubled", "given up")
    rest = {name: count for name, count in counts.items() if name not in names}
    said = ", ".join(f"{counts[name]} {name}" for name in names)
    print(f"{time.strftime('%H:%M:%S')} {what}: {said} {rest or ''}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
