import csv
from pathlib import Path

import numpy as np
import pytest

from afina.demos.evaluation import (
    best_epoch,
    class_scores,
    confusion_matrix,
    mean_f1,
    overfitting,
    write_scores,
)

TRUE = np.array([0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 1, 1, 0, 0])
NAMES = ("corn", "oil", "tin", "zinc")


def test_a_confusion_matrix_worked_by_hand() -> None:
    expected = [[2, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(confusion_matrix(TRUE, PREDICTED, 4), expected)


def test_class_scores_worked_by_hand() -> None:
    corn, oil, tin, zinc = class_scores(confusion_matrix(TRUE, PREDICTED, 4), NAMES)
    assert (corn.precision, corn.recall, corn.count) == (2 / 4, 2 / 3, 3)
    assert corn.f1 == pytest.approx(4 / 7)
    assert (oil.precision, oil.recall, oil.f1, oil.count) == (1 / 2, 1 / 2, 1 / 2, 2)
    assert (tin.precision, tin.recall, tin.f1, tin.count) == (0.0, 0.0, 0.0, 1)
    assert (zinc.precision, zinc.recall, zinc.f1, zinc.count) == (0.0, 0.0, 0.0, 0)


def test_class_scores_agree_with_scikit_learn() -> None:
    from sklearn.metrics import precision_recall_fscore_support

    rng = np.random.default_rng(0)
    true, predicted = rng.integers(0, 7, (2, 200))
    scores = class_scores(confusion_matrix(true, predicted, 7), "abcdefg")
    expected = precision_recall_fscore_support(true, predicted, labels=range(7))
    ours = [[s.precision, s.recall, s.f1, s.count] for s in scores]
    np.testing.assert_allclose(np.transpose(ours), expected)


def test_mean_f1_leaves_out_classes_that_do_not_occur() -> None:
    scores = class_scores(confusion_matrix(TRUE, PREDICTED, 4), NAMES)
    assert mean_f1(scores) == pytest.approx((4 / 7 + 1 / 2 + 0) / 3)


def test_the_table_is_written_with_one_line_for_each_class(tmp_path: Path) -> None:
    scores = class_scores(confusion_matrix(TRUE, PREDICTED, 4), NAMES)
    write_scores(scores, tmp_path / "classes.csv")
    lines = list(csv.reader((tmp_path / "classes.csv").read_text().splitlines()))
    assert lines[0] == ["class", "precision", "recall", "f1", "count"]
    assert lines[1] == ["corn", "0.5000", "0.6667", "0.5714", "3"]
    assert len(lines) == 5


HISTORY = {
    "accuracy": [0.60, 0.80, 0.95, 0.99],
    "val_accuracy": [0.59, 0.75, 0.80, 0.79],
    "loss": [2.0, 1.0, 0.5, 0.2],
    "val_loss": [2.0, 1.2, 1.1, 1.3],
}


def test_the_best_epoch_is_the_first_with_the_highest_validation_accuracy() -> None:
    assert best_epoch(HISTORY) == 3
    assert best_epoch({"val_accuracy": [0.5, 0.5]}) == 1


@pytest.mark.parametrize(
    ("epoch", "gap", "verdict"),
    [
        (1, "1.0", "does not overfit"),
        (2, "5.0", "overfits a little"),
        (3, "15.0", "overfits: much"),
    ],
)
def test_overfitting_is_said_by_the_gap(epoch: int, gap: str, verdict: str) -> None:
    sentence = overfitting(HISTORY, epoch)
    assert f"a gap of {gap} points" in sentence
    assert verdict in sentence
    assert "lowest after 3 epochs and rises" in sentence


def test_a_loss_that_still_falls_is_said_to_fall() -> None:
    shorter = {name: values[:3] for name, values in HISTORY.items()}
    assert "still falling" in overfitting(shorter, 3)
