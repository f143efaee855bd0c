"""Writes RESULTS.md, `results/*.json` and the plots."""

from __future__ import annotations

import datetime
import json
import os
import platform
from pathlib import Path

import charts
import tables
from problem import WORST
from simulate import M_TRAININGS, S_TRIALS
from tables import Results

NAMES = {"S": "trials", "M": "epochs"}
"""Protocol to the name of its part of the results, in the order of the page."""

HEAD = f"""# Search quality

Written by `python benchmarks/search_quality/run.py`; do not edit. How good is the best
configuration that a search has found after so many trainings?

- **Regret** of a loss: 0 is the best known loss of the problem, 1 is what half of all random
  searches reach with ten trials (the 6.7 % quantile of random losses). Cut at {WORST:g}; a search
  that has only failures has {WORST:g}. Noise is taken out: a run is judged by the true loss of the
  configuration that looked best.
- **Protocol S**: full trainings only; looked at after {", ".join(map(str, S_TRIALS))} trials.
  **Protocol M**: epochs are counted; looked at after {", ".join(map(str, M_TRAININGS))} full
  trainings' worth. A resumed training pays for its new epochs alone, also where the package itself
  would start it over (SMAC, DEHB). The incumbent is the best epoch seen so far.
- Numbers are means over seeds, then over problems, with 95 % bootstrap intervals over the seeds.
  Ranks are among all who ran with the same budget, on the seeds that all have.
- Each search gets the same space: conditions natively where it knows them (Optuna, SMAC, Keras
  Tuner, Afina), else all entries at all times; ordered choices as whole numbers or ordinals. All
  run with their defaults, one worker, one thread. The default configuration of every space is a
  random one, as some searches begin with it.
- The searches with Gaussian processes but Afina's get 50 trials, as they take minutes for more.
- "Tuning" problems were looked at while Afina's defaults were chosen; "held-out" ones were not.
- The processor time a trial was taken while other work ran: read it as an order of magnitude.
"""


def write(found: list[Results], folder: Path, subject: str) -> None:
    """What a run leaves in the repository; a protocol that was not run keeps what it had."""
    kept = folder / "results"
    kept.mkdir(parents=True, exist_ok=True)
    place = folder / "RESULTS.md"
    sections = former(place.read_text(encoding="utf-8")) if place.exists() else {}
    for results in found:
        if not results.regrets:
            continue
        name = NAMES[results.protocol]
        (kept / f"{name}.json").write_text(numbers(results), encoding="utf-8")
        charts.draw(results, kept / f"{name}.png")
        sections[results.protocol] = section(results, name, subject)
    text = [HEAD, *(sections[protocol] for protocol in NAMES if protocol in sections)]
    place.write_text("\n".join(text), encoding="utf-8")


def former(text: str) -> dict[str, str]:
    """The sections of a RESULTS.md by their protocols."""
    parts = text.split("## Protocol ")[1:]
    return {part[0]: f"## Protocol {part.rstrip()}\n" for part in parts}


def environment(results: Results) -> str:
    versions = results.versions
    named = ", ".join(f"{name} {value}" for name, value in versions.items() if value != "current")
    return (
        f"Date: {datetime.date.today().isoformat()}. Python {platform.python_version()}, "
        f"{os.cpu_count()} cores. Versions: {named or 'none but our own'}.\n"
    )


def section(results: Results, name: str, subject: str) -> str:
    """One protocol."""
    what = "full trainings" if results.protocol == "S" else "epochs"
    title = f"## Protocol {results.protocol}: {what}\n"
    lines = [title, environment(results), f"![Mean regret](results/{name}.png)\n"]
    for title, some in tables.parts(results.problems):
        lines += [
            f"### {len(some)} {title}\n",
            tables.summary(results, some),
            f"\nMean regret at {', '.join(map(str, tables.POINTS[results.protocol]))}:\n",
            tables.by_group(results, some),
            "",
        ]
        if subject in results.regrets:
            lines += [
                f"What `{subject}` must reach:\n",
                tables.demand_table(results, subject, some),
            ]
            lines.append("")
    lines.append("### By problem\n")
    lines.append(tables.by_problem(results))
    if results.errors:
        lines += ["", "Runs that broke off:", "", *(f"- {line}" for line in results.errors)]
    return "\n".join([*lines, ""])


def numbers(results: Results) -> str:
    """Mean and deviation over the seeds, at the points of the tables."""
    points = tables.POINTS[results.protocol]
    table = {}
    for name, by_problem in results.regrets.items():
        table[name] = {
            problem: {
                "seeds": len(rows),
                "mean": [
                    round(float(rows[:, p - 1].mean()), 4) for p in points if p <= len(rows[0])
                ],
                "deviation": [
                    round(float(rows[:, p - 1].std()), 4) for p in points if p <= len(rows[0])
                ],
            }
            for problem, rows in by_problem.items()
        }
    lines = []
    for name, problems in table.items():
        rows = ",\n".join(f"  {json.dumps(p)}: {json.dumps(v)}" for p, v in problems.items())
        lines.append(f" {json.dumps(name)}: {{\n{rows}\n }}")
    head = f'{{"protocol": "{results.protocol}", "points": {list(points)}, "regret": {{\n'
    return head + ",\n".join(lines) + "\n}}\n"
