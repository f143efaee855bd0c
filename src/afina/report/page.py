"""The report of a search: one HTML file that needs nothing else, not even a network."""

from __future__ import annotations

import html
import json
import platform
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from afina.advice import Advice, advice
from afina.advice.sentences import of_range
from afina.errors import ArgumentError
from afina.report import figures
from afina.report.facts import Facts, read_facts
from afina.report.slices import slices
from afina.report.style import short
from afina.report.words import advised_ranges, objective_of, range_of, summary

MOST_ROWS = 20
"""Trials in the table of the best ones."""


def write_report(
    source: Facts | Path | str, file: Path | str = "report.html", *, seed: int = 0
) -> Path:
    """Writes the report of a search.

    Args:
        source: Facts, or the project folder to read them from.
        file: The HTML file; its folder is made if need be.
        seed: Of the importance's draws.

    Returns:
        The file.

    Raises:
        ArgumentError: Plotly is not installed.
        StoreError: There is no search in the folder.
    """
    facts = source if isinstance(source, Facts) else read_facts(source)
    text = render(facts, seed=seed)
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def render(facts: Facts, *, seed: int = 0) -> str:
    """The page as text; see `write_report`."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise ArgumentError(
            "The report needs Plotly: pip install 'afina[plot]', or pip install plotly."
        ) from error
    direction: Any = facts.objective.direction
    found = advice(facts.finished, facts.space, direction, seed=seed)
    parts = [
        _section("What came of it", summary(facts)),
        _best(facts),
        _searched(facts),
        _drawn("How the search went", figures.course(facts)),
        _learning(facts),
        _matters(found),
        _slices(facts, found),
        _drawn("All trials at once", figures.parallel(facts), wide=True),
        _advised(found),
        _failures(facts),
        _time(facts),
        _final(facts),
        _table(facts),
        _reproduce(facts),
    ]
    body = "\n".join(part for part in parts if part)
    title = html.escape(f"{facts.name}: a search by Afina")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_CSS}</style><script>{get_plotlyjs()}</script></head>\n<body>"
        f"<header><h1>{html.escape(facts.name)}</h1></header>\n<main>{body}</main>"
        f"<script>{_FITTED}</script></body></html>\n"
    )


def _section(title: str, sentences: Iterable[str], more: str = "") -> str:
    paragraphs = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences)
    if not paragraphs and not more:
        return ""
    return f"<section><h2>{html.escape(title)}</h2>{paragraphs}{more}</section>"


def _drawn(title: str, figure: Any, *, wide: bool = False) -> str:
    return "" if figure is None else _section(title, (), _div(figure, wide=wide))


def _div(figure: Any, *, wide: bool = False) -> str:
    text = figure.to_html(
        full_html=False,
        include_plotlyjs=False,
        config={"responsive": True, "displaylogo": False, "displayModeBar": False},
    )
    return f'<div class="{"wide" if wide else "figure"}">{text}</div>'


def _rows(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    def cells(tag: str, row: Sequence[Any]) -> str:
        return "".join(f"<{tag}>{html.escape(short(cell))}</{tag}>" for cell in row)

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table><thead><tr>{cells("th", head)}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _best(facts: Facts) -> str:
    best = facts.best
    if best is None:
        return ""
    rows = [(name, value) for name, value in best.values.items()]
    told = [f"Trial {best.number}, {facts.objective.name} {short(best.score)}."]
    return _section("The best configuration", told, _rows(("hyperparameter", "value"), rows))


def _searched(facts: Facts) -> str:
    rows = []
    for entry in facts.space:
        when = " and ".join(
            f"{parent.name} is {' or '.join(map(short, parent.values))}"
            for parent in entry.conditions
        )
        rows.append((entry.name, type(entry).__name__, range_of(entry), when or "always"))
    settings = ", ".join(f"{k} {short(v)}" for k, v in facts.header.settings.items())
    told = [
        f"Algorithm: {facts.header.algorithm} ({settings}).",
        f"Objective: {objective_of(facts)}.",
    ]
    return _section(
        "What was searched", told, _rows(("hyperparameter", "kind", "range", "active"), rows)
    )


def _learning(facts: Facts) -> str:
    drawn = [figures.curves(facts), *figures.learning(facts)]
    return _section("Learning curves", (), "".join(_div(each) for each in drawn if each))


def _matters(found: Advice) -> str:
    figure = figures.importances(found.importances)
    if figure is None:
        return _section("Which hyperparameters matter", str(found).splitlines()[-1:])
    told = ["The lines are 90 % intervals; grey bars are not above what chance alone would give."]
    return _section("Which hyperparameters matter", told, _div(figure))


def _slices(facts: Facts, found: Advice) -> str:
    drawn = "".join(_div(figure) for _, figure in slices(facts, advised_ranges(found)))
    told = ["Green is what is advised for the next search."] if found.changes and drawn else []
    return _section("Each hyperparameter by itself", told, drawn)


def _advised(found: Advice) -> str:
    if found.importances.shortage is not None:
        return ""
    code = html.escape(found.as_code())
    more = f"<h3>The next search space, to paste</h3><pre>{code}</pre>" if found.changes else ""
    return _section("What to do next", [of_range(each) for each in found.ranges], more)


def _failures(facts: Facts) -> str:
    rows = [
        (kind, line, len(numbers), ", ".join(map(str, numbers[:12])) + (" …" * (len(numbers) > 12)))
        for kind, line, numbers in facts.reasons
    ]
    if not rows:
        return ""
    return _section("Failures", (), _rows(("kind", "reason", "how often", "trials"), rows))


def _time(facts: Facts) -> str:
    figure = figures.seconds(facts)
    told = [f"{count} trials: {way}." for way, count in facts.training.items()]
    return _section("Where the time went", told, _div(figure) if figure else "")


def _final(facts: Facts) -> str:
    verdict = facts.judgement
    if verdict is None:
        return ""
    rows = [
        (c.name, f"{c.precision:.3f}", f"{c.recall:.3f}", f"{c.f1:.3f}", c.count)
        for c in verdict.classes
    ]
    more = _rows(("class", "precision", "recall", "F1", "count"), rows) if rows else ""
    matrix = figures.confusion(facts)
    return _section("The final model", verdict.sentences(), (_div(matrix) if matrix else "") + more)


def _table(facts: Facts) -> str:
    rows = [
        (
            trial.number,
            trial.score,
            len(trial.curve) or "",
            f"{trial.seconds:.1f}",
            ", ".join(f"{name} {short(value)}" for name, value in trial.values.items()),
        )
        for trial in facts.completed[:MOST_ROWS]
    ]
    head = ("trial", facts.objective.name, "epochs", "seconds", "values")
    return _section("The best trials", (), _rows(head, rows)) if rows else ""


def _reproduce(facts: Facts) -> str:
    versions = [f"Python {platform.python_version()}"]
    for package in ("afina", "keras", "jax", "tensorflow", "torch", "numpy"):
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    best = facts.best
    values = json.dumps(dict(best.values)) if best else "{}"
    code = f"hp = kt.HyperParameters()\nhp.values = {values}\nmodel = build(hp)"
    told = [
        f"Seed {facts.header.seed}: the same code, data and versions give the same trials.",
        "This report was written with " + ", ".join(versions) + ".",
    ]
    return _section("How to reproduce it", told, f"<pre>{html.escape(code)}</pre>")


_FITTED = (
    "addEventListener('load',()=>document.querySelectorAll('.js-plotly-plot')"
    ".forEach(each=>Plotly.Plots.resize(each)))"
)
"""A drawing made before the page was laid out is as wide as Plotly likes: not so on a phone."""

_CSS = """
:root{color-scheme:light}
*{box-sizing:border-box}
body{margin:0;font:16px/1.5 system-ui,sans-serif;color:#1c2430;background:#f4f6f8}
header{background:#12324a;color:#fff;padding:1.2rem}
h1{margin:0;font-size:1.5rem;overflow-wrap:anywhere}
main{max-width:980px;margin:0 auto;padding:.6rem}
section{background:#fff;border-radius:8px;padding:1rem;margin:.8rem 0;box-shadow:0 1px 3px #0002}
h2{margin:.1rem 0 .6rem;font-size:1.15rem}
h3{margin:.8rem 0 .3rem;font-size:1rem}
p{margin:.35rem 0;overflow-wrap:anywhere}
pre{background:#f0f3f6;padding:.7rem;border-radius:6px;overflow-x:auto;font-size:.85rem}
table{border-collapse:collapse;font-size:.88rem;min-width:60%}
th,td{text-align:left;padding:.25rem .7rem;border-bottom:1px solid #e3e8ed;vertical-align:top}
td:nth-child(5){min-width:16rem}
.scroll,.wide{overflow-x:auto}
.wide>div{min-width:720px}
@media(max-width:600px){main{padding:.2rem}section{padding:.7rem}}
"""
