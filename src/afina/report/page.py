"""The report of a search: the page with its data inside, as one file that works offline."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from afina import __version__
from afina.advice.judgement import Judgement
from afina.errors import ArgumentError, StoreError, wrong
from afina.page import BROWSER
from afina.page.bundle import script, style
from afina.page.watch import Watch
from afina.report.about import best_rows, facts_of_watch
from afina.report.facts import Facts
from afina.report.snapshot import for_html, snapshot
from afina.store import TrialStore, open_store
from afina.store.places import name_of_search
from afina.store.project import no_search
from afina.trials.text import printable

Source = TrialStore | Facts | Path | str


def write_report(
    source: Source,
    file: Path | str = "report.html",
    *,
    seed: int | None = None,
    name: str | None = None,
    judgement: Judgement | None = None,
) -> Path:
    """Writes the report of a search.

    Args:
        source: The project folder, the URL of a database, an open store, or facts read from them.
        file: The HTML file; its folder is created if it does not exist.
        seed: Seed of the random draws for the advice; None takes the search's own, as the dashboard
            and `afina advice` do.
        name: What to call the search; None takes the folder's name.
        judgement: The judgement of the final model.

    Returns:
        The path of the file.

    Raises:
        ArgumentError: Jinja2 is not installed.
        StoreError: There is no search in the folder.
    """
    text = render(source, seed=seed, name=name, judgement=judgement)
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8"))  # as it is: the policy knows the script by its hash
    return path


def render(
    source: Source,
    *,
    seed: int | None = None,
    name: str | None = None,
    judgement: Judgement | None = None,
) -> str:
    """The page as text; see `write_report`."""
    if isinstance(source, Facts):
        name, judgement = name or source.name, judgement or source.judgement
        if source.source is None:
            raise ArgumentError(wrong("source", "must know where its facts were read", source.name))
        source = source.source
    if not isinstance(source, Path | str):
        return _render(source, name or "the search", seed, judgement)
    store = open_store(source)
    try:
        if store.header() is None:
            raise StoreError(no_search(source))
        return _render(store, name or name_of_search(source), seed, judgement)
    finally:
        store.close()


def _render(store: TrialStore, name: str, seed: int | None, judgement: Judgement | None) -> str:
    watch = Watch(store, name)
    watch.refresh(at_once=True)
    if watch.trouble:
        raise StoreError(watch.trouble)
    facts = facts_of_watch(watch, judgement=judgement)
    data = snapshot(watch, facts, seed=seed)
    head, rows = best_rows(facts) if facts else ((), [])
    code = script()
    return shell(
        report={
            "policy": _policy(code),
            "name": name,
            "icon": _icon(),
            "mark": (BROWSER / "icon.svg").read_text(encoding="utf-8"),
            "style": style(),
            "script": code,
            "snapshot": for_html(data),
            "about": data["about"],
            "advice": data["advice"]["text"],
            "head": head,
            "rows": rows,
            "several": bool(facts and facts.several),
            "written": time.strftime("%Y-%m-%d %H:%M"),
            "left_out": _left_out(len(data["trials"]), len(watch.trials)),
        }
    )


def _left_out(kept: int, count: int) -> str:
    if kept == count:
        return ""
    return (
        f"curves and notes are kept of {kept} of {count} trials: the best, those that run or "
        "failed, and a sample"
    )


def shell(*, report: Mapping[str, Any]) -> str:
    """The page's elements, with a report inside.

    Raises:
        ArgumentError: Jinja2 is not installed.
    """
    if importlib.util.find_spec("jinja2") is None:
        raise ArgumentError("report: needs Jinja2: pip install 'afina[plot]', or 'afina[web]'")
    from jinja2 import Environment, FileSystemLoader

    templates = Environment(loader=FileSystemLoader(BROWSER), autoescape=True, finalize=_visible)
    given = {"version": __version__, "actions": False, "searches": "[]"}
    return str(templates.get_template("index.html").render(report=report, **given))


def _visible(value: Any) -> Any:
    """A text of the search without what a browser would obey; what is safe stays as it is."""
    plain = isinstance(value, str) and not hasattr(value, "__html__")
    return printable(value, lines=True) if plain else value


def _policy(code: str) -> str:
    """What the page may load and run: its one script, its styles, and nothing from anywhere."""
    mark = base64.b64encode(hashlib.sha256(code.encode("utf-8")).digest()).decode("ascii")
    look = base64.b64encode(hashlib.sha256(style().encode("utf-8")).digest()).decode("ascii")
    return (
        f"default-src 'none'; script-src 'sha256-{mark}'; style-src 'sha256-{look}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _icon() -> str:
    picture = (BROWSER / "icon.svg").read_bytes()
    return "data:image/svg+xml;base64," + base64.b64encode(picture).decode("ascii")
