"""Halving where there are several objectives."""

from dataclasses import replace

import numpy as np

from afina.search import Hyperband, Situation, Suggestion
from afina.search.fidelity.pareto_rank import pareto_ranks
from afina.testing.toys import sphere_space
from afina.trials import Failure, FailureKind, Status, Trial


def trial(number, *losses):
    if not losses:
        failure = Failure(FailureKind.ERROR, "broken")
        return Trial(number=number, values={}, status=Status.FAILED, failure=failure)
    several = losses if len(losses) > 1 else ()
    return Trial(
        number=number, values={}, status=Status.COMPLETED, loss=sum(losses), losses=several
    )


def best_first(trials):
    ranks = pareto_ranks(trials)
    return sorted(range(len(trials)), key=ranks.__getitem__)


def test_fronts_come_in_turn_and_in_each_the_loneliest_first():
    rows = [(9.0, 9.0), (1.0, 8.0), (2.0, 7.0), (4.0, 3.0), (8.0, 1.0), (9.0, 8.5)]
    trials = [trial(number, *losses) for number, losses in enumerate(rows)]
    assert best_first(trials) == [1, 4, 3, 2, 5, 0]


def test_failed_trials_and_those_that_lack_losses_come_last():
    trials = [trial(0), trial(1, -5.0), trial(2, 3.0, 3.0), trial(3, 1.0, 1.0)]
    assert best_first(trials) == [3, 2, 0, 1]
    assert best_first([]) == []


def test_with_one_objective_the_loss_decides():
    trials = [trial(0, 3.0), trial(1), trial(2, 1.0), trial(3, 3.0)]
    assert best_first(trials) == [2, 0, 3, 1]
    assert pareto_ranks(trials)[0] == pareto_ranks(trials)[3]


def test_hyperband_takes_on_the_best_by_front_of_the_whole_rung():
    """The sum of the losses, which is their `loss`, would take others."""
    rng = np.random.default_rng(0)
    search, space = Hyperband(max_epochs=9, factor=3, seed=0), sphere_space(2)
    state, trials = search.init(), []
    for number in range(search._plan[0].trials):
        answer = search.ask(state, Situation(number=number, space=space))
        assert isinstance(answer, Suggestion)
        asked = Trial(number=number, values=answer.values, schedule=answer.schedule)
        losses = (float(rng.random()), 100 * float(rng.random()))
        done = replace(asked, status=Status.COMPLETED, loss=sum(losses), losses=losses)
        trials.append(done)
        state = search.tell(state, done, space)
    for rung in (0, 1):
        below = [t for t in trials if t.schedule.rung == rung]
        parents = [t.schedule.parent for t in trials if t.schedule.rung == rung + 1]
        best = [below[place].number for place in best_first(below)]
        assert parents == best[: len(parents)]
    by_sum = sorted(trials[:9], key=lambda t: t.loss)
    assert [t.schedule.parent for t in trials[9:12]] != [t.number for t in by_sum[:3]]
