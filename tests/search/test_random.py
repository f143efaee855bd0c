import math
from collections import Counter

import numpy as np
import pytest

from afina.errors import ArgumentError
from afina.search import Done, Random, Situation, Wait
from afina.search.untried import (
    LIST_LIMIT,
    PATIENT_DRAWS,
    QUICK_DRAWS,
    TriedKeys,
    draw_untried,
    key_of,
    keys_of,
)
from afina.space import Boolean, Choice, Fixed, Float, Int, Space, serialize
from afina.testing.toys import (
    conditional_space,
    finite_loss,
    finite_space,
    run,
    sphere,
    sphere_space,
)
from afina.trials import Status, Trial


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("workers", [1, 5])
def test_all_combinations_are_found_and_then_it_says_so(seed, workers):
    done = run(Random(seed), finite_loss, finite_space(), 30, workers)
    assert len({tuple(t.values.items()) for t in done.trials}) == len(done.trials) == 18
    assert done.done == Done("all 18 combinations have been tried")


@pytest.mark.parametrize("workers", [2, 3, 8])
@pytest.mark.parametrize("space", [finite_space(), conditional_space(), sphere_space(3)])
def test_a_number_has_the_same_configuration_whoever_ends_first(space, workers):
    def by_number(done):
        return [dict(t.values) for t in sorted(done.trials, key=lambda t: t.number)]

    alone = by_number(run(Random(1), lambda values: 1.0, space, 40))
    for seed in range(5):
        together = run(Random(1), lambda values: 1.0, space, 40, workers, seed=seed)
        assert by_number(together) == alone


def test_the_first_trial_is_drawn_too():
    firsts = Counter(
        Random(seed)
        .ask(Random(seed).init(), Situation(number=0, space=finite_space()))
        .values["units"]
        for seed in range(60)
    )
    assert set(firsts) == {16, 32, 64}


def test_the_last_combinations_are_drawn_evenly():
    space = Space((Int("a", 0, 99),))
    search = Random(seed=0)
    left = {3, 50, 97}
    tried = [Trial(number=i, values={"a": i}, status=Status.FAILED) for i in range(100)]
    state = search.init()
    for trial in tried:
        if trial.values["a"] not in left:
            state = search.tell(state, trial, space)
    found = Counter(
        search.ask(state, Situation(number=n, space=space)).values["a"] for n in range(300)
    )
    assert set(found) == left
    assert min(found.values()) > 70


def test_neighbouring_seeds_are_not_shifted_copies():
    draws = {
        seed: {t.values["x0"] for t in run(Random(seed), sphere, sphere_space(4), 30).trials}
        for seed in range(6)
    }
    assert len(set.union(*draws.values())) == 6 * 30


def test_numbers_are_drawn_evenly_over_their_range():
    xs = sorted(t.values["x0"] for t in run(Random(3), sphere, sphere_space(1), 400).trials)
    steps = np.linspace(-1, 1, 400)
    assert max(abs(x - s) / 2 for x, s in zip(xs, steps, strict=True)) < 1.63 / math.sqrt(400)


def test_a_space_of_one_combination_ends_after_it():
    space = Space((Fixed("a", 1), Choice("b", ["x"])))
    done = run(Random(1), lambda values: 1.0, space, 10)
    assert len(done.trials) == 1
    assert done.done == Done("the only combination has been tried")


def test_it_waits_for_a_trial_that_may_discover_more():
    search, space = Random(1), Space(())
    running = (Trial(number=0, values={}),)
    asked = search.ask(search.init(), Situation(number=1, space=space, running=running))
    assert asked == Wait()


def test_a_space_too_large_to_list_is_given_up_after_many_vain_draws():
    asked = []
    space = Space(tuple(Int(f"n{i}", 1, 100) for i in range(3)))
    assert draw_untried(space, np.random.default_rng(1), lambda key: not asked.append(key)) is None
    assert len(asked) == QUICK_DRAWS + PATIENT_DRAWS
    assert len(set(asked)) > 1000


def test_old_trials_keep_their_key_when_the_space_grows():
    small, large = Space((Boolean("a"),)), Space((Boolean("a"), Int("b", 1, 3)))
    search = Random(1)
    state = search.tell(search.init(), Trial(number=0, values={"a": True}), small)
    found = set()
    for number in range(1, 6):
        values = search.ask(state, Situation(number=number, space=large)).values
        found.add((values["a"], values["b"]))
        state = search.tell(state, Trial(number=number, values=values), large)
    # The old trial stands for a=True with b at its default.
    assert found == {(a, b) for a in (True, False) for b in (1, 2, 3)} - {(True, 1)}
    assert isinstance(search.ask(state, Situation(number=6, space=large)), Done)


def test_one_and_true_are_different_values():
    one, true = Space((Choice("a", [0, 1]),)), Space((Boolean("a"),))
    assert key_of({"a": 1}, one) != key_of({"a": True}, true)


def test_a_configuration_that_a_narrower_build_folds_is_not_proposed_again():
    space = Space((Choice("a", [4, 2]), Int("b", 1, 4)))
    narrow = serialize(Int("b", 1, 2))
    trials = [
        Trial(number=0, values={"a": 2, "b": 1}, ranges=(narrow,)),
        Trial(number=1, values={"a": 2, "b": 2}, ranges=(narrow,)),
    ]
    keys = {key for trial in trials for key in keys_of(trial, space)}
    assert keys == {key_of({"a": 2, "b": b}, space) for b in (1, 2, 3, 4)}


def test_a_large_finite_space_is_not_listed():
    space = Space(tuple(Int(f"n{i}", 1, 10) for i in range(6)))
    assert space.size() > LIST_LIMIT
    assert len(run(Random(1), sphere, space, 200).trials) == 200


def test_tried_keeps_every_key_and_never_changes():
    tried, snapshots = TriedKeys(), []
    for n in range(300):
        snapshots.append(tried)
        tried = tried.add([n, n // 2])
    assert all(n in tried for n in range(300))
    assert all(n not in old for n, old in enumerate(snapshots))
    assert len(tried.parts) < 12


@pytest.mark.parametrize("seed", [-1, 1.5, "1", None, True])
def test_a_seed_must_be_a_whole_number_from_zero(seed):
    with pytest.raises(ArgumentError, match="seed"):
        Random(seed)


def test_draws_follow_what_users_believe_and_exclude_nothing():
    space = Space(
        (
            Choice("kind", ["a", "b", "c"], prior={"a": 0.9, "b": 0.05, "c": 0.05}),
            Float("rate", 1e-5, 1e-1, sampling="log", prior=(1e-3, 3)),
            Int("units", 1, 100),
        )
    )
    search = Random(seed=0)
    trials = [
        search.ask(search.init(), Situation(number=number, space=space)).values
        for number in range(300)
    ]
    kinds = [values["kind"] for values in trials]
    assert kinds.count("a") > 200
    assert set(kinds) == {"a", "b", "c"}
    assert sum(1e-4 < values["rate"] < 1e-2 for values in trials) > 200
    assert 40 < np.mean([values["units"] for values in trials]) < 60
