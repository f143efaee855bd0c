"""What the curves of one training say."""

import math
from typing import Any

import pytest

from afina.advice.learning import read_learning

HISTORY = {
    "accuracy": [0.60, 0.80, 0.95, 0.99],
    "val_accuracy": [0.59, 0.75, 0.80, 0.79],
    "loss": [2.0, 1.0, 0.5, 0.2],
    "val_loss": [2.0, 1.2, 1.1, 1.3],
}


def test_the_best_epoch_is_the_first_with_the_best_validation_metric() -> None:
    assert read_learning(HISTORY, "val_accuracy").best_epoch == 3
    assert read_learning({"val_accuracy": [0.5, 0.5]}, "val_accuracy").best_epoch == 1
    assert read_learning(HISTORY, "val_loss").best_epoch == 3
    assert read_learning(HISTORY, "val_accuracy", epoch=2).best_epoch == 2


@pytest.mark.parametrize(
    ("epoch", "gap", "verdict"),
    [
        (1, "1.0", "does not overfit"),
        (2, "5.0", "overfits a little"),
        (3, "15.0", "overfits: much"),
    ],
)
def test_overfitting_is_said_by_the_gap(epoch: int, gap: str, verdict: str) -> None:
    sentence = str(read_learning(HISTORY, "val_accuracy", epoch=epoch))
    assert f"a gap of {gap} points" in sentence
    assert verdict in sentence
    assert "lowest after 3 epochs and rises" in sentence


def test_a_loss_that_still_falls_is_said_to_fall_and_more_epochs_are_advised() -> None:
    shorter = {name: values[:3] for name, values in HISTORY.items()}
    facts = read_learning(shorter, "val_accuracy")
    assert facts.turned is None
    assert "still falling" in str(facts)
    assert any("more epochs" in remedy for remedy in facts.remedies)


def test_who_overfits_is_told_what_to_do() -> None:
    facts = read_learning(HISTORY, "val_accuracy")
    assert facts.turned == 3
    assert any("dropout" in remedy for remedy in facts.remedies)
    assert facts.remedies[0] in facts.advice


@pytest.mark.parametrize(
    ("searched", "said", "unsaid"),
    [
        ({"dropout"}, "Search weight decay too", "Search dropout"),
        ({"weight_decay", "width"}, "Search dropout too", "weight decay."),
        ({"dropout", "weight_decay"}, "whether to widen them", "Search dropout"),
    ],
)
def test_what_was_searched_already_is_not_advised_again(
    searched: set[Any], said: str, unsaid: str
) -> None:
    advice = read_learning(HISTORY, "val_accuracy", searched=searched).advice
    assert said in advice
    assert unsaid not in advice.replace("only weight decay.", "")


def test_who_overfits_a_little_is_advised_what_the_search_has_not_tried() -> None:
    history = {"accuracy": [0.5, 0.94], "val_accuracy": [0.5, 0.9], "val_loss": [2.0, 1.0]}

    def advised(*searched: Any) -> str:
        return read_learning(history, "val_accuracy", searched=searched).advice

    assert "little dropout" in advised()
    assert "little weight decay" in advised("dropout")
    assert "little" not in advised("dropout", "weight_decay")


def test_without_accuracy_the_loss_tells_the_gap() -> None:
    history = {"loss": [4.0, 2.0, 1.0], "val_loss": [4.1, 2.2, 2.0]}
    facts = read_learning(history, "val_loss")
    assert (facts.gap, facts.unit) == (pytest.approx(0.5), "of the loss")
    assert "half" in str(facts) or "50" in str(facts)


def test_what_is_missing_is_said_and_nothing_raises() -> None:
    facts = read_learning({"loss": [1.0, 0.5]}, "val_accuracy")
    assert facts.gap is None
    assert "no validation" in str(facts)
    assert "nothing was trained" in str(read_learning({}, "val_loss"))
    broken = {"loss": [1.0, math.nan], "val_loss": [math.nan, math.nan]}
    assert "no validation" in str(read_learning(broken, "val_loss"))
