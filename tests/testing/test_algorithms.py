"""Each check must catch an algorithm that breaks its promise."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pytest

from afina.search import Done, Grid, Random, Situation, Suggestion, Wait
from afina.space import Space
from afina.testing import algorithms as checks
from afina.testing.toys import finite_loss, finite_space, meet_layers, run, sphere, sphere_space


@dataclass(frozen=True)
class Plain:
    """Draws at random, remembers nothing; the base of everything broken here."""

    seed: int
    name: ClassVar[str] = "plain"
    fixed_settings: ClassVar[frozenset[str]] = frozenset()

    def settings(self):
        return {"seed": self.seed}

    def init(self):
        return ()

    def draw(self, state, situation):
        return situation.space.sample(np.random.default_rng([self.seed, situation.number]))

    def ask(self, state, situation):
        return Suggestion(values=self.draw(state, situation))

    def tell(self, state, trial, space):
        return (*state, trial.loss)


class Unlisted(Plain):
    fixed_settings: ClassVar[frozenset[str]] = frozenset({"factor"})


class OutOfRange(Plain):
    def draw(self, state, situation):
        return dict.fromkeys(super().draw(state, situation), 100.0)


class Inactive(Plain):
    def draw(self, state, situation):
        return {entry.name: entry.default for entry in situation.space}


class Forgetful(Plain):
    def draw(self, state, situation):
        return situation.space.sample(np.random.default_rng())


class Seedless(Plain):
    def draw(self, state, situation):
        return situation.space.sample(np.random.default_rng(situation.number))


class Shifted(Plain):
    def draw(self, state, situation):
        return situation.space.sample(np.random.default_rng(self.seed + situation.number))


class Changing(Plain):
    def init(self):
        return []

    def tell(self, state, trial, space):
        state.append(trial.loss)
        return state


@dataclass(frozen=True)
class Hidden(Plain):
    told: list = field(default_factory=list)

    def tell(self, state, trial, space):
        self.told.append(trial.number)
        return (*state, len(self.told), trial.seconds, id(trial))


class StopsAtFailure(Plain):
    def ask(self, state, situation):
        return Done("failed") if None in state else super().ask(state, situation)


class CrashesAtFailure(Plain):
    def tell(self, state, trial, space):
        return (*state, trial.loss + 1.0)


class Waits(Plain):
    def ask(self, state, situation):
        return Wait()


class Stubborn(Plain):
    def draw(self, state, situation):
        return situation.space.defaults()


@pytest.mark.parametrize(
    ("check", "broken"),
    [
        (checks.check_settings, Unlisted),
        (checks.check_proposals, OutOfRange),
        (checks.check_proposals, Inactive),
        (checks.check_ask_is_pure, Forgetful),
        (checks.check_ask_is_pure, Changing),
        (checks.check_same_seed_same_trials, Forgetful),
        (checks.check_seeds_differ, Seedless),
        (checks.check_seeds_differ, Shifted),
        (checks.check_seeds_differ, Stubborn),
        (checks.check_replay, Forgetful),
        (checks.check_replay, Hidden),
        (checks.check_parallel, Stubborn),
        (checks.check_parallel, Waits),
        (checks.check_failures, StopsAtFailure),
        (checks.check_growing_space, Stubborn),
        (checks.check_exhausts, Plain),
        (checks.check_beats_random, Stubborn),
    ],
)
def test_a_check_catches_the_algorithm_that_breaks_it(check, broken):
    with pytest.raises(AssertionError):
        check(broken)


def test_an_algorithm_that_crashes_at_a_failure_is_caught():
    with pytest.raises(TypeError):
        checks.check_failures(CrashesAtFailure)


def test_plain_random_draws_keep_all_promises_but_those_on_repeats():
    for check in (
        checks.check_settings,
        checks.check_proposals,
        checks.check_ask_is_pure,
        checks.check_same_seed_same_trials,
        checks.check_seeds_differ,
        checks.check_replay,
        checks.check_failures,
    ):
        check(Plain)
    checks.check_growing_space(Plain, exhausts=False)


def test_random_search_does_not_beat_itself():
    with pytest.raises(AssertionError, match="random search"):
        checks.check_beats_random(Random)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_run_keeps_so_many_trials_open(workers):
    most = []

    def watch(state, situation, answer):
        most.append(len(situation.running))

    done = run(Random(1), sphere, sphere_space(2), 20, workers, watch=watch)
    assert max(most) == workers - 1
    assert [t.ended for t in done.trials] == list(range(20))
    assert sorted(t.number for t in done.trials) == list(range(20))


def test_a_run_with_several_workers_ends_trials_out_of_order():
    done = run(Random(1), sphere, sphere_space(2), 20, 4)
    assert [t.number for t in done.trials] != list(range(20))


def test_a_run_grows_the_space_by_what_builds_meet():
    done = run(Grid(), lambda values: 1.0, Space(()), 100, discover=meet_layers)
    assert [len(space) for space in done.spaces[:3]] == [2, 2, 3]
    assert done.trials[0].values == {"layers": 1, "units_0": 8}
    assert done.trials[0].ranges
    assert not done.trials[1].ranges


def test_snapshots_tell_one_from_true_and_nan_equals_nan():
    assert checks.snapshot({"a": 1}) != checks.snapshot({"a": True})
    assert checks.snapshot([float("nan")]) == checks.snapshot([float("nan")])
    assert checks.snapshot(np.array([1.0])) != checks.snapshot(np.array([1]))
    situation = Situation(number=1, space=finite_space())
    assert checks.snapshot(situation) != checks.snapshot(Situation(number=2, space=finite_space()))


def test_the_finite_toy_has_no_ties():
    done = run(Grid(), finite_loss, finite_space(), 100)
    assert len({t.loss for t in done.trials}) == 18
