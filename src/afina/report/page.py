"""The report of a search: one self-contained HTML file that works offline."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from afina.advice import Advice, advice
from afina.advice.sentences import NO_RANGES, of_importances, of_range
from afina.advice.shown import shown_importances
from afina.errors import ArgumentError
from afina.page.thinning import evenly
from afina.report import figures
from afina.report.facts import Facts, read_facts
from afina.report.look import CSS, script
from afina.report.parallel import MOST_AXES, parallel
from afina.report.reproduce import reproduction
from afina.report.rungs import rungs
from afina.report.slices import slices
from afina.report.style import HEIGHT, MOST_POINTS, named, short
from afina.report.words import advised_ranges, objective_of, of_priors, range_of, summary
from afina.space.shown import when_text
from afina.trials import Configuration, Trial, epochs_of
from afina.trials.text import markup

MOST_ROWS = 20
"""Most rows in the table of the best configurations, and in the list of a front."""

MOST_OPEN = 12
"""Longer tables, and more figures than this, are folded."""

RUNGS = (
    "The search trained models in parts. A line connects the results of one configuration; it ends "
    "where its training stopped."
)

BARS = "The lines are 90 % intervals. Grey bars are not clearly above what chance alone would give."


def write_report(
    source: Facts | Path | str, file: Path | str = "report.html", *, seed: int | None = None
) -> Path:
    """Writes the report of a search.

    Args:
        source: Facts, or the project folder to read them from.
        file: The HTML file; its folder is created if it does not exist.
        seed: Seed of the random draws for the advice; None takes the search's own, as the dashboard
            and `afina advice` do.

    Returns:
        The path of the file.

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


def render(facts: Facts, *, seed: int | None = None) -> str:
    """The page as text; see `write_report`."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise ArgumentError(
            "The report needs Plotly: pip install 'afina[plot]', or pip install plotly."
        ) from error
    seed = facts.header.seed if seed is None else seed
    found = advice(facts.finished, facts.space, objective=facts.objective, seed=seed)
    parts = [
        _section("Summary", summary(facts)),
        _front(facts) if facts.several else _best(facts),
        _searched(facts),
        _drawn("How the search went", figures.course(facts), _course_words(facts)),
        _learning(facts),
        _matters(found),
        _slices(facts, found),
        _parallel(facts, found),
        _advised(found),
        _failures(facts),
        _time(facts),
        _final(facts),
        _table(facts),
        _reproduce(facts),
    ]
    body = "\n".join(part for part in parts if part)
    title = markup(f"{facts.name}: a search by Afina")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{CSS}</style><script>{get_plotlyjs()}</script></head>\n<body>"
        f"<header><h1>{markup(facts.name)}</h1></header>\n<main>{body}</main>"
        f"<script>{script()}</script></body></html>\n"
    )


def _section(title: str, sentences: Iterable[str], more: str = "") -> str:
    paragraphs = "".join(f"<p>{markup(sentence, lines=True)}</p>" for sentence in sentences)
    if not paragraphs and not more:
        return ""
    return f"<section><h2>{markup(title)}</h2>{paragraphs}{more}</section>"


def _drawn(title: str, figure: Any, sentences: Iterable[str] = (), *, wide: bool = False) -> str:
    return "" if figure is None else _section(title, sentences, _div(figure, wide=wide))


def _div(figure: Any, *, wide: bool = False) -> str:
    """The element for a figure, and its data; the page's script draws it."""
    data = figure.to_json().replace("<", "\\u003c")
    height = int(figure.layout.height or HEIGHT)
    return (
        f'<div class="{"wide" if wide else "figure"}">'
        f'<div class="drawing" style="height:{height}px"></div>'
        f'<script type="application/json">{data}</script></div>'
    )


def _grid(drawn: Iterable[Any], kind: str) -> str:
    inside = "".join(_div(figure) for figure in drawn if figure is not None)
    return f'<div class="{kind}">{inside}</div>' if inside else ""


def _rows(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table; cells that are a `_Fold` are shown folded."""

    def cells(tag: str, row: Sequence[Any]) -> str:
        return "".join(f"<{tag}>{_cell(cell)}</{tag}>" for cell in row)

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table><thead><tr>{cells("th", head)}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _folded(table: str, count: int, what: str) -> str:
    """A long table behind a clickable line; a short one as it is."""
    if count <= MOST_OPEN:
        return table
    return f"<details><summary>Show all {count} {what}</summary>{table}</details>"


class _Fold:
    """Lines that are hidden behind a clickable word."""

    def __init__(self, word: str, lines: Sequence[str]) -> None:
        self.word, self.lines = word, lines


def _cell(cell: Any) -> str:
    if not isinstance(cell, _Fold):
        return markup(short(cell))
    lines = "<br>".join(markup(line, lines=True) for line in cell.lines)
    return f"<details><summary>{markup(cell.word)}</summary>{lines}</details>"


def _best(facts: Facts) -> str:
    best = facts.best
    if best is None:
        return ""
    pairs = "".join(
        f"<div><dt>{markup(name)}</dt><dd>{markup(short(value))}</dd></div>"
        for name, value in best.values.items()
    )
    text = [f"Trial {best.number}, {facts.objectives[0].name} {short(best.score)}."]
    return _section("The best configuration", text, f'<dl class="values">{pairs}</dl>')


def _front(facts: Facts) -> str:
    """The trials to choose from, if there are several objectives."""
    if not facts.front:
        return ""
    head = ("trial", *(each.name for each in facts.objectives), "values")
    rows = [
        (trial.number, *facts.values_of(trial), _values(trial))
        for trial in sorted(facts.front, key=lambda trial: trial.losses)
    ]
    text = [f"Sorted by {facts.objectives[0].name}, the best first."]
    if len(rows) > MOST_ROWS:
        text.append(f"{MOST_ROWS} of {len(rows)} are listed, spread evenly.")
        rows = [rows[place] for place in evenly(len(rows), MOST_ROWS)]
    drawn = _grid(figures.fronts(facts), "pairs")
    return _section("The Pareto front", text, drawn + _rows(head, rows))


def _values(trial: Trial) -> str | _Fold:
    """A trial's hyperparameters; many of them are folded."""
    spelled = ", ".join(f"{name} {short(value)}" for name, value in trial.values.items())
    return (
        _Fold(f"{len(trial.values)} values", [spelled])
        if len(trial.values) > MOST_OPEN
        else spelled
    )


def _course_words(facts: Facts) -> list[str]:
    if not facts.several:
        return []
    return [
        "The hypervolume is the volume of all results that the front reaches or beats, up to the "
        "worst result in each objective. The end of the search is 100 %."
    ]


def _important(found: Advice) -> list[str]:
    """Names of hyperparameters, the most important first; empty if nothing is known."""
    shares = [share for part in shown_importances(found) for share in part.single]
    shares.sort(key=lambda share: -share.share)
    return list(dict.fromkeys(share.names[0] for share in shares))


def _parallel(facts: Facts, found: Advice) -> str:
    text = ["Red lines are on the Pareto front."] if facts.several else []
    if len(facts.names) > MOST_AXES:
        which = "the most important" if _important(found) else "the first"
        text.append(f"{MOST_AXES} of {len(facts.names)} hyperparameters are drawn: {which}.")
    figure = parallel(facts, _important(found))
    return _drawn("All configurations at once", figure, text, wide=True)


def _searched(facts: Facts) -> str:
    rows = []
    for entry in facts.space:
        rows.append((entry.name, type(entry).__name__, range_of(entry), when_text(entry, short)))
    settings = ", ".join(f"{k} {short(v)}" for k, v in facts.header.settings.items())
    text = [
        f"Algorithm: {facts.header.algorithm} ({settings}).",
        f"Objective: {objective_of(facts)}.",
        *of_priors(facts),
    ]
    head = ("hyperparameter", "kind", "range", "active")
    return _section("Search space", text, _folded(_rows(head, rows), len(rows), "hyperparameters"))


def _learning(facts: Facts) -> str:
    places = range(len(facts.objectives))
    parts = [rungs(facts, place) for place in places]
    drawn = [*(figures.curves(facts, place) for place in places), *parts]
    text = [RUNGS] if any(part is not None for part in parts) else []
    return _section("Learning curves", text, _grid([*drawn, *figures.learning(facts)], "pairs"))


def _matters(found: Advice) -> str:
    title = "Which hyperparameters matter"
    if not found.aims:
        figure = figures.importances(shown_importances(found)[0])
        if figure is None:
            return _section(title, str(found).splitlines()[-1:])
        return _section(title, [BARS], _div(figure))
    drawn = []
    for aim in found.aims:
        figure = figures.importances(aim.importances)
        if figure is not None:
            drawn.append(f"<div><h3>For {markup(aim.name)}</h3>{_div(figure)}</div>")
    if not drawn:
        return _section(title, of_importances(found.aims[0].importances, found.counts))
    return _section(title, [BARS], f'<div class="pairs">{"".join(drawn)}</div>')


def _slices(facts: Facts, found: Advice) -> str:
    advised = advised_ranges(found)
    parts = []
    order = {name: rank for rank, name in enumerate(_important(found))}
    for place, objective in enumerate(facts.objectives):
        known = slices(facts, advised, place=place)
        if len(known) > MOST_OPEN:  # the important ones are not folded
            known.sort(key=lambda each: order.get(each[0], len(order)))
        drawn = [figure for _, figure in known]
        head = f"<h3>{markup(objective.name)}</h3>" if facts.several and drawn else ""
        rest = _grid(drawn[MOST_OPEN:], "grid")
        if rest:
            more = f"Show {len(drawn) - MOST_OPEN} more"
            rest = f"<details><summary>{more}</summary>{rest}</details>"
        parts.append(head + _grid(drawn[:MOST_OPEN], "grid") + rest)
    if not any(parts):
        return ""
    many = min(len(facts.configurations), MOST_POINTS)
    which = named("configurations, later ones stronger", many, len(facts.configurations))
    legend = [("dot blue", which)]
    if any(
        each.epochs is not None and each.epochs < facts.longest for each in facts.configurations
    ):
        legend.append(("dot dim", "trained for fewer epochs"))
    legend.append(("star", "on the Pareto front" if facts.several else "the best"))
    if found.changes:
        legend.append(("band", "advised for the next search"))
    keys = "".join(f'<span><i class="{mark}"></i>{text}</span>' for mark, text in legend)
    return _section(
        "Each hyperparameter by itself", (), f'<p class="legend">{keys}</p>' + "".join(parts)
    )


def _advised(found: Advice) -> str:
    if found.aims:
        return _section("What to do next", [NO_RANGES])
    if found.importances.shortage is not None:
        return ""
    code = markup(found.as_code(), lines=True)
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
    text = [f"{count} trials: {trainer}." for trainer, count in facts.training.items()]
    return _section("Where the time went", text, _div(figure) if figure else "")


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
    rows = []
    for each in facts.configurations[:MOST_ROWS]:
        shown = facts.shown(each)
        scores = ["" if value is None else value for value in facts.values_of(shown)]
        if facts.several and shown in facts.front:
            scores[0] = f"{short(scores[0])} *"
        epochs: Any = "" if each.epochs is None else each.epochs
        if len(each.parts) > 1:
            epochs = _Fold(f"{epochs} in {len(each.parts)} parts", _parts(facts, each))
        row = (shown.number, *scores, epochs, f"{each.seconds:.1f}", _values(shown))
        rows.append(row)
    if not rows:
        return ""
    names = [each.name for each in facts.objectives]
    spent = "seconds" if "seconds" not in names else "wall seconds"
    head = ("trial", *names, "epochs", spent, "values")
    text = ["* is on the Pareto front; the others follow front by front."] if facts.several else []
    if len(facts.configurations) > MOST_ROWS:
        text.append(f"{MOST_ROWS} of {len(facts.configurations)} configurations are listed.")
    return _section("The best configurations", text, _rows(head, rows))


def _parts(facts: Facts, configuration: Configuration) -> list[str]:
    """For each part of a training: its epochs and its results."""
    lines = []
    for part in configuration.parts:
        end = epochs_of(part)
        epochs = f"epochs {part.start_epoch + 1} to {end}" if end else "epochs not counted"
        values = [short(value) for value in facts.values_of(part) if value is not None]
        lines.append(f"trial {part.number}: {epochs}, {', '.join(values)}")
    return lines


def _reproduce(facts: Facts) -> str:
    versions = [f"Python {platform.python_version()}"]
    for package in ("afina", "keras", "jax", "tensorflow", "torch", "numpy"):
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    trials = facts.front if facts.several else [facts.best] if facts.best else []
    trials = [trials[place] for place in evenly(len(trials), MOST_ROWS)]
    text = [
        f"Seed {facts.header.seed}: the same code, data and versions give the same trials.",
        "This report was written with " + ", ".join(versions) + ".",
    ]
    code = f"<pre>{markup(reproduction(trials), lines=True)}</pre>"
    return _section("How to reproduce it", text, code)
