"""The curves of regret as pictures: one file a protocol, a panel a part or group of problems."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tables
from problem import Problem
from tables import Results

STYLES = ("-", "--", ":", "-.")


def draw(results: Results, path: Path) -> None:
    """Mean regret, on a log scale, by trials or by full trainings' worth of epochs."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    panels = tables.parts(results.problems)
    groups = dict.fromkeys(problem.group for problem in results.problems)
    if len(groups) > 1:
        panels += [(g, [p for p in results.problems if p.group == g]) for g in groups]
    panels = [
        (title, some)
        for title, some in panels
        if any(mean_curve(results, name, some) is not None for name in results.regrets)
    ]
    if not panels:
        return
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(5 * columns, 3.6 * rows), squeeze=False, layout="constrained"
    )
    what = "trials" if results.protocol == "S" else "epochs, in full trainings"
    for axis, (title, some) in zip(axes.flat, panels, strict=False):
        for place, name in enumerate(results.regrets):
            curve = mean_curve(results, name, some)
            if curve is None:
                continue
            ours = name.startswith("afina")
            axis.plot(
                np.arange(1, len(curve) + 1),
                np.maximum(curve, 1e-3),
                STYLES[place // 10 % len(STYLES)] if not ours else "-",
                color=f"C{place % 10}" if name != "random" else "black",
                linewidth=2.2 if ours else 1.1,
                label=name,
            )
        axis.set(title=f"{title} ({len(some)})", yscale="log", xlabel=what)
        axis.grid(alpha=0.3)
    for axis in axes.flat[len(panels) :]:
        axis.axis("off")
    for axis in axes[:, 0]:
        axis.set_ylabel("mean normalised regret")
    lines = {line.get_label(): line for axis in axes.flat for line in axis.get_lines()}
    figure.legend(lines.values(), lines.keys(), loc="outside right upper", fontsize=8)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def mean_curve(results: Results, name: str, problems: list[Problem]) -> np.ndarray | None:
    """The mean over seeds, then problems, as far as all runs go; None where one is missing."""
    found = results.regrets[name]
    if any(problem.name not in found for problem in problems):
        return None
    means = [found[problem.name].mean(axis=0) for problem in problems]
    length = min(map(len, means))
    return np.mean([mean[:length] for mean in means], axis=0)  # type: ignore[no-any-return]
