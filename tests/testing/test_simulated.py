"""Many workers on virtual time: algorithms keep them busy, and the same search comes out again."""

from typing import Any

import pytest

from afina.search import TPE, Algorithm, AsynchronousHalving, Hyperband, Random
from afina.space import HyperParameters
from afina.store import MemoryStore
from afina.study.state import SearchState
from afina.testing.simulated import Simulation, simulate
from afina.trials import Objective, Trial


def searched(algorithm: Algorithm[Any], workers: int, trials: int | None) -> Simulation:
    hp = HyperParameters()
    hp.Float("x", -1.0, 1.0)
    hp.Int("n", 1, 100)
    state = SearchState(
        algorithm=algorithm,
        objective=Objective("loss", "min"),
        hp=hp,
        store=MemoryStore(),
        seed=0,
        max_trials=trials,
    )
    return simulate(state, loss, workers=workers)


def loss(trial: Trial) -> float:
    return float(trial.values["x"] ** 2 + trial.values["n"] / (100 * (1 + (trial.end_epoch or 1))))


def test_two_trials_on_two_workers_take_as_long_as_the_longer_one() -> None:
    hp = HyperParameters()
    hp.Float("x", -1.0, 1.0)
    options = {"objective": Objective("loss", "min"), "hp": hp, "seed": 0, "max_trials": 3}
    state = SearchState(algorithm=Random(seed=0), store=MemoryStore(), **options)
    done = simulate(state, lambda trial: 1.0, workers=2, seconds=lambda t: 1.0 + t.number)
    # 0 and 1 begin at 0; 2 begins at 1, when nothing is left to begin, and ends at 4.
    assert (done.seconds, done.ended, done.busy) == (4.0, (0, 1, 2), 1.0)


@pytest.mark.first("random", "tpe")
@pytest.mark.parametrize(
    ("algorithm", "workers", "trials"),
    [
        (Random(seed=1), 300, 900),
        (AsynchronousHalving(seed=1, max_epochs=27), 300, 900),
        (TPE(seed=1), 30, 90),
    ],
    ids=["random", "asha", "tpe"],
)
def test_many_workers_are_kept_busy_and_the_search_is_the_same_again(
    algorithm: Algorithm[Any], workers: int, trials: int
) -> None:
    first, again = (searched(algorithm, workers, trials) for _ in range(2))
    assert first == again
    assert len(first.trials) == trials
    assert first.busy == pytest.approx(1.0)
    assert first.ended != tuple(range(trials)), "they ended in order: no test"


def test_workers_that_wait_for_a_rung_are_not_counted_as_busy() -> None:
    algorithm = Hyperband(seed=1, max_epochs=9, factor=3)
    many, one = searched(algorithm, 100, None), searched(algorithm, 1, None)
    assert len(many.trials) == len(one.trials)
    assert one.busy == pytest.approx(1.0)
    assert many.busy < 0.5
