"""The pictures of the case studies, as PNG files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from afina.errors import ArgumentError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRAINING, VALIDATION, CHOSEN = "#9aa5b1", "#1f6feb", "#d1495b"


def check_plotting() -> None:
    """Checks for matplotlib now, rather than after minutes of training.

    Raises:
        ArgumentError: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ArgumentError(
            "The case studies need Matplotlib for their figures: pip install 'afina[plot]', or "
            "pip install matplotlib."
        ) from error


def plot_curves(history: Mapping[str, Sequence[float]], epoch: int, title: str, file: Path) -> None:
    """Draws loss and accuracy over the epochs, for training and validation data.

    Args:
        history: Accuracy and loss for each epoch, and the same with the prefix `val_`.
        epoch: The chosen epoch (from 1), which is marked.
        title: The title of the figure.
        file: The PNG file to write.
    """
    from matplotlib.ticker import MaxNLocator

    figure = _figure(9, 3.4)
    figure.suptitle(title)
    for place, name in enumerate(("loss", "accuracy"), start=1):
        axes = figure.add_subplot(1, 2, place)
        epochs = range(1, len(history[name]) + 1)
        axes.plot(epochs, history[name], color=TRAINING, label=name)
        axes.plot(epochs, history[f"val_{name}"], color=VALIDATION, label=f"val_{name}")
        axes.axvline(epoch, color=CHOSEN, linestyle=":", label=f"chosen: epoch {epoch}")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    figure.savefig(file)


def plot_confusion(
    confusion: NDArray[np.int64], names: Sequence[str], title: str, file: Path
) -> None:
    """Draws a confusion matrix, as shares of each row.

    Args:
        confusion: Counts, true class by predicted class.
        names: Names of the classes.
        title: The title of the figure.
        file: The PNG file to write.
    """
    side = 3 + 0.19 * len(names)
    figure = _figure(side + 0.6, side)
    axes = figure.add_subplot()
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    small = 6 if len(names) > 20 else 9
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=small)
    axes.set_yticks(range(len(names)), names, fontsize=small)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(title)
    figure.colorbar(picture, ax=axes, shrink=0.7, label="share of the true class")
    figure.savefig(file)


def _figure(width: float, height: float) -> Figure:
    """A figure, size in inches, that only draws into files: no window, no state of pyplot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure
