import pytest

from afina.errors import ArgumentError
from afina.search.fidelity.brackets import plan, scaled_sizes

TOTALS = [
    (10, 3, 30, 120),
    (8, 2, 36, 102),
    (27, 3, 70, 375),
    (81, 3, 211, 1767),
    (100, 3, 254, 2672),
    (9, 3, 23, 75),
    (20, 3, 30, 226),
    (30, 3, 90, 576),
    (50, 3, 90, 922),
    (10, 2, 46, 170),
    (100, 4, 161, 1940),
]

ROUNDS = [
    (10, 3, ["12:0-2 4:2-4 2:4-10", "6:0-4 2:4-10", "4:0-10"]),
    (8, 2, ["8:0-1 4:1-2 2:2-4 1:4-8", "6:0-2 3:2-4 2:4-8", "4:0-4 2:4-8", "4:0-8"]),
    (27, 3, ["27:0-1 9:1-3 3:3-9 1:9-27", "12:0-3 4:3-9 2:9-27", "6:0-9 2:9-27", "4:0-27"]),
    (
        81,
        3,
        [
            "81:0-1 27:1-3 9:3-9 3:9-27 1:27-81",
            "34:0-3 12:3-9 4:9-27 2:27-81",
            "15:0-9 5:9-27 2:27-81",
            "8:0-27 3:27-81",
            "5:0-81",
        ],
    ),
    (
        100,
        3,
        [
            "98:0-2 33:2-4 11:4-12 4:12-34 2:34-100",
            "41:0-4 14:4-12 5:12-34 2:34-100",
            "18:0-12 6:12-34 2:34-100",
            "9:0-34 3:34-100",
            "6:0-100",
        ],
    ),
]


@pytest.mark.parametrize(("max_epochs", "factor", "trials", "epochs"), TOTALS)
def test_totals_are_those_of_keras_tuner(max_epochs, factor, trials, epochs):
    brackets = plan(max_epochs, factor)
    assert sum(bracket.trials for bracket in brackets) == trials
    assert sum(bracket.epochs for bracket in brackets) == epochs


@pytest.mark.parametrize(("max_epochs", "factor", "rounds"), ROUNDS)
def test_every_rung_has_the_size_and_epochs_of_keras_tuner(max_epochs, factor, rounds):
    written = [
        " ".join(f"{rung.size}:{rung.start_epoch}-{rung.end_epoch}" for rung in bracket.rungs)
        for bracket in plan(max_epochs, factor)
    ]
    assert written == rounds


@pytest.mark.parametrize("factor", [2, 2.5, 3, 4, 7])
def test_rungs_shrink_and_train_longer_up_to_all_epochs(factor):
    for max_epochs in [*range(1, 130), 243, 1000]:
        brackets = plan(max_epochs, factor)
        assert [bracket.number for bracket in brackets] == list(range(len(brackets)))[::-1]
        for bracket in brackets:
            assert len(bracket.rungs) == bracket.number + 1
            assert bracket.rungs[-1].end_epoch == max_epochs
            assert bracket.rungs[0].start_epoch == 0
            for lower, upper in zip(bracket.rungs, bracket.rungs[1:], strict=False):
                assert lower.size > upper.size >= 1
                assert lower.start_epoch < lower.end_epoch == upper.start_epoch


def test_powers_of_the_factor_get_every_bracket_they_should():
    for factor in (2, 3, 5, 6, 7, 10):
        for power in range(1, 6):
            assert len(plan(factor**power, factor)) == power + 1
            assert len(plan(factor**power - 1, factor)) == power


def test_one_epoch_is_one_bracket_of_plain_random_search():
    (bracket,) = plan(1, 3)
    assert (bracket.number, bracket.trials, bracket.epochs) == (0, 1, 1)


def test_a_bracket_with_too_few_trials_keeps_its_ratio():
    bracket = plan(81, 3)[0]
    assert scaled_sizes(bracket, 81, 3) == (81, 27, 9, 3, 1)
    assert scaled_sizes(bracket, 28, 3) == (28, 10, 4, 2, 1)
    assert scaled_sizes(bracket, 2, 3) == (2, 1, 1, 1, 1)
    assert scaled_sizes(bracket, 0, 3) == (0, 0, 0, 0, 0)


@pytest.mark.parametrize("factor", [1, 1.9, 0, -3, float("nan"), float("inf"), True, "3", None])
def test_a_factor_below_two_is_refused(factor):
    with pytest.raises(ArgumentError, match="factor"):
        plan(10, factor)


@pytest.mark.parametrize("max_epochs", [0, -1, 2.5, float("nan"), True, "10", None])
def test_max_epochs_must_be_a_whole_number(max_epochs):
    with pytest.raises(ArgumentError, match="max_epochs"):
        plan(max_epochs, 3)
