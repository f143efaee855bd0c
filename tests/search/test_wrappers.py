from dataclasses import dataclass
from typing import Any

import pytest

from afina.advice import Narrowing
from afina.errors import ArgumentError
from afina.search import (
    TPE,
    Algorithm,
    Auto,
    Done,
    Grid,
    Hyperband,
    Informed,
    ModelBasedHalving,
    Random,
    Situation,
    StartFrom,
    Suggestion,
    Wrapper,
)
from afina.search.base import check_algorithm
from afina.search.wrappers import innermost, reseeded
from afina.space import Float, Space
from afina.testing import check_algorithm as check_promises
from afina.testing.toys import conditional_loss, conditional_space, run, sphere, sphere_space
from afina.trials import Decision, Status, Trial

OLD = (
    Trial(number=0, values={"x0": 0.5, "x1": 0.5}, status=Status.COMPLETED, score=0.1, loss=0.1),
    Trial(number=1, values={"x0": -1.0, "x1": 0.0}, status=Status.COMPLETED, score=2.0, loss=2.0),
)
POINTS = [{"x0": 0.25}, {"x1": 0.75}]


@dataclass(frozen=True)
class Plain(Wrapper[Any]):
    """Adds nothing."""

    inner: Algorithm[Any]


@dataclass(frozen=True)
class Stopping(Algorithm[int]):
    """Stops every training; its state is the number of finished trials."""

    @property
    def name(self):
        return "stopping"

    def settings(self):
        return {}

    def init(self):
        return 0

    def ask(self, state, situation):
        return Suggestion(values=situation.space.defaults())

    def tell(self, state, trial, space):
        return state + 1

    def stop_early(self, state, trial, curve):
        assert isinstance(state, int), "it must see its own state"
        return Decision.STOP


WRAPPED = {
    "nothing": Plain,
    "points": lambda inner: StartFrom(inner, POINTS),
    "earlier trials": lambda inner: Informed(inner, OLD, sphere_space(2)),
    "narrowing": lambda inner: Narrowing(inner, every=10),
    "two of them": lambda inner: Informed(StartFrom(inner, POINTS), OLD, sphere_space(2)),
}
wrapped = pytest.mark.parametrize("wrap", list(WRAPPED.values()), ids=list(WRAPPED))


def proposals(algorithm, trials=14):
    done = run(algorithm, conditional_loss, conditional_space(), trials, 2)
    return [dict(trial.values) for trial in done.trials]


def test_a_wrapper_that_adds_nothing_is_the_algorithm_inside():
    assert proposals(Plain(TPE(seed=4))) == proposals(TPE(seed=4))
    assert Plain(TPE(seed=4)).settings() == TPE(seed=4).settings()
    check_promises(lambda seed: Plain(Random(seed=seed)), trials=12)


@wrapped
def test_a_wrapped_search_keeps_the_name_and_the_settings_of_the_one_inside(wrap):
    inner = Hyperband(max_epochs=9, seed=3)
    algorithm = wrap(inner)
    assert algorithm.name == "hyperband"
    assert inner.settings().items() <= algorithm.settings().items()
    own = algorithm.settings().keys() - inner.settings().keys()
    assert algorithm.fixed_settings == inner.fixed_settings | own


@wrapped
def test_a_training_is_stopped_early_as_the_algorithm_inside_decides(wrap):
    trial = Trial(number=5, values={"x0": 0.0, "x1": 0.0})
    stopping, going = wrap(Stopping()), wrap(Random())
    assert stopping.stop_early(stopping.init(), trial, (1.0,)) is Decision.STOP
    assert going.stop_early(going.init(), trial, (1.0,)) is Decision.CONTINUE


def test_no_algorithm_but_those_with_an_early_stopper_stops_a_training():
    trial = Trial(number=5, values={"x0": 0.0, "x1": 0.0})
    for algorithm in (Random(), Grid(), TPE(), Hyperband(), Auto(), Auto(max_epochs=27)):
        state = algorithm.init()
        assert algorithm.stop_early(state, trial, (1.0,) * 8) is Decision.CONTINUE
    overriding = {type(ModelBasedHalving()), Auto}
    assert all(kind.stop_early is not Algorithm.stop_early for kind in overriding)


@pytest.mark.parametrize(
    "inner",
    [Grid(), Plain(Grid()), Informed(Grid(), OLD, sphere_space(2))],
    ids=["grid", "wrapped", "informed"],
)
def test_a_grid_has_its_own_order_also_inside_wrappers(inner):
    with pytest.raises(ArgumentError, match="start_from: must go with an algorithm that draws"):
        StartFrom(inner, POINTS)
    with pytest.raises(ArgumentError, match="narrow: must go with an algorithm that draws"):
        Narrowing(inner, every=10)


@pytest.mark.parametrize("wrong", [TPE, "tpe", None, 3])
@pytest.mark.parametrize("around", ["points", "earlier trials", "narrowing"])
def test_what_is_wrapped_must_be_an_algorithm(around, wrong):
    with pytest.raises(ArgumentError, match=r"algorithm: must be an algorithm, such as"):
        WRAPPED[around](wrong)


@wrapped
def test_another_seed_reaches_the_algorithm_inside(wrap):
    algorithm = reseeded(wrap(TPE(seed=1)), 8)
    assert innermost(algorithm) == TPE(seed=8)
    assert algorithm == wrap(TPE(seed=8))


def test_an_algorithm_without_a_seed_stays_as_it_is():
    assert reseeded(Plain(Grid()), 8) == Plain(Grid())


def test_what_lacks_a_method_is_told_where_to_inherit_it():
    class Alone:
        ask = tell = init = settings = Random.ask

    with pytest.raises(
        ArgumentError, match=r"no stop_early: inherit from afina\.search\.Algorithm"
    ):
        check_algorithm(Alone())


def test_an_algorithm_needs_no_more_than_a_name_settings_and_three_steps():
    class Middle(Algorithm[int]):
        name = "middle"

        def settings(self):
            return {}

        def init(self):
            return 0

        def ask(self, state, situation):
            if state + len(situation.running):
                return Done("one is enough")
            return Suggestion(values={"x": 0.5})

        def tell(self, state, trial, space):
            return state + 1

    middle = Middle()
    check_algorithm(middle)
    done = run(middle, sphere, Space((Float("x", 0.0, 1.0),)), 5)
    assert [dict(trial.values) for trial in done.trials] == [{"x": 0.5}]
    assert not middle.order_independent
    assert middle.fixed_settings == frozenset()
    assert middle.stop_early(1, done.trials[0], (0.1,)) is Decision.CONTINUE


def test_what_inherits_but_lacks_a_step_cannot_be_made():
    class Half(Algorithm[int]):
        name = "half"

        def settings(self):
            return {}

    with pytest.raises(TypeError, match="abstract"):
        Half()


def test_informed_needs_nobody_to_tell_it_of_the_earlier_trials():
    algorithm = Informed(TPE(seed=2), OLD, sphere_space(2))
    assert algorithm.init().finished == 2
    situation = Situation(number=0, space=sphere_space(2))
    assert isinstance(algorithm.ask(algorithm.init(), situation), Suggestion)
