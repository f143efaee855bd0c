"""From the traces of single runs to means, intervals, ranks and the rows that must be reached."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from problem import Problem
from simulate import M_TRAININGS, S_TRIALS, Trace, fingerprint

POINTS = {"S": S_TRIALS, "M": M_TRAININGS}
GPS = ("optuna-gp", "skopt-gp", "kt-bayesian")
DRAWS = 500
"""Of the bootstrap."""


@dataclass
class Results:
    """The regrets of one protocol.

    Attributes:
        protocol: "S" or "M".
        problems: In the order of the tables.
        regrets: Contestant to problem to array (seeds, budget): after 1, 2 ... trials, or full
            trainings' worth of epochs. Seeds in ascending order.
        seeds: Contestant to problem to those seeds.
        errors: Lines about runs that broke off.
    """

    protocol: str
    problems: list[Problem]
    regrets: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    seeds: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    beaten: dict[str, float] = field(default_factory=dict)
    """Problem to the lowest loss that a run has found, where it is below the known optimum."""

    cost: dict[str, list[float]] = field(default_factory=dict)
    """Contestant to the processor seconds a trial of each run."""

    def names(self, wanted: Iterable[Problem] | None = None, least: int = 1) -> list[str]:
        """Contestants that have runs on all of these problems, of at least so long a budget."""
        needed = [p.name for p in (self.problems if wanted is None else wanted)]
        return [
            name
            for name, found in self.regrets.items()
            if all(p in found and found[p].shape[1] >= least for p in needed)
        ]


def collect(
    store: Path, protocol: str, labels: Sequence[str], problems: list[Problem], seeds: int
) -> Results:
    """Reads the traces; those of other versions of a problem are left out."""
    found = Results(protocol, problems)
    marks = {problem.name: fingerprint(problem) for problem in problems}
    for label in labels:
        for problem in problems:
            rows: list[np.ndarray] = []
            used: list[int] = []
            for seed in range(seeds):
                path = store / protocol / label / problem.name / f"{seed}.json"
                if not path.exists():
                    continue
                run = json.loads(path.read_text(encoding="utf-8"))
                if run["mark"] != marks[problem.name]:
                    continue
                if run["error"]:
                    last = run["error"].strip().splitlines()[-1]
                    found.errors.append(f"{label} on {problem.name}, seed {seed}: {last}")
                    continue
                found.versions[label] = run["version"]
                found.cost.setdefault(label, []).append(run["seconds"] / max(run["trials"], 1))
                rows.append(regrets_of(run, problem, protocol, seed))
                lowest = min((loss for _, loss in run["steps"]), default=np.inf)
                if problem.reference(seed).excess(lowest) < -0.01:
                    found.beaten[problem.name] = min(found.beaten.get(problem.name, 9e9), lowest)
                used.append(seed)
            if rows:
                length = min(map(len, rows))
                found.regrets.setdefault(label, {})[problem.name] = np.array(
                    [row[:length] for row in rows]
                )
                found.seeds.setdefault(label, {})[problem.name] = used
    return found


def regrets_of(run: dict, problem: Problem, protocol: str, seed: int) -> np.ndarray:  # type: ignore[type-arg]
    """The regret after each trial, or full training's worth of epochs, of a run."""
    trace = Trace(steps=[(int(n), float(loss)) for n, loss in run["steps"]])
    reference = problem.reference(seed)
    unit = problem.epochs if protocol == "M" else 1
    return np.array([reference.regret(trace.at(unit * n)) for n in range(1, run["budget"] + 1)])


# -- means and intervals --------------------------------------------------------------------------


def mean_regret(results: Results, name: str, problems: Iterable[Problem], point: int) -> float:
    """Mean over the seeds of each problem, then over the problems; NaN where runs are missing."""
    found = results.regrets.get(name, {})
    means = []
    for problem in problems:
        rows = found.get(problem.name)
        if rows is None or rows.shape[1] < point:
            return float("nan")
        means.append(rows[:, point - 1].mean())
    return float(np.mean(means)) if means else float("nan")


def interval(
    results: Results, name: str, problems: Iterable[Problem], point: int
) -> tuple[float, float]:
    """95 % bootstrap interval of `mean_regret`: seeds are drawn anew within each problem."""
    rng = np.random.default_rng(0)
    total = np.zeros(DRAWS)
    count = 0
    for problem in problems:
        rows = results.regrets[name][problem.name][:, point - 1]
        total += rows[rng.integers(len(rows), size=(DRAWS, len(rows)))].mean(axis=1)
        count += 1
    low, high = np.quantile(total / count, [0.025, 0.975])
    return float(low), float(high)


def mean_ranks(
    results: Results, names: Sequence[str], problems: Iterable[Problem], point: int
) -> dict[str, float]:
    """Mean rank (1 is best, ties share) over the seeds that all have, then over the problems."""
    ranks: list[np.ndarray] = []
    for problem in problems:
        used = [set(results.seeds[name][problem.name]) for name in names]
        common = sorted(set.intersection(*used))
        if not common:
            continue
        table = np.array(
            [
                [
                    results.regrets[name][problem.name][
                        results.seeds[name][problem.name].index(seed), point - 1
                    ]
                    for seed in common
                ]
                for name in names
            ]
        )
        less = (table[None] < table[:, None] - 1e-12).sum(axis=1)
        equal = (np.abs(table[None] - table[:, None]) <= 1e-12).sum(axis=1)
        ranks.append((less + (equal + 1) / 2).mean(axis=1))
    if not ranks:
        return {}
    return dict(zip(names, np.mean(ranks, axis=0).tolist(), strict=True))


# -- what must be reached -------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One demand and what came of it."""

    text: str
    ours: float
    limit: float

    @property
    def known(self) -> bool:
        return not (np.isnan(self.ours) or np.isnan(self.limit))

    @property
    def reached(self) -> bool:
        return self.ours <= self.limit


def demands(results: Results, subject: str, problems: list[Problem]) -> list[Row]:
    """The rows for a protocol and a part of the problems."""
    if subject not in results.regrets:
        return []
    rows = (_trial_rows if results.protocol == "S" else _epoch_rows)(results, subject, problems)
    for group in sorted({problem.group for problem in problems}):
        some = [problem for problem in problems if problem.group == group]
        for point in POINTS[results.protocol]:
            ours = mean_regret(results, subject, some, point)
            limit = mean_regret(results, "random", some, point)
            rows.append(Row(f"{group} at {point}: not worse than random", ours, limit))
    return rows


def _least(values: Iterable[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return min(known, default=float("nan"))


def _trial_rows(results: Results, subject: str, problems: list[Problem]) -> list[Row]:
    def mean(name: str, point: int, some: list[Problem] = problems) -> float:
        return mean_regret(results, name, some, point)

    rows = [
        Row("at 10: 25 % below random", mean(subject, 10), 0.75 * mean("random", 10)),
        Row("at 25: 30 % below Optuna's TPE", mean(subject, 25), 0.7 * mean("optuna-tpe", 25)),
        Row("at 50: 50 % below Optuna's TPE", mean(subject, 50), 0.5 * mean("optuna-tpe", 50)),
    ]
    for point in (25, 50):
        best = _least(mean(name, point) for name in GPS)
        rows.append(Row(f"at {point}: 10 % below the best GP", mean(subject, point), 0.9 * best))
    hard = [problem for problem in problems if problem.group in ("conditional", "categorical")]
    for point in (25, 50, 100) if hard else ():
        best = _least(mean(name, point, hard) for name in ("optuna-tpe", "smac", "random"))
        text = f"conditional and categorical at {point}: below TPE, SMAC and random"
        rows.append(Row(text, mean(subject, point, hard), best))
    return rows


def _epoch_rows(results: Results, subject: str, problems: list[Problem]) -> list[Row]:
    def mean(name: str, point: int) -> float:
        return mean_regret(results, name, problems, point)

    rows = []
    final = mean("kt-hyperband", M_TRAININGS[-1])
    points = range(1, M_TRAININGS[-1] + 1)
    reached = next((n for n in points if mean(subject, n) <= final), float("inf"))
    text = "trainings' worth for what Keras Tuner's Hyperband has at 20: at most 10"
    unknown = np.isnan(final) or np.isnan(mean(subject, M_TRAININGS[-1]))
    rows.append(Row(text, reached, float("nan") if unknown else 10.0))
    for point in M_TRAININGS:
        for name in results.regrets:
            if name != "random" and not name.startswith("afina"):
                rows.append(
                    Row(f"at {point}: below {name}", mean(subject, point), mean(name, point))
                )
    return rows


# -- text -----------------------------------------------------------------------------------------


def parts(problems: list[Problem]) -> list[tuple[str, list[Problem]]]:
    """Tuning and held-out problems apart; only those parts that have any."""
    split: list[tuple[str, Callable[[Problem], bool]]] = [
        ("tuning problems", lambda problem: problem.tuning),
        ("held-out problems", lambda problem: not problem.tuning),
    ]
    found = [(title, [p for p in problems if test(p)]) for title, test in split]
    return [(title, some) for title, some in found if some]


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table that is readable as text too."""
    lines = [list(header), *[list(row) for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]

    def text(cells: Sequence[str]) -> str:
        pairs = list(zip(cells, widths, strict=True))
        first, rest = pairs[0], pairs[1:]
        return "| " + " | ".join(
            [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]
        ) + " |"  # fmt: skip

    rule = "|" + "|".join("-" * (w + 1) + (":" if i else "-") for i, w in enumerate(widths)) + "|"
    return "\n".join([text(lines[0]), rule, *(text(line) for line in lines[1:])])


def summary(results: Results, problems: list[Problem]) -> str:
    """Mean regret with intervals, and mean ranks, at each point; best first."""
    points = POINTS[results.protocol]
    names = results.names(problems)
    if not names:
        return "(no contestant has run on all of these problems)"
    ranks = {}
    for point in points:
        able = results.names(problems, point)
        ranks[point] = mean_ranks(results, able, problems, point) if len(able) > 1 else {}
    rows = []
    for name in names:
        seeds = min(len(results.seeds[name][p.name]) for p in problems)
        row = [name, str(seeds)]
        for point in points:
            mean = mean_regret(results, name, problems, point)
            if np.isnan(mean):
                row.append("")
                continue
            low, high = interval(results, name, problems, point)
            row.append(f"{mean:.3f} ({low:.3f}-{high:.3f})")
        row += [f"{ranks[p][name]:.2f}" if name in ranks[p] else "" for p in points]
        row.append(f"{1000 * float(np.mean(results.cost[name])):.1f}")
        order = [mean_regret(results, name, problems, p) for p in reversed(points)]
        rows.append((min((x for x in order if not np.isnan(x)), default=9.0), row))
    rows.sort(key=lambda pair: pair[0])
    header = ["", "seeds", *(f"regret at {p}" for p in points)]
    header += [*(f"rank at {p}" for p in points), "ms a trial"]
    return table(header, [row for _, row in rows])


def by_group(results: Results, problems: list[Problem]) -> str:
    """Mean regret by group of problems, at all points."""
    points = POINTS[results.protocol]
    groups: dict[str, list[Problem]] = {}
    for problem in problems:
        groups.setdefault(problem.group, []).append(problem)
    rows = [
        [name, *(_short(results, name, some, points) for some in groups.values())]
        for name in results.regrets
    ]
    return table(["", *(f"{group} ({len(some)})" for group, some in groups.items())], rows)


def by_problem(results: Results, problems: list[Problem] | None = None) -> str:
    """Mean regret of each problem, a row each, at the second and the last but one point."""
    points = POINTS[results.protocol][1:3]
    rows = []
    for problem in results.problems if problems is None else problems:
        name = problem.name if problem.tuning else f"{problem.name} (held out)"
        rows.append([name, *(_short(results, n, [problem], points) for n in results.regrets)])
    return table([f"at {points[0]} and {points[1]}", *results.regrets], rows)


def _short(results: Results, name: str, some: list[Problem], points: Sequence[int]) -> str:
    means = [mean_regret(results, name, some, point) for point in points]
    return " ".join("-" if np.isnan(mean) else f"{mean:.2f}" for mean in means)


def demand_table(results: Results, subject: str, problems: list[Problem]) -> str:
    """The demands as a table; those whose peers have not run are left out."""
    rows = [
        [row.text, f"{row.ours:.3f}", f"{row.limit:.3f}", "yes" if row.reached else "no"]
        for row in demands(results, subject, problems)
        if row.known
    ]
    for point in POINTS["S"][1:] if results.protocol == "S" else ():
        able = results.names(problems, point)
        ranks = mean_ranks(results, able, problems, point) if len(able) > 1 else {}
        if subject in ranks:
            others = [
                rank for name, rank in ranks.items() if name == subject or "afina" not in name
            ]
            place = sorted(others).index(ranks[subject]) + 1
            text = f"mean rank at {point}: first (of three points, two must be)"
            rows.append([text, str(place), "1", "yes" if place == 1 else "no"])
    return table(["demand", "ours", "limit", "reached"], rows) if rows else "(nothing to compare)"
