"""Draws the results: tables for the terminal, and RESULTS.md beside this file.

    python benchmarks/speed/report.py [FOLDER]      # from the JSON files of an earlier run

What people wrote between the two marks of RESULTS.md stays when it is written anew.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rivals import HERE, REFERENCE

RESULTS = HERE / "results"
BEGIN = "<!-- by hand: begin -->"
END = "<!-- by hand: end -->"
TO_WRITE = (
    "*To be written by a person: what the figures mean for a user; whether the machine was quiet "
    "while they were taken; what they do not show.*"
)
TITLES = {
    "F": "F: Fashion-MNIST, one hidden layer of 32 to 512 units",
    "R": "R: Reuters, a layer of 128 and one to five of 32 to 512 units",
}
TENSORFLOW = "keras-tuner-tensorflow"
PARTS = ("build", "compile", "train", "validate", "save", "clear", "rest")

QUIET = 0.1
"""Share of the machine that others may use before the times are worth little."""

Runs = list[dict[str, Any]]
Rows = tuple[list[str], list[list[str]]]
"""Heads and cells of a table."""


def machine() -> dict[str, Any]:
    """What is measured on, without its name."""
    model = platform.processor() or platform.machine()
    memory = None
    try:
        info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        model = re.findall(r"^model name\s*: (.*)$", info, re.MULTILINE)[0]
        lines = Path("/proc/meminfo").read_text(encoding="ascii")
        memory = round(int(re.findall(r"^MemTotal:\s*(\d+)", lines, re.MULTILINE)[0]) / 2**20)
    except (OSError, IndexError):
        pass
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gb": memory,
        "system": platform.system(),
    }


def write(folder: Path) -> None:
    """Shows the results of a folder; writes RESULTS.md too if it is the one in the checkout."""
    groups = [
        json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))
    ]
    console = Console()
    if not console.is_terminal:
        console.width = 120
    for group in groups:
        console.rule(title(group))
        for draw in (times, ratios, parts):
            heads, rows = draw(group)
            if rows:
                console.print(drawn(heads, rows))
        for line in remarks(group):
            console.print(f"- {line}")
    if folder.resolve() == RESULTS and groups:
        page = HERE / "RESULTS.md"
        page.write_text(document(groups, page), encoding="utf-8")
        console.print(f"Written: {page.name} of {HERE.name}")


def title(group: dict[str, Any]) -> str:
    short = ", short" if group["short"] else ""
    return f"{TITLES[group['job']]}; batches of {group['batch']}{short}"


def drawn(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(*heads)
    for column in table.columns[2:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*row)
    return table


# -- facts ----------------------------------------------------------------------------------------


def pick(runs: Runs, rival: str, cache: str) -> Runs:
    return [run for run in runs if run["rival"] == rival and run["cache"] == cache]


def kinds(runs: Runs) -> list[tuple[str, str]]:
    """Each cache and rival that was measured, in order."""
    return list(dict.fromkeys((run["cache"], run["rival"]) for run in runs))


def median(runs: Runs, name: str) -> float:
    return statistics.median(run[name] for run in runs)


def faster(reference: Runs, runs: Runs) -> str:
    """How many times faster, from the medians, and over the pairs of rounds the range."""
    if not reference or not runs or reference is runs:
        return ""
    ratio = median(reference, "search_s") / median(runs, "search_s")
    pairs = [a["search_s"] / b["search_s"] for a, b in zip(reference, runs, strict=False)]
    if len(pairs) < 2:
        return f"{ratio:.2f}"
    return f"{ratio:.2f} ({min(pairs):.2f} to {max(pairs):.2f})"


def times(group: dict[str, Any]) -> Rows:
    """The table of what was measured."""
    runs = group["runs"]
    heads = ["cache", "rival", "search s", "each round", "process s", "CPU s", "peak MB", "best"]
    rows = []
    for cache, rival in kinds(runs):
        own = pick(runs, rival, cache)
        rows.append(
            [
                cache,
                rival,
                f"{median(own, 'search_s'):.1f}",
                " ".join(f"{run['search_s']:.1f}" for run in own),
                f"{median(own, 'process_s'):.1f}",
                f"{median(own, 'cpu_s'):.1f}",
                f"{median(own, 'peak_mb'):.0f}",
                f"{median(own, 'best'):.4f}",
            ]
        )
    return heads, rows


def ratios(group: dict[str, Any]) -> Rows:
    """The table of who is how many times faster than Keras Tuner, and how near to the limit."""
    runs = group["runs"]
    heads = ["cache", "rival", "than KT jax", "than KT jax cold", "than KT tf", "times the limit"]
    cold, tensorflow = pick(runs, REFERENCE, "cold"), pick(runs, TENSORFLOW, "cold")
    least = group.get("limits", {}).get("least")
    rows = []
    for cache, rival in kinds(runs):
        own = pick(runs, rival, cache)
        rows.append(
            [
                cache,
                rival,
                "" if rival == REFERENCE else faster(pick(runs, REFERENCE, cache), own),
                faster(cold, own) if cache == "warm" else "",
                "" if rival == TENSORFLOW else faster(tensorflow, own),
                f"{median(own, 'search_s') / least:.1f}" if least else "",
            ]
        )
    return heads, rows


def parts(group: dict[str, Any]) -> Rows:
    """The table of where the time goes."""
    heads = ["cache", "rival", *PARTS, "all", "threads"]
    rows = []
    for run in group["breakdowns"]:
        found = run["breakdown"]
        cells = [f"{found[part]:.1f}" for part in PARTS]
        whole = sum(found[part] for part in PARTS)
        threads = str(found["threads"])
        rows.append([run["cache"], run["rival"], *cells, f"{whole:.1f}", threads])
    return heads, rows


def remarks(group: dict[str, Any]) -> list[str]:
    """What else must be known to read the tables."""
    runs = group["runs"]
    found = [f"Data: {group['data']}. {group['recording']['epochs']} epochs, replayed."]
    busy = [run["others"] for run in runs if run["others"] is not None]
    if busy:
        found.append(
            f"Other processes used {100 * statistics.mean(busy):.0f} % of the machine meanwhile "
            f"(at most {100 * max(busy):.0f} % in one run)."
            + (" That is too much: these times are not to be quoted." if max(busy) > QUIET else "")
        )
    found += agreement(runs)
    if "limits" in group:
        found.append(limit(group["limits"]))
    return found


def agreement(runs: Runs) -> list[str]:
    """How much the scores of the same trials differ between rivals, and between two runs."""
    reference = [run for run in runs if run["rival"] == REFERENCE]
    if not reference:
        return []
    found = []
    for rival in dict.fromkeys(run["rival"] for run in runs):
        others = [run for run in runs if run["rival"] == rival and run is not reference[0]]
        if not others:
            continue
        gaps = [b - a for a, b in zip(reference[0]["scores"], others[0]["scores"], strict=True)]
        size = statistics.mean(map(abs, gaps))
        whom = "another run of itself" if rival == REFERENCE else rival
        found.append(
            f"Scores of the same trials, {REFERENCE} against {whom}: {size:.4f} apart on average "
            f"({statistics.mean(gaps):+.4f} with signs)."
        )
    return found


def limit(found: dict[str, Any]) -> str:
    """What the arithmetic alone takes, see `limits.py`."""
    one, every = found["one"], found["all"]
    return (
        f"The limit, {found['least']:.1f} s, is the arithmetic alone: on one core matrix products "
        f"{one['products']:.1f} s, Adam {one['adam']:.1f} s, validation {one['validation']:.1f} s, "
        f"in all {one['sum']:.1f} s; with {found['cores']} cores at each product "
        f"{every['sum']:.1f} s; the lesser of this and of the former shared out over the cores."
    )


# -- the page -------------------------------------------------------------------------------------


def document(groups: Sequence[dict[str, Any]], page: Path) -> str:
    """The whole of RESULTS.md."""
    lines = [
        "# How fast Afina searches, beside Keras Tuner",
        "",
        "Made by `python benchmarks/speed/run.py`; change nothing here but between the marks.",
        "",
        BEGIN,
        by_hand(page),
        END,
        "",
        "How it was measured:",
        "",
        "- One search of Keras Tuner (Hyperband, `max_epochs=10`, `factor=3`, seed 1) was recorded "
        "and is replayed by each rival: the same configurations, parents and epochs. The user's "
        "code is one file, `jobs.py`, for both packages.",
        "- The rivals run in turn (A B C A B C), each in a fresh process with its default "
        "settings, `verbose=0`, the same arrays in memory, projects on the same disk.",
        "- *search s*: making the tuner and `search()`, the median of the rounds. *process s*: all "
        "from start to end of the process, with imports and reading the data. *CPU s*: user and "
        "system time, worker processes included. *peak MB*: resident memory, the arrays included.",
        "- *cold*: Afina begins with an empty cache of compiled programs, Keras Tuner without one, "
        "as it does by default. *warm*: all rivals on JAX have a filled one. TensorFlow has none.",
        "- *than KT ...*: Keras Tuner's *search s* divided by the rival's, with the same kind of "
        "cache where nothing else is said; in brackets the least and the greatest ratio over the "
        "rounds. On a CPU Keras Tuner is fastest with JAX: that is the fair comparison. "
        "TensorFlow is what its tutorials use. *times the limit*: how far from the arithmetic's "
        "own time, see `limits.py`.",
        "- The absolute times are this machine's on that day.",
    ]
    for group in groups:
        lines += ["", f"## {title(group)}", "", about(group), ""]
        lines += markdown(*times(group))
        lines += ["", "How many times faster:", "", *markdown(*ratios(group))]
        lines += ["", *(f"- {line}" for line in remarks(group))]
        heads, rows = parts(group)
        if rows:
            lines += ["", "Where the time goes, in thread-seconds (a run of its own):", ""]
            lines += markdown(heads, rows)
    return "\n".join(lines) + "\n"


def by_hand(page: Path) -> str:
    """What people wrote into the page so far."""
    if page.exists():
        found = re.search(
            f"{re.escape(BEGIN)}\n(.*?)\n{re.escape(END)}",
            page.read_text(encoding="utf-8"),
            re.DOTALL,
        )
        if found:
            return found[1]
    return TO_WRITE


def about(group: dict[str, Any]) -> str:
    """Machine, date, versions in one paragraph."""
    where = group["machine"]
    memory = f", {where['memory_gb']} GB" if where["memory_gb"] else ""
    rivals = "; ".join(
        f"{name}: " + ", ".join(f"{package} {number}" for package, number in found.items())
        for name, found in group["versions"].items()
    )
    return (
        f"{group['date']}, {where['system']}, {where['processor']}, {where['cores']} cores"
        f"{memory}, no GPU used. {rivals}."
    )


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    rule = ["---", "---", *["---:"] * (len(heads) - 2)]
    return [f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=RESULTS)
    write(parser.parse_args().folder)
