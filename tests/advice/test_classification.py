import csv
from pathlib import Path

import numpy as np
import pytest

from afina.advice.classification import (
    class_scores,
    confusion_matrix,
    mean_f1,
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
