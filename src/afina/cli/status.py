"""`afina status`: where a search stands."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import click

from afina.cli.places import PLACE
from afina.trials.text import json_text, printable


@click.command()
@click.argument("folder", type=PLACE)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def status(folder: Path | str, as_json: bool) -> None:
    """Say where the search in FOLDER stands: its trials, its best score, what is running.

    FOLDER is a tuner's `directory/project_name`, or the URL of a database with its
    "?project=name". The search may still be running.
    """
    found = _facts(folder)
    click.echo(json_text(found) if as_json else "\n".join(_lines(found)))


def _facts(folder: Path | str) -> dict[str, Any]:
    from afina.report import read_facts

    facts = read_facts(folder)
    counts = Counter(trial.status.value for trial in facts.trials)
    running = [
        {"number": trial.number, "epochs": len(trial.curve), "end_epoch": trial.end_epoch}
        for trial in facts.trials
        if trial.status.value == "running"
    ]
    best = facts.configurations[:1]
    front = [trial.number for trial in facts.front] if facts.several else None
    return {
        "name": facts.name,
        "algorithm": facts.header.algorithm,
        "seed": facts.header.seed,
        "objectives": [
            {"name": each.name, "direction": each.direction} for each in facts.objectives
        ],
        "trials": len(facts.trials),
        "by_status": dict(sorted(counts.items())),
        "epochs": sum(len(trial.curve) for trial in facts.trials),
        "seconds": round(sum(trial.seconds for trial in facts.trials), 3),
        "running": running,
        "best": None
        if facts.several or not best
        else {
            "number": best[0].best.number,
            "score": best[0].best.score,
            "values": dict(best[0].best.values),
        },
        "front": front,
    }


def _lines(found: dict[str, Any]) -> list[str]:
    goals = ", ".join(f"{each['name']} ({each['direction']})" for each in found["objectives"])
    counts = ", ".join(f"{count} {name}" for name, count in found["by_status"].items())
    lines = [
        f"{found['name']}: {found['algorithm']}, seed {found['seed']}, {goals}",
        f"{found['trials']} trials ({counts or 'none yet'}), {found['epochs']} epochs, "
        f"{found['seconds']:.1f} seconds of training",
    ]
    if (best := found["best"]) is not None:
        values = ", ".join(f"{name}={value}" for name, value in best["values"].items())
        lines.append(f"best: trial {best['number']} with {best['score']:.6g}: {values}")
    if found["front"] is not None:
        lines.append(f"Pareto front: trials {', '.join(map(str, found['front'])) or 'none'}")
    for each in found["running"]:
        of = f" of {each['end_epoch']}" if each["end_epoch"] else ""
        lines.append(f"running: trial {each['number']}, epoch {each['epochs']}{of}")
    return [printable(line) for line in lines]
