from pathlib import Path

import matplotlib.image
import numpy as np

from afina.demos.plots import plot_confusion, plot_curves

MOST_BYTES = 200_000


def check_picture(file: Path) -> None:
    """It is a PNG that shows something, and small enough to lie in a repository."""
    assert file.stat().st_size < MOST_BYTES
    pixels = matplotlib.image.imread(file)[..., :3]
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20


def test_curves_become_a_small_png(tmp_path: Path) -> None:
    names = ("loss", "val_loss", "accuracy", "val_accuracy")
    history = {name: np.random.default_rng(0).random(20).tolist() for name in names}
    plot_curves(history, 7, "curves", tmp_path / "curves.png")
    check_picture(tmp_path / "curves.png")


def test_a_confusion_matrix_of_46_classes_becomes_a_small_png(tmp_path: Path) -> None:
    confusion = np.random.default_rng(0).integers(0, 50, (46, 46))
    confusion[3] = 0  # a class that does not occur
    names = [f"topic-{number}" for number in range(46)]
    plot_confusion(confusion, names, "confusion", tmp_path / "confusion.png")
    check_picture(tmp_path / "confusion.png")


def test_one_epoch_can_be_drawn(tmp_path: Path) -> None:
    history = {name: [0.5] for name in ("loss", "val_loss", "accuracy", "val_accuracy")}
    plot_curves(history, 1, "short", tmp_path / "curves.png")
    check_picture(tmp_path / "curves.png")
