import itertools

import pytest

from afina.errors import ArgumentError
from afina.search import Done, Grid, Situation, Suggestion, Wait
from afina.space import Boolean, Choice, Fixed, Float, Int, Parent, Space, serialize
from afina.testing.toys import (
    conditional_loss,
    conditional_space,
    finite_space,
    meet_layers,
    run,
)
from afina.trials import Status, Trial


def flat(values):
    return 1.0


def order(space, trials=1000, **options):
    done = run(Grid(), flat, space, trials, **options)
    return [tuple(t.values.values()) for t in sorted(done.trials, key=lambda t: t.number)]


def test_the_last_entry_changes_fastest_and_defaults_come_first():
    space = Space((Choice("a", ["x", "y", "z"], default="y"), Int("b", 1, 3), Boolean("c")))
    expected = list(itertools.product(["y", "x", "z"], [1, 2, 3], [False, True]))
    assert order(space) == expected


def test_a_boolean_begins_with_its_default():
    assert order(Space((Boolean("a", default=True),))) == [(True,), (False,)]


def test_fixed_entries_stay():
    space = Space((Fixed("a", 3), Boolean("b"), Fixed("c", "x")))
    assert order(space) == [(3, False, "x"), (3, True, "x")]


def test_a_number_without_step_gives_its_default_and_ten_samples():
    values = [v for (v,) in order(Space((Float("a", 0.0, 1.0, default=0.33),)))]
    assert len(set(values)) == len(values) == 11
    assert values[0] == 0.33
    assert values[1:] == sorted(values[1:])


def test_children_of_a_condition_vary_only_where_they_are_active():
    space = Space(
        (
            Choice("kind", ["a", "b"]),
            Int("depth", 1, 2, conditions=(Parent("kind", ["b"]),)),
            Boolean("bias", conditions=(Parent("kind", ["b"]), Parent("depth", [2]))),
            Choice("rate", [10, 20]),
        )
    )
    done = run(Grid(), flat, space, 100)
    assert [dict(t.values) for t in done.trials] == [
        {"kind": "a", "rate": 10},
        {"kind": "a", "rate": 20},
        {"kind": "b", "depth": 1, "rate": 10},
        {"kind": "b", "depth": 1, "rate": 20},
        {"kind": "b", "depth": 2, "bias": False, "rate": 10},
        {"kind": "b", "depth": 2, "bias": False, "rate": 20},
        {"kind": "b", "depth": 2, "bias": True, "rate": 10},
        {"kind": "b", "depth": 2, "bias": True, "rate": 20},
    ]
    assert done.done == Done("all 8 combinations have been tried")


@pytest.mark.parametrize("workers", [1, 2, 4, 9])
@pytest.mark.parametrize("space", [finite_space(), conditional_space()])
def test_workers_share_the_grid_without_gaps_or_repeats(space, workers):
    alone = order(space)
    for seed in range(4):
        together = order(space, workers=workers, seed=seed)
        assert len(together) == len(set(together)) == len(alone) == space.size()
        assert set(together) == set(alone)


@pytest.mark.parametrize("workers", [1, 3])
def test_entries_that_builds_discover_are_searched_below_them(workers):
    done = run(Grid(), flat, Space(()), 100, workers, discover=meet_layers)
    found = {tuple(sorted(t.values.items())) for t in done.trials}
    assert len(found) == len(done.trials) == 2 + 4 + 8


def test_an_entry_without_condition_is_varied_only_from_the_build_that_met_it():
    # The habit of `for i in range(hp.Int("layers", 1, 3)): hp.Choice(f"units_{i}", ...)`.
    def build(values):
        count = values.get("layers", 1)
        return [Int("layers", 1, 3), *(Choice(f"units_{i}", [8, 16]) for i in range(count))]

    done = run(Grid(), flat, Space(()), 100, discover=build)
    assert len(done.trials) == 2 + 4 + 8
    assert [t.values["layers"] for t in done.trials] == [1] * 2 + [2] * 4 + [3] * 8


def test_a_trial_varies_over_its_own_ranges():
    space = Space((Choice("a", [2, 4]), Int("b", 1, 4)))

    def build(trial):
        top = trial.values["a"]
        own = Int("b", 1, top)
        narrow = (serialize(own),) if top != 4 else ()
        values = {"a": top, "b": trial.values["b"] if trial.values["b"] <= top else 1}
        return Trial(
            number=trial.number, values=values, status=Status.COMPLETED, loss=1.0, ranges=narrow
        )

    grid, state, seen = Grid(), Grid().init(), []
    for number in range(20):
        answer = grid.ask(state, Situation(number=number, space=space))
        if isinstance(answer, Done):
            break
        trial = build(Trial(number=number, values=answer.values))
        seen.append((trial.values["a"], trial.values["b"]))
        state = grid.tell(state, trial, space)
    assert seen == [(2, 1), (2, 2), (4, 1), (4, 2), (4, 3), (4, 4)]


def test_a_default_outside_a_builds_own_range_ends_neither_in_a_loop_nor_in_a_gap():
    # b's default is 4, but with a=2 the build folds it into 1..2.
    space = Space((Choice("a", [4, 2]), Int("b", 1, 4, default=4)))
    narrow = Int("b", 1, 2, default=1)
    grid, state, seen = Grid(), Grid().init(), []
    for number in range(20):
        answer = grid.ask(state, Situation(number=number, space=space))
        if isinstance(answer, Done):
            break
        values, ranges = dict(answer.values), ()
        if values["a"] == 2:
            ranges = (serialize(narrow),)
            if not narrow.contains(values["b"]):
                values["b"] = narrow.fold(values["b"])
        seen.append((values["a"], values["b"]))
        trial = Trial(number=number, values=values, status=Status.COMPLETED, ranges=ranges)
        state = grid.tell(state, trial, space)
    assert sorted(seen) == [(2, 1), (2, 2), (4, 1), (4, 2), (4, 3), (4, 4)]


def test_failed_trials_do_not_cut_off_what_is_below_them():
    def broken(values):
        raise RuntimeError("always")

    done = run(Grid(), broken, finite_space(), 30)
    assert len(done.trials) == 18


def test_a_trial_that_is_run_again_is_not_proposed_a_second_time():
    space = Space((Choice("a", [1, 2, 3]),))
    grid = Grid()
    state = grid.tell(grid.init(), Trial(number=0, values={"a": 1}, ended=0), space)
    killed = Trial(number=1, values={"a": 2}, status=Status.WAITING)
    asked = grid.ask(state, Situation(number=2, space=space, running=(killed,)))
    assert asked == Suggestion(values={"a": 3})


def ask_beside(grid, state, space, running):
    situation = Situation(number=len(running), space=space, running=tuple(running))
    return grid.ask(state, situation)


def test_it_waits_while_no_combination_is_left_but_running_trials_may_reveal_more():
    space = Space((Boolean("a"),))
    grid = Grid()
    running = [
        Trial(number=0, values={"a": False}),
        Trial(number=1, values={"a": True}),
    ]
    assert ask_beside(grid, grid.init(), space, running) == Wait()


def test_other_workers_get_combinations_while_the_first_trial_runs():
    space = finite_space()
    grid = Grid()
    running = []
    while isinstance(asked := ask_beside(grid, grid.init(), space, running), Suggestion):
        running.append(Trial(number=len(running), values=asked.values))
    assert len({tuple(trial.values.items()) for trial in running}) == len(running) > 3


@pytest.mark.parametrize("first_ends", [0, 2, 5])
def test_a_grid_begun_by_several_workers_tries_every_combination_once(first_ends):
    space = finite_space()
    grid = Grid()
    state, running, seen = grid.init(), [], []
    while True:
        asked = grid.ask(state, Situation(number=len(seen), space=space, running=tuple(running)))
        if isinstance(asked, Suggestion):
            trial = Trial(number=len(seen), values=asked.values)
            seen.append(tuple(asked.values.items()))
            running.append(trial)
            if len(running) < 6:
                continue
        elif isinstance(asked, Done):
            break
        # The first trial is one of the last to end where `first_ends` is not 0.
        ends = running.pop(min(first_ends, len(running) - 1))
        state = grid.tell(state, ends, space)
    assert len(seen) == len(set(seen)) == 18


def test_what_the_first_trial_reveals_is_varied_below_children_that_ended_before_it():
    narrow, wide = Space((Boolean("a"),)), Space((Boolean("a"), Choice("b", [1, 2])))
    grid = Grid()
    child = Trial(number=1, values={"a": True})
    state = grid.tell(grid.init(), child, narrow)
    state = grid.tell(state, Trial(number=0, values={"a": False, "b": 1}), wide)
    left = []
    while isinstance(asked := grid.ask(state, Situation(number=9, space=wide)), Suggestion):
        left.append(asked.values)
        state = grid.tell(state, Trial(number=2 + len(left), values=asked.values), wide)
    assert {"a": False, "b": 2} in left
    assert {"a": True, "b": 2} in left
    assert len(left) == 2


def test_a_huge_entry_is_not_laid_out_in_memory():
    space = Space((Int("a", 1, 100_000), Boolean("b")))
    done = run(Grid(), flat, space, 30)
    assert len(done.state.frontier) <= 2


def test_values_of_a_trial_that_nobody_proposed_are_left_alone():
    space = Space((Choice("a", [1, 2]), Choice("b", [1, 2])))
    grid = Grid()
    state = grid.tell(grid.init(), Trial(number=0, values={"a": 1, "b": 1}), space)
    assert grid.tell(state, Trial(number=1, values={"a": 7, "b": 7}), space) == state


def test_the_conditional_toy_is_searched_in_full():
    best = run(Grid(), conditional_loss, conditional_space(), 100).best
    assert best == pytest.approx(0.6)


def test_a_grid_of_too_many_values_to_list_is_refused():
    search = Grid()
    space = Space((Int("seed", 0, 10**8),))
    with pytest.raises(ArgumentError, match=r"'seed' with 100,000,001.*Give it a step"):
        search.ask(search.init(), Situation(number=0, space=space))
