"""Figures of a search in Python: those of the report, by Plotly or by Matplotlib.

    tuner, study, project folder ──sources.py──> Facts ──afina.report──> Plotly figures
                                                              │
                     plots.py: one function for each ─────────┼──> panels.py: side by side in one
                                                              └──> as_matplotlib.py: drawn for paper

A figure is made once, as the report shows it. `engine="matplotlib"` draws the same data again.
"""

from __future__ import annotations

from afina.visualization.plots import (
    plot_contour,
    plot_curves,
    plot_edf,
    plot_history,
    plot_importance,
    plot_parallel,
    plot_pareto,
    plot_rungs,
    plot_slices,
    plot_timeline,
)

__all__ = [
    "plot_contour",
    "plot_curves",
    "plot_edf",
    "plot_history",
    "plot_importance",
    "plot_parallel",
    "plot_pareto",
    "plot_rungs",
    "plot_slices",
    "plot_timeline",
]
