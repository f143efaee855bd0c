"""The sentences of a report."""

from __future__ import annotations

from typing import Any

from afina.advice import Advice, Verdict
from afina.advice.sentences import of_front
from afina.report.facts import Facts
from afina.report.style import short
from afina.space import Float, HyperParameter, Int
from afina.space.conditions import same_value
from afina.space.shown import range_text
from afina.trials import Trial, configurations
from afina.trials.trial import PRIOR


def summary(facts: Facts) -> list[str]:
    """The summary: what to know if you read nothing else."""
    found = [_counted(facts)]
    if facts.several:
        return found + _of_front(facts)
    best = facts.best
    if best is None:
        return [*found, "No trial has a score yet, so there is no best configuration."]
    found.append(f"The best {facts.objective.name} is {short(best.score)} (trial {best.number}).")
    found += _gain(facts, best)
    late = [place for place, point in enumerate(facts.course) if point.trial == best.number]
    if late and len(facts.course) >= 10 and late[0] >= 0.9 * len(facts.course):
        found.append("It came near the end of the search: a longer search may find a better one.")
    return found


def _counted(facts: Facts) -> str:
    running = len(facts.trials) - len(facts.finished)
    done, rows = len(facts.completed), len(configurations(facts.completed))
    counted = f"{done} {'trial was' if done == 1 else 'trials were'} completed"
    if rows != done:
        counted += f" ({rows} configurations, some trained in several parts)"
    if facts.failed:
        counted += f", {len(facts.failed)} failed"
    if running:
        counted += f", {running} {'is' if running == 1 else 'are'} not finished yet"
    if facts.course:
        last = facts.course[-1]
        counted += f"; {last.epochs} epochs in {_time(last.seconds)} of training"
    return f"{counted}."


def _of_front(facts: Facts) -> list[str]:
    """The front, and the best result in each objective."""
    if not facts.front:
        return ["No trial has a result in every objective yet, so there is no Pareto front."]
    found = [f"{of_front(len(facts.front))}."]
    for place, objective in enumerate(facts.objectives):
        measured = [(v, t) for t in facts.front if (v := facts.values_of(t)[place]) is not None]
        losses = [(objective.loss(value), trial.number) for value, trial in measured]
        value, trial = measured[losses.index(min(losses))]
        found.append(f"Best {objective.name}: {short(value)} (trial {trial.number}).")
    return found


def _gain(facts: Facts, best: Trial) -> list[str]:
    """The gain over the first configuration that was trained for as many epochs as the best one.

    Empty if there is no such configuration.
    """
    rows = [each for each in configurations(facts.completed) if each.best.score is not None]
    mine = next(each for each in rows if best in each.parts)
    equal = [each for each in rows if each.epochs == mine.epochs]
    first = equal[0].best
    if len(equal) < 2 or first.score is None or best.score is None:
        return []
    default = _is_default(facts, first)
    who = "the default configuration" if default else "the first configuration"
    length = "" if mine.epochs is None or len(equal) == len(rows) else " trained as long"
    if equal[0] is mine:
        return [f"No configuration was better than {who}{length}."]
    gain = abs(best.score - first.score)
    return [
        f"{who.capitalize()}{length} (trial {first.number}) had {short(first.score)}: the search "
        f"gained {short(gain)}."
    ]


def _is_default(facts: Facts, trial: Trial) -> bool:
    """Whether all active hyperparameters of a trial had their defaults."""
    active = facts.space.active(trial.values)
    return all(
        entry.name in trial.values and same_value(trial.values[entry.name], entry.default)
        for entry in active
    )


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def objective_of(facts: Facts) -> str:
    """The objectives and their directions."""
    return "; ".join(f"{each.name}, {_WISHED[each.direction]}" for each in facts.objectives)


_WISHED = {"min": "the smaller the better", "max": "the larger the better"}


def range_of(entry: HyperParameter) -> str:
    """The range of a hyperparameter, in few words."""
    return range_text(entry, short)


def advised_ranges(found: Advice) -> dict[str, Any]:
    """The new range of each hyperparameter that should change: (low, high), or the choices."""
    ranges: dict[str, Any] = {}
    for each in found.ranges:
        if each.verdict in (Verdict.KEEP, Verdict.LEAVE_OUT):
            continue
        after = each.after
        if isinstance(after, Int | Float):
            ranges[each.name] = (after.min_value, after.max_value)
        elif isinstance(each.before, Int | Float):
            ranges[each.name] = (after.default, after.default)
        else:
            ranges[each.name] = tuple(after.values)
    return ranges


def of_priors(facts: Facts) -> list[str]:
    """Which priors moved trials, and how many; nothing if none did."""
    notes = [trial.notes[PRIOR] for trial in facts.trials if PRIOR in trial.notes]
    if not notes:
        return []
    names = notes[-1].rpartition(":")[0]
    moved = f"{len(notes)} of {len(facts.trials)} trials"
    return [f"A prior moved {moved}: {names}. Results decide how much it counts."]
