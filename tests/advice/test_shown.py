"""What figures show of an advice is what its sentences say."""

from __future__ import annotations

from afina.advice import advice
from afina.advice.shown import shown_importances
from afina.space import Float, Space
from afina.trials import MultiObjective, Objective, Status, Trial

SPACE = Space((Float("a", 0.0, 1.0), Float("b", 0.0, 1.0)))


def trial(number: int, a: float, b: float, *losses: float) -> Trial:
    return Trial(
        number=number,
        values={"a": a, "b": b},
        status=Status.COMPLETED,
        score=sum(losses),
        loss=sum(losses),
        losses=losses if len(losses) > 1 else (),
        ended=number,
    )


def test_figures_show_the_shares_of_the_sentences_and_colour_what_surely_matters() -> None:
    points = [(0.137 * n % 1.0, 0.411 * n % 1.0) for n in range(30)]
    trials = [trial(n, a, b, (a - 0.3) ** 2) for n, (a, b) in enumerate(points)]
    found = advice(trials, SPACE, objective=Objective("loss", "min"))
    [shown] = shown_importances(found)
    assert [share.names[0] for share in shown.single] == ["a", "b"]
    assert [share.clear for share in shown.single] == [True, False]
    lines = [line for line in str(found).splitlines() if "(" in line and " to " in line]
    for share in shown.single:
        [line] = [each for each in lines if each.split()[0] == share.names[0]]
        assert f"{100 * share.share:.0f} %" in line
        assert ("matters" in line) == share.clear


def test_of_equal_results_in_one_objective_the_advice_names_one_on_the_front() -> None:
    whole = MultiObjective([Objective("x", "min"), Objective("y", "min")])
    trials = [trial(0, 0.1, 0.1, 1.0, 5.0), trial(1, 0.2, 0.2, 1.0, 2.0), trial(2, 0.3, 0.3, 3, 1)]
    found = advice(trials, SPACE, objective=whole)
    assert found.front == (1, 2)
    assert [aim.top.number for aim in found.aims if aim.top] == [1, 2]


def test_one_configuration_is_counted_in_the_singular() -> None:
    found = advice([trial(0, 0.1, 0.1, 1.0)], SPACE, objective=Objective("x", "min"))
    assert "1 configurations" not in str(found)
