"""Draws Plotly figures with Matplotlib: the same data, for papers and slides."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence
from typing import Any

from afina.errors import ArgumentError
from afina.visualization.panels import columns_of

STEPS = {"hv": "post", "vh": "pre"}
SYMBOLS = {"star": "*", "square": "s"}
WIDE, HIGH, SMALL = 7.0, 4.2, 2.9
"""Inches: of one figure, and the side of one among several."""


def as_matplotlib(figures: Sequence[Any]) -> Any:
    """A `matplotlib.figure.Figure` with the data of these Plotly figures.

    Raises:
        ArgumentError: Matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ArgumentError(
            "engine='matplotlib' needs Matplotlib: pip install 'afina[plot]'."
        ) from error
    columns = columns_of(len(figures))
    rows = math.ceil(len(figures) / columns)
    size = (WIDE, HIGH) if len(figures) == 1 else (SMALL * columns, SMALL * rows * 0.85)
    picture = Figure(figsize=size, layout="constrained")
    every = picture.subplots(rows, columns, squeeze=False).ravel()
    for axes, figure in zip(every, figures, strict=False):
        _Drawing(picture, axes, figure).draw()
    for axes in every[len(figures) :]:
        axes.set_axis_off()
    return picture


class _Drawing:
    """One Plotly figure on Matplotlib's axes."""

    def __init__(self, picture: Any, axes: Any, figure: Any) -> None:
        self.picture, self.axes, self.figure = picture, axes, figure
        self.order = 2.0

    def draw(self) -> None:
        """Draws everything."""
        for shape in self.figure.layout.shapes:
            self.axes.axvspan(shape.x0, shape.x1, color=_colour(shape.fillcolor), lw=0, zorder=0)
        for name in ("x", "y"):
            if self.figure.layout[f"{name}axis"].type == "log":
                getattr(self.axes, f"set_{name}scale")("log")
        for trace in self.figure.data:
            getattr(self, f"_{trace.type}")(trace)
            self.order += 0.1
        for name in ("x", "y"):
            self._axis(name, self.figure.layout[f"{name}axis"])
        for note in self.figure.layout.annotations:
            place = {"transform": self.axes.transAxes, "fontsize": 7, "ha": "right"}
            self.axes.text(0.99, note.y or 0, _text(note.text), va=note.yanchor, **place)
        handles = self.axes.get_legend_handles_labels()[0]
        if self.figure.layout.showlegend is not False and handles:
            self.axes.legend(fontsize=8, frameon=False)
        self.axes.spines[["top", "right"]].set_visible(False)

    def _scatter(self, trace: Any) -> None:
        xs, ys = _numbers(trace.x), _numbers(trace.y)
        mode = trace.mode or "lines"
        label = _label(trace)
        if "lines" in mode:
            shape = trace.line.shape
            line = {"color": _colour(trace.line.color), "lw": (trace.line.width or 2) * 0.75}
            if shape in STEPS:
                line["drawstyle"] = f"steps-{STEPS[shape]}"
            self.axes.plot(xs, ys, label=label, zorder=self.order, **line)
            label = "_nolegend_"
        if "markers" in mode:
            self._points(trace.marker, xs, ys, label)

    def _points(self, marker: Any, xs: list[float], ys: list[float], label: str) -> None:
        size = marker.size or 6
        look: dict[str, Any] = {
            "s": (size * 0.75) ** 2,
            "marker": SYMBOLS.get(marker.symbol, "o"),
            "label": label,
            "zorder": self.order,
            "linewidths": 0.5 if marker.line.width else 0,
            "edgecolors": _colour(marker.line.color) if marker.line.width else "none",
        }
        if isinstance(marker.color, list | tuple):
            scale = "viridis_r" if marker.reversescale else "viridis"
            drawn = self.axes.scatter(xs, ys, c=list(marker.color), cmap=scale, **look)
            bar = self.picture.colorbar(drawn, ax=self.axes)
            bar.set_label(_text(marker.colorbar.title.text))
            return
        opacity = marker.opacity
        if isinstance(opacity, list | tuple):
            look["alpha"] = list(opacity)
        # A colour for each point, as Matplotlib takes several opacities only with several colours.
        self.axes.scatter(xs, ys, c=[_colour(marker.color)] * len(xs), **look)

    def _bar(self, trace: Any) -> None:
        widths = _numbers(trace.x)
        rows = [_text(y) if isinstance(y, str) else y for y in trace.y]
        left = list(trace.base) if trace.base is not None else [0.0] * len(widths)
        colours = trace.marker.color
        listed = isinstance(colours, list | tuple)
        self.axes.barh(
            rows,
            widths,
            left=left,
            color=[_colour(each) for each in colours] if listed else _colour(colours),
            label=_label(trace),
            zorder=self.order,
        )
        if trace.error_x.array is not None:
            ends = [list(trace.error_x.arrayminus), list(trace.error_x.array)]
            colour = _colour(trace.error_x.color)
            self.axes.errorbar(
                widths, rows, xerr=ends, fmt="none", ecolor=colour, lw=1, zorder=self.order + 0.05
            )

    def _contour(self, trace: Any) -> None:
        z = [[math.nan if value is None else value for value in row] for row in trace.z]
        scale = "viridis_r" if trace.reversescale else "viridis"
        ends = {"vmin": trace.zmin, "vmax": trace.zmax, "zorder": self.order}
        self.axes.pcolormesh(
            _numbers(trace.x),
            _numbers(trace.y),
            z,
            cmap=scale,
            alpha=0.75,
            shading="nearest",
            **ends,
        )

    def _parcoords(self, trace: Any) -> None:
        """Each axis has its own scale: lines run between shares of the axes."""
        dimensions = list(trace.dimensions)
        scaled = []
        for place, each in enumerate(dimensions):
            values = _numbers(each.values)
            ticks = [float(tick) for tick in each.tickvals or ()]
            low, high = min([*values, *ticks]), max([*values, *ticks])
            span = (high - low) or 1.0
            scaled.append([(value - low) / span for value in values])
            self.axes.axvline(place, color="#8a8f98", lw=0.8, zorder=3)
            texts = [_text(text) for text in each.ticktext or ()]
            if not ticks:
                ticks, texts = [low, high], [f"{low:.4g}", f"{high:.4g}"]
            for tick, text in zip(ticks, texts, strict=True):
                self.axes.text(
                    place + 0.03, (tick - low) / span, text, fontsize=6.5, va="center", zorder=4
                )
        self._lines(trace.line, scaled)
        self.axes.set_xticks(range(len(dimensions)))
        labels = [_text(each.label) for each in dimensions]
        self.axes.set_xticklabels(labels, rotation=30, ha="right", fontsize=8)
        self.axes.set_yticks([])
        self.axes.spines[["left", "bottom"]].set_visible(False)

    def _lines(self, line: Any, scaled: list[list[float]]) -> None:
        from matplotlib import colormaps
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import LinearSegmentedColormap, Normalize

        levels = [float(level) for level in line.color]
        if line.showscale:
            scale = colormaps["viridis_r" if line.reversescale else "viridis"]
        else:
            ends = [_colour(colour) for _, colour in line.colorscale]
            scale = LinearSegmentedColormap.from_list("marks", ends)
        norm = Normalize(min(levels), max(levels))
        if not line.showscale:
            norm = Normalize(0, 1)
        order = sorted(range(len(levels)), key=levels.__getitem__)
        for at in order:
            colour = scale(norm(levels[at]))
            self.axes.plot([axis[at] for axis in scaled], color=colour, lw=0.8, zorder=2)
        if line.showscale:
            self.picture.colorbar(ScalarMappable(norm, scale), ax=self.axes)

    def _axis(self, name: str, look: Any) -> None:
        if look.title.text:
            getattr(self.axes, f"set_{name}label")(_text(look.title.text))
        axis = getattr(self.axes, f"{name}axis")
        if look.range is not None:
            ends = [10**end for end in look.range] if look.type == "log" else look.range
            getattr(self.axes, f"set_{name}lim")(*ends)
        if look.tickvals is not None:
            axis.set_ticks([float(tick) for tick in look.tickvals])
            axis.set_ticklabels([_text(text) for text in look.ticktext or look.tickvals])
            axis.set_ticks([], minor=True)
        elif look.dtick is not None:
            from matplotlib.ticker import MultipleLocator

            axis.set_major_locator(MultipleLocator(float(look.dtick)))
        if look.tickformat == ".0%":
            from matplotlib.ticker import PercentFormatter

            axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        if look.autorange == "reversed":
            axis.set_inverted(True)


def _numbers(values: Any) -> list[float]:
    """Numbers; None is a gap in a line."""
    return [math.nan if value is None else float(value) for value in values]


def _text(value: Any) -> str:
    """A text of Plotly's, which is escaped for HTML; a dollar sign would start a formula."""
    return html.unescape(str(value)).replace("$", r"\$")


def _label(trace: Any) -> str:
    shown = trace.name and trace.showlegend is not False
    text = _text(trace.name) if shown else ""
    # Matplotlib leaves labels out that begin with an underscore.
    return text.replace("_", "\u200b_", 1) if text.startswith("_") else text or "_nolegend_"


def _colour(value: Any) -> Any:
    """A colour of CSS as Matplotlib takes it."""
    found = re.fullmatch(r"rgba\((\d+),(\d+),(\d+),([\d.]+)\)", str(value).replace(" ", ""))
    if found is None:
        return value
    return (*(int(part) / 255 for part in found.groups()[:3]), float(found[4]))
