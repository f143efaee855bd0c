"""Single figures as files, by Matplotlib, for papers and slides."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from afina.advice import importance
from afina.errors import ArgumentError, wrong
from afina.report.facts import Facts
from afina.report.style import BLUE, GREY, MOST_CURVES, ORANGE, RED, spread


def draw(facts: Facts, what: str, file: Path | str) -> Path:
    """Draws one picture into a file; its suffix sets the format (.png, .svg, .pdf).

    Args:
        facts: The facts of a search, from `read_facts`.
        what: "course" (best score so far), "curves" (of all trials), "learning" (training and
            validation loss of the best trial), "importance", or "front" (the trials in the first
            two of several objectives).
        file: Where to write it; its folder is created if it does not exist.

    Returns:
        The path of the file.

    Raises:
        ArgumentError: `what` is unknown, there is nothing to draw yet, or Matplotlib is missing.
    """
    if what not in _PICTURES:
        raise ArgumentError(wrong("what", f"must be one of {', '.join(_PICTURES)}", what))
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ArgumentError("Pictures need Matplotlib: pip install 'afina[plot]'.") from error
    picture = Figure(figsize=(7, 4.2), layout="constrained")
    axes = picture.subplots()
    if not _PICTURES[what](facts, axes):
        raise ArgumentError(f"{what}: needs trials with results for it, but got none yet.")
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path, dpi=150)
    return path


def _course(facts: Facts, axes: Any) -> bool:
    if facts.several:
        volumes = facts.volumes
        axes.step(range(1, len(volumes) + 1), volumes, where="post", color=BLUE, lw=2)
        axes.set(xlabel="trials", ylabel="hypervolume, as a share of the final one")
        return bool(volumes)
    points = [(n, p) for n, p in enumerate(facts.course, start=1) if p.best is not None]
    axes.scatter(
        [n for n, p in points if p.score is not None],
        [p.score for _, p in points if p.score is not None],
        s=12,
        color=GREY,
        alpha=0.5,
        label="each trial",
    )
    axes.step([n for n, _ in points], [p.best for _, p in points], where="post", color=BLUE, lw=2)
    axes.set(xlabel="trials", ylabel=facts.objective.name, title="best so far")
    return bool(points)


def _curves(facts: Facts, axes: Any) -> bool:
    objective = facts.objectives[0]
    known = facts.parts.get(objective.name, {})
    trials = sorted(
        (trial for trial in facts.trials if known.get(trial.number)),
        key=lambda trial: math.inf if trial.loss is None else trial.loss,
    )
    for place in spread(len(trials), MOST_CURVES):
        trial = trials[place]
        curve = known[trial.number]
        epochs = range(trial.start_epoch + 1, trial.start_epoch + len(curve) + 1)
        values = [objective.loss(loss) for loss in curve]
        axes.plot(epochs, values, color=GREY, alpha=0.5, lw=0.8)
    best = facts.history.get(objective.name, ())
    axes.plot(range(1, len(best) + 1), best, color=BLUE, lw=2.5, label="the best")
    axes.set(xlabel="epoch", ylabel=objective.name, title="learning curves of all trials")
    return bool(trials)


def _learning(facts: Facts, axes: Any) -> bool:
    drawn = False
    for name, label, colour in (("loss", "training", ORANGE), ("val_loss", "validation", BLUE)):
        values = facts.history.get(name, ())
        axes.plot(range(1, len(values) + 1), values, color=colour, lw=2, label=label)
        drawn = drawn or bool(values)
    axes.set(xlabel="epoch", ylabel="loss", title="the best trial")
    axes.legend()
    return drawn


def _front(facts: Facts, axes: Any) -> bool:
    if len(facts.objectives) < 2:
        return False
    across, up = facts.objectives[:2]
    front = {trial.number for trial in facts.front}
    rows = [(t.number, facts.values_of(t)) for t in facts.completed if t.losses]
    for mine, colour, name in ((False, GREY, "other trials"), (True, RED, "Pareto front")):
        kept = [values for number, values in rows if (number in front) is mine]
        axes.scatter([v[0] for v in kept], [v[1] for v in kept], s=20, color=colour, label=name)
    axes.set(xlabel=across.name, ylabel=up.name)
    axes.legend()
    return bool(rows)


def _importance(facts: Facts, axes: Any) -> bool:
    if facts.several:
        return False
    shares = importance(facts.finished, facts.space).single[:15][::-1]
    axes.barh(
        [share.names[0] for share in shares],
        [share.share for share in shares],
        xerr=[
            [max(0.0, share.share - share.low) for share in shares],
            [max(0.0, share.high - share.share) for share in shares],
        ],
        color=[BLUE if share.clear else GREY for share in shares],
    )
    axes.xaxis.set_major_formatter(lambda part, _: f"{100 * part:.0f} %")
    axes.set(xlabel="share of the variance of the results")
    return bool(shares)


_PICTURES: dict[str, Callable[[Facts, Any], bool]] = {
    "course": _course,
    "curves": _curves,
    "learning": _learning,
    "importance": _importance,
    "front": _front,
}
