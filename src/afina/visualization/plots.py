"""The figures: one function for each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, Literal

from afina.advice import Importances, advice
from afina.advice.shown import shown_importances
from afina.errors import ArgumentError, wrong
from afina.report import Facts, figures
from afina.report.contours import contour
from afina.report.distributions import edf, timeline
from afina.report.parallel import parallel
from afina.report.rungs import rungs
from afina.report.slices import slices
from afina.report.words import advised_ranges
from afina.space import Boolean, Choice
from afina.visualization.as_matplotlib import as_matplotlib
from afina.visualization.panels import together
from afina.visualization.sources import facts_from

Engine = Literal["plotly", "matplotlib"]


def plot_history(source: Any, *, engine: Engine = "plotly") -> Any:
    """Each trial's score and the best so far; with several objectives, the hypervolume so far.

    Args:
        source: A tuner, a `Study`, or the folder or URL of a project. The search may be running.
        engine: "plotly", or "matplotlib" for papers.

    Returns:
        A Plotly figure, or a `matplotlib.figure.Figure`.

    Raises:
        ArgumentError: An argument is wrong, there is nothing to draw yet, or the plotting package
            is not installed.
    """
    facts = _facts(source, engine)
    return _drawn("plot_history", [figures.course(facts)], "a completed trial", engine)


def plot_curves(source: Any, *, objective: str | None = None, engine: Engine = "plotly") -> Any:
    """The learning curves of all trials, with the best one in bold.

    Args:
        source: See `plot_history`.
        objective: Which of several objectives; None for the first.
        engine: See `plot_history`.

    Returns:
        See `plot_history`.

    Raises:
        ArgumentError: See `plot_history`.
    """
    facts = _facts(source, engine)
    drawn = figures.curves(facts, _place(facts, objective))
    return _drawn("plot_curves", [drawn], "a trial that reported an epoch", engine)


def plot_parallel(
    source: Any, *, params: Sequence[str] | None = None, engine: Engine = "plotly"
) -> Any:
    """Parallel coordinates: a line for each configuration, through its values to its scores.

    Args:
        source: See `plot_history`.
        params: Names of the hyperparameters that get an axis. None takes all, and the twelve most
            important ones if there are more.
        engine: See `plot_history`.

    Returns:
        See `plot_history`.

    Raises:
        ArgumentError: See `plot_history`.
    """
    facts = _facts(source, engine)
    if params is None:
        found = parallel(facts, _important(facts))
    else:
        found = parallel(facts, only=_named(facts, params))
    return _drawn("plot_parallel", [found], "two completed trials", engine)


def plot_slices(
    source: Any,
    *,
    params: Sequence[str] | None = None,
    objective: str | None = None,
    engine: Engine = "plotly",
) -> Any:
    """Each hyperparameter by itself: its values against the scores, and the advised range.

    Args:
        source: See `plot_history`.
        params: Names of the hyperparameters to draw; None draws all that vary.
        objective: Which of several objectives; None for the first.
        engine: See `plot_history`.

    Returns:
        See `plot_history`; a subplot for each hyperparameter.

    Raises:
        ArgumentError: See `plot_history`.
    """
    facts = _facts(source, engine)
    known = dict(slices(facts, advised_ranges(_advice(facts)), place=_place(facts, objective)))
    names = list(known) if params is None else _named(facts, params)
    drawn = [known[name] for name in names if name in known]
    return _drawn("plot_slices", drawn, "a completed trial", engine)


def plot_contour(
    source: Any,
    params: Sequence[str] | None = None,
    *,
    objective: str | None = None,
    engine: Engine = "plotly",
) -> Any:
    """The results over two hyperparameters at a time.

    Args:
        source: See `plot_history`.
        params: Names of two hyperparameters, or of more: then each pair is a subplot. None takes
            the two most important ones that have numbers.
        objective: Which of several objectives; None for the first.
        engine: See `plot_history`.

    Returns:
        See `plot_history`.

    Raises:
        ArgumentError: See `plot_history`.
    """
    facts = _facts(source, engine)
    names = _two(facts) if params is None else _named(facts, params)
    if len(names) < 2:
        raise ArgumentError(wrong("params", "must name at least two hyperparameters", names))
    place = _place(facts, objective)
    drawn = [contour(facts, *pair, place) for pair in combinations(names, 2)]
    return _drawn("plot_contour", drawn, "two completed trials with both", engine)


def plot_importance(source: Any, *, objective: str | None = None, engine: Engine = "plotly") -> Any:
    """Which hyperparameters matter: bars with 90 % intervals.

    Args:
        source: See `plot_history`.
        objective: Which of several objectives; None draws a subplot for each.
        engine: See `plot_history`.

    Returns:
        See `plot_history`.

    Raises:
        ArgumentError: See `plot_history`.
    """
    facts = _facts(source, engine)
    found = _importances(facts)
    if objective is not None:
        found = [found[_place(facts, objective)]]
    drawn = [figures.importances(each) for each in found]
    for each, one in zip(drawn, facts.objectives, strict=False):
        if each is not None and len(drawn) > 1:
            each.update_layout(xaxis_title=f"{one.name}: {each.layout.xaxis.title.text}")
    needed = f"{found[0].needed} configurations" if found[0].needed else "more trials"
    return _drawn("plot_importance", drawn, needed, engine)


def plot_rungs(source: Any, *, objective: str | None = None, engine: Engine = "plotly") -> Any:
    """Hyperband and its kin: which trainings went on, and which stopped after how many epochs.

    Args:
        source: See `plot_history`.
        objective: Which of several objectives; None for the first.
        engine: See `plot_history`.

    Returns:
        See `plot_history`.

    Raises:
        ArgumentError: See `plot_history`.
    """
    facts = _facts(source, engine)
    drawn = rungs(facts, _place(facts, objective))
    return _drawn("plot_rungs", [drawn], "trials whose training was planned in parts", engine)


def plot_pareto(
    source: Any, objectives: Sequence[str] | None = None, *, engine: Engine = "plotly"
) -> Any:
    """The trials in two objectives at a time, with the Pareto front marked.

    Args:
        source: See `plot_history`.
        objectives: Names of two objectives; None draws each pair, and at most six pairs.
        engine: See `plot_history`.

    Returns:
        See `plot_history`.

    Raises:
        ArgumentError: See `plot_history`.
    """
    facts = _facts(source, engine)
    if objectives is None:
        drawn = figures.fronts(facts)
    else:
        names = list(objectives)
        if len(names) != 2:
            raise ArgumentError(wrong("objectives", "must be two names", names))
        drawn = figures.fronts(facts, (_place(facts, names[0]), _place(facts, names[1])))
    return _drawn("plot_pareto", drawn, "completed trials with several objectives", engine)


def plot_edf(source: Any, *, objective: str | None = None, engine: Engine = "plotly") -> Any:
    """The share of configurations with a score up to each value, to compare searches.

    Args:
        source: See `plot_history`; also a list of sources with the same objective: a curve each.
        objective: Which of several objectives; None for the first.
        engine: See `plot_history`.

    Returns:
        See `plot_history`.

    Raises:
        ArgumentError: See `plot_history`.
    """
    many = list(source) if isinstance(source, list | tuple) else [source]
    if not many:
        raise ArgumentError(wrong("source", "must have at least one search", source))
    searches = [_facts(each, engine) for each in many]
    names = {each.objectives[_place(each, objective)].name for each in searches}
    if len(names) > 1:
        raise ArgumentError(wrong("source", "searches must have the same objective", sorted(names)))
    drawn = edf(searches, _place(searches[0], objective))
    return _drawn("plot_edf", [drawn], "a completed trial", engine)


def plot_timeline(source: Any, *, engine: Engine = "plotly") -> Any:
    """How long each trial took, one after another in the order in which they ended.

    Args:
        source: See `plot_history`.
        engine: See `plot_history`.

    Returns:
        See `plot_history`.

    Raises:
        ArgumentError: See `plot_history`.
    """
    return _drawn("plot_timeline", [timeline(_facts(source, engine))], "a finished trial", engine)


# -- what they share ------------------------------------------------------------------------------


def _facts(source: Any, engine: str) -> Facts:
    if engine not in ("plotly", "matplotlib"):
        raise ArgumentError(wrong("engine", 'must be "plotly" or "matplotlib"', engine))
    try:
        import plotly.graph_objects  # noqa: F401 - the figures need it
    except ImportError as error:
        raise ArgumentError("Figures need Plotly: pip install 'afina[plot]'.") from error
    return facts_from(source)


def _drawn(what: str, drawn: Sequence[Any], needed: str, engine: str) -> Any:
    found = [figure for figure in drawn if figure is not None]
    if not found:
        raise ArgumentError(f"{what}: needs {needed}, but got none yet.")
    return together(found) if engine == "plotly" else as_matplotlib(found)


def _place(facts: Facts, objective: str | None) -> int:
    """The place of an objective among several."""
    names = [each.name for each in facts.objectives]
    if objective is None:
        return 0
    if objective not in names:
        rule = f"must be one of {', '.join(map(repr, names))}"
        raise ArgumentError(wrong("objective", rule, objective))
    return names.index(objective)


def _named(facts: Facts, params: Sequence[str]) -> list[str]:
    """The names, each of a hyperparameter that varies."""
    names = [params] if isinstance(params, str) else list(params)
    for name in names:
        if name not in facts.names:
            rule = f"must name hyperparameters that vary: {', '.join(map(repr, facts.names))}"
            raise ArgumentError(wrong("params", rule, name))
    return names


def _advice(facts: Facts) -> Any:
    return advice(
        facts.finished, facts.space, objective=facts.objective, seed=facts.header.seed or 0
    )


def _importances(facts: Facts) -> list[Importances]:
    """Of each objective."""
    return shown_importances(_advice(facts))


def _important(facts: Facts) -> list[str]:
    """Names of hyperparameters, the most important first."""
    shares = [share for each in _importances(facts) for share in each.single]
    shares.sort(key=lambda share: -share.share)
    return list(dict.fromkeys(share.names[0] for share in shares))


def _two(facts: Facts) -> list[str]:
    """The two most important hyperparameters with numbers; others if there are no two."""
    order = [*(name for name in _important(facts) if name in facts.names), *facts.names]
    kinds = {entry.name: isinstance(entry, Choice | Boolean) for entry in facts.space}
    return sorted(dict.fromkeys(order), key=lambda name: kinds[name])[:2]
