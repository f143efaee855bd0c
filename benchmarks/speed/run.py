"""Stock Keras Tuner against Afina: the same trials, run in turn, each in a fresh process.

    python benchmarks/speed/run.py [--jobs F R] [--cache cold warm] [--rounds 2] [--breakdown]
    python benchmarks/speed/run.py --short      # a minute or two, to see that all works

A Keras Tuner search was recorded once (`recorded/`, made anew with --record). Every rival replays
it: the same configurations, parents and epochs, whatever the scores. Results go to `results/` and
into RESULTS.md; those of --short and of other than the standard rivals only into `.bench/`.

Warm: JAX keeps all compiled programs in a folder, and one run that does not count has filled it;
the same for every rival on JAX. Cold: each run begins with an empty folder for Afina, and without
a folder for Keras Tuner, which keeps no programs unless it is told to.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import report
from measure import Search, measure
from rivals import HERE, OURS, REFERENCE, STOCK, WORKSHOP, Rival, create_rival, versions

STANDARD = [f"{OURS}-jax", REFERENCE, f"{STOCK}-tensorflow"]
JOBS = ("F", "R")
SHORT = {"max_epochs": 3, "thin": 10, "trials": 4}
"""Four trials of five epochs in all, one promoted, on a tenth of the data."""


@dataclass(frozen=True)
class Plan:
    """What to measure."""

    rivals: list[Rival]
    caches: list[str]
    rounds: int
    batch: int
    short: bool
    breakdown: bool
    record: bool
    output: Path


def main() -> None:
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    rivals = [create_rival(name, options.rival_python) for name in options.rivals]
    for_show = options.short or set(options.rivals) != set(STANDARD)
    plan = Plan(
        rivals=rivals,
        caches=options.cache,
        rounds=options.rounds,
        batch=options.batch,
        short=options.short,
        breakdown=options.breakdown,
        record=options.record,
        output=options.output or (WORKSHOP / "results" if for_show else HERE / "results"),
    )
    found = {rival.name: versions(rival) for rival in rivals}
    WORKSHOP.mkdir(exist_ok=True)
    plan.output.mkdir(parents=True, exist_ok=True)
    for job in options.jobs:
        with tempfile.TemporaryDirectory(prefix="data-", dir=WORKSHOP) as folder:
            run_job(job, Path(folder), plan, found)
    report.write(plan.output)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--rivals", nargs="+", default=STANDARD, metavar="NAME")
    parser.add_argument("--cache", nargs="+", choices=["cold", "warm"], default=["cold", "warm"])
    parser.add_argument("--rounds", type=int, default=2, help="how often each rival runs")
    parser.add_argument("--batch", type=int, default=32, help="rows in a batch")
    parser.add_argument("--short", action="store_true", help="few trials on a tenth of the data")
    parser.add_argument(
        "--breakdown", action="store_true", help="one more run each that shows where time goes"
    )
    parser.add_argument("--record", action="store_true", help="record the search anew")
    parser.add_argument(
        "--rival-python", type=Path, help="interpreter that has Keras Tuner; else one is made"
    )
    parser.add_argument("--output", type=Path, help="folder for the results")
    return parser.parse_args()


def run_job(job: str, folder: Path, plan: Plan, found: dict[str, dict[str, str]]) -> None:
    """Measures all rivals on one job; the results are written after every run."""
    thin = SHORT["thin"] if plan.short else 1
    data = folder / "arrays.npz"
    prepare = [sys.executable, str(HERE / "prepare.py"), job, str(data), "--thin", str(thin)]
    if subprocess.run(prepare, check=False).returncode != 0:
        raise SystemExit(f"There are no data for {job}: see above.")
    search = Search(
        job=job,
        data=data,
        recorded=None,
        batch=plan.batch,
        max_epochs=SHORT["max_epochs"] if plan.short else 10,
    )
    recording = recorded(job, search, plan)
    search = replace(search, recorded=recording)
    group: dict[str, Any] = {
        "job": job,
        "short": plan.short,
        "batch": plan.batch,
        "date": datetime.date.today().isoformat(),
        "machine": report.machine(),
        "versions": found,
        "data": source_of(data),
        "recording": {
            k: v
            for k, v in json.loads(recording.read_text(encoding="utf-8")).items()
            if k != "trials"
        },
        "runs": [],
        "breakdowns": [],
    }
    name = f"{job}-{plan.batch}{'-short' if plan.short else ''}.json"
    for cache in plan.caches:
        for entry in runs_of(job, search, cache, folder, plan):
            group["breakdowns" if "breakdown" in entry else "runs"].append(entry)
            (plan.output / name).write_text(json.dumps(group, indent=1), encoding="utf-8")
    limit = [sys.executable, str(HERE / "limits.py"), job, "--batch", str(plan.batch)]
    limit += ["--thin", str(thin), "--recording", str(recording)]
    done = subprocess.run(limit, check=True, capture_output=True, text=True)
    group["limits"] = json.loads(done.stdout)
    (plan.output / name).write_text(json.dumps(group, indent=1), encoding="utf-8")


def runs_of(job: str, search: Search, cache: str, folder: Path, plan: Plan) -> Any:
    """Yields the runs of one job and kind of cache, in turn (A B A B)."""
    warm = cache == "warm"
    # TensorFlow keeps no compiled programs, warm or cold.
    rivals = [rival for rival in plan.rivals if rival.backend == "jax" or not warm]
    kept = {rival.name: folder / f"programs-{rival.name}" for rival in rivals}
    empty = folder / "programs"
    if warm:
        for rival in rivals:
            say(job, rival, "filling the cache")
            measure(rival, search, programs=kept[rival.name])
    for number in range(plan.rounds + plan.breakdown):
        breakdown = number == plan.rounds
        for rival in rivals:
            programs = kept[rival.name] if warm else empty
            if rival.backend != "jax" or not (warm or rival.ours):
                programs = None
            entry = measure(
                rival, search, programs=programs, own_cache=not warm, breakdown=breakdown
            )
            shutil.rmtree(empty, ignore_errors=True)
            entry.update(cache=cache, round=number)
            kind = "breakdown" if breakdown else f"round {number + 1}"
            text = f"{cache}, {kind}: {entry['search_s']:.1f} s"
            if (entry["others"] or 0.0) > report.QUIET:
                text += f" (others used {100 * entry['others']:.0f} % of the machine)"
            say(job, rival, text)
            yield entry


def recorded(job: str, search: Search, plan: Plan) -> Path:
    """The file of the recorded trials; recorded now with Keras Tuner if there is none."""
    home = WORKSHOP / "recorded-short" if plan.short else HERE / "recorded"
    path = home / f"{job}.json"
    if path.exists() and not plan.record:
        return path
    rival = next((each for each in plan.rivals if each.name == REFERENCE), None)
    if rival is None:
        raise SystemExit(f"{path.name} must be recorded first: name {REFERENCE} among --rivals")
    say(job, rival, "recording")
    facts = measure(rival, replace(search, batch=32))
    found = versions(rival)
    home.mkdir(parents=True, exist_ok=True)
    head = {
        "job": job,
        "data": source_of(search.data),
        "recorded with": f"keras-tuner {found['keras-tuner']}, jax {found['jax']}",
    }
    trials = facts["trials"][: SHORT["trials"] if plan.short else None]
    epochs = sum(trial["epochs"] - trial["initial_epoch"] for trial in trials)
    lines = json.dumps({**head, "epochs": epochs, "trials": []}, indent=1).split("[]")
    rows = ",\n  ".join(json.dumps(trial) for trial in trials)
    path.write_text(f"{lines[0]}[\n  {rows}\n ]{lines[1]}\n", encoding="utf-8")
    return path


def source_of(data: Path) -> str:
    import numpy as np

    with np.load(data) as file:  # reads this one entry only
        return str(file["source"])


def say(job: str, rival: Rival, text: str) -> None:
    print(f"{job}  {rival.name:<24} {text}", flush=True)


if __name__ == "__main__":
    main()
