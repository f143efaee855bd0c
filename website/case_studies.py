"""Runs the case studies' searches again, and compares them with what the pages say.

    AFINA_DATA=... python website/case_studies.py --check          # small: a minute or two
    AFINA_DATA=... python website/case_studies.py --full reuters   # as the page shows it
    python website/case_studies.py                                 # write the pages anew

`case_studies.json` keeps what was measured, at the size that the pages show and at a small one.
`--check` runs the small one again and exits with 1 if it differs by more than other processors make
it differ, or if a page shows other figures than the file.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).with_name("case_studies.json")
PAGES = {"en": ROOT / "docs" / "case-studies.md", "es": ROOT / "docs" / "es" / "case-studies.md"}
CASES = {"reuters": 1000, "fashion-mnist": 4000}
"""How many samples the pages' searches train and choose with."""

SMALL = {"limit": 300, "max_epochs": 3}
"""A size at which no two trials tie for the best: the numbers of trials, which decide then, depend
on which training ends first."""
TOLERANCE = 0.05
"""How far an accuracy of the small run may lie from that of another machine."""

ROWS = {
    "epochs": ("epochs trained", "épocas entrenadas"),
    "best": ("best validation accuracy", "mejor exactitud de validación"),
    "mean of the longest": (
        "mean of the networks trained in full",
        "media de las redes entrenadas hasta el final",
    ),
    "test": ("test accuracy of `retrain_best`", "exactitud de prueba de `retrain_best`"),
}
HEADS = (
    ("first search", "in the advised space", "in the old space again"),
    ("primera búsqueda", "en el espacio aconsejado", "otra vez en el de antes"),
)
MARK = re.compile(r"(<!-- case study: ([\w-]+) (\w+) -->\n)(.*?)(<!-- /case study -->)", re.DOTALL)


def main() -> int:
    """Checks, measures or writes; the exit code is 1 if the check found a difference."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--full", nargs="+", choices=CASES, default=[])
    parser.add_argument("--small", nargs="+", choices=CASES, default=[])
    chosen = parser.parse_args()
    found = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    if chosen.check:
        wrong = [*stale(found), *different(found)]
        print("\n".join(wrong) or "The pages say what the case studies give.")
        return int(bool(wrong))
    for name in chosen.full:
        found.setdefault(name, {})["full"] = run(name, {"limit": CASES[name], "max_epochs": 10})
    for name in chosen.small:
        found.setdefault(name, {})["small"] = run(name, SMALL)
    if chosen.full or chosen.small:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for language, page in PAGES.items():
        text = page.read_text(encoding="utf-8")
        page.write_text(filled(text, language, found), encoding="utf-8")
    return 0


def run(name: str, size: dict[str, int]) -> dict[str, Any]:
    """The three searches of one case study, by the script that the pages name."""
    sys.path.insert(0, str(ROOT / "benchmarks" / "advice"))
    from case_study import case_of, compared

    return compared(case_of(name, size["limit"]), seed=0, max_epochs=size["max_epochs"])


def filled(page: str, language: str, found: dict[str, Any]) -> str:
    """A page with the advice and the table of each case study, as they were measured."""

    def part(match: re.Match[str]) -> str:
        measured = found[match[2]]["full"]
        lines = (
            ["```", measured["advice"], "```"]
            if match[3] == "advice"
            else table(measured["searches"], language)
        )
        return match[1] + "\n".join(lines) + "\n" + match[5]

    return MARK.sub(part, page)


def table(searches: list[dict[str, Any]], language: str) -> list[str]:
    """The rows of a page, in its language."""
    spanish = language == "es"
    lines = ["| | " + " | ".join(HEADS[spanish]) + " |", "|---|" + "---:|" * len(searches)]
    for key, names in ROWS.items():
        cells = [
            f"{row[key]:.4f}" if isinstance(row[key], float) else str(row[key]) for row in searches
        ]
        shown = " | ".join(cell.replace(".", ",") if spanish else cell for cell in cells)
        lines.append(f"| {names[spanish]} | {shown} |")
    return lines


def stale(found: dict[str, Any]) -> Iterator[str]:
    """The pages that show something else than the file."""
    for language, page in PAGES.items():
        text = page.read_text(encoding="utf-8")
        if filled(text, language, found) != text:
            yield f"{page.relative_to(ROOT)} differs from {RESULTS.name}: run {Path(__file__).name}"


def different(found: dict[str, Any]) -> Iterator[str]:
    """What a small run gives that the file does not have."""
    for name in CASES:
        was, now = found[name]["small"], run(name, SMALL)
        if headings(was["advice"]) != headings(now["advice"]):
            yield f"{name}: the advice has other parts:\n{now['advice']}"
        for old, new in zip(was["searches"], now["searches"], strict=True):
            for key in ("best", "test"):
                if abs(old[key] - new[key]) > TOLERANCE:
                    yield f"{name}, {old['search']}: {key} was {old[key]}, and is {new[key]}"


def headings(advice: str) -> list[str]:
    """The lines that begin a part of an advice, and the names in it, without the figures."""
    return [
        re.split(r"[:(]", line)[0] for line in advice.splitlines() if re.match(r"[A-Z].*:$", line)
    ]


if __name__ == "__main__":
    sys.exit(main())
