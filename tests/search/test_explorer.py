"""What is tried in a space of branches when a search has stalled."""

import dataclasses

import numpy as np

from afina.search import Auto, BayesianOptimization, Situation
from afina.search.explorer import (
    Branch,
    below,
    dividing,
    emptiest,
    explored,
    leaves_best,
    stalled_for,
)
from afina.search.observation import Observation
from afina.space import Boolean, Choice, Constraint, Float, Int, Parent, Space
from afina.testing.toys import run


def families():
    """An easy family of three numbers, and one that is better where a number is small."""
    easy, good = [Parent("kind", "easy")], [Parent("kind", "good")]
    return Space(
        (
            Choice("kind", ["easy", "good"]),
            Float("a", 0.0, 1.0, conditions=easy),
            Float("b", 0.0, 1.0, conditions=easy),
            Float("c", 0.0, 1.0, conditions=easy),
            Float("depth", 0.0, 1.0, conditions=good),
            Float("width", 0.0, 1.0, conditions=good),
        )
    )


def hidden(values):
    """Flat where it is easy; the other family is better in a tenth of it."""
    if values["kind"] == "easy":
        return 0.2 + 0.01 * (values["a"] - 0.7) ** 2
    far = max(abs(values["depth"] - 0.3), abs(values["width"] - 0.8))
    return 0.1 + 0.1 * min(far / 0.25, 1.0) + 0.2 * far


def observed(*trials):
    return tuple(
        Observation(tuple(values.items()), loss, (), number)
        for number, (values, loss) in enumerate(trials)
    )


def test_branches_are_the_values_of_a_choice_that_activates_other_entries():
    at = [Parent("kind", "a")]
    kind, rate = Choice("kind", ["a", "b"]), Float("rate", 0.0, 1.0)
    assert dividing(Space((kind, rate))) == ()
    assert dividing(Space((kind, rate, Int("n", 1, 9, conditions=at)))) == (kind,)
    switch = Boolean("use")
    inside = Float("dropout", 0.0, 1.0, conditions=[Parent("use", True)])
    assert dividing(Space((switch, inside))) == (switch,)
    ordered = Choice("layers", [1, 2], ordered=True)
    second = Int("units", 1, 9, conditions=[Parent("layers", 2)])
    assert dividing(Space((ordered, second))) == ()


def test_a_branch_has_no_entries_of_other_branches_or_of_their_parts():
    a, b = [Parent("kind", "a")], [Parent("kind", "b")]
    space = Space(
        (
            Choice("kind", ["a", "b"]),
            Boolean("norm", conditions=a),
            Float("momentum", 0.0, 1.0, conditions=[*a, Parent("norm", True)]),
            Float("part", 0.0, 1.0, conditions=[Parent("norm", True)]),
            Float("width", 0.0, 1.0, conditions=b),
            Float("rate", 0.0, 1.0),
        )
    )
    root = dividing(space)[0]
    assert [entry.name for entry in below(space, root, "b")] == ["kind", "width", "rate"]
    assert [entry.name for entry in below(space, root, "a")] == [
        *("kind", "norm", "momentum", "part", "rate")
    ]
    assert below(space, root, "b").defaults()["kind"] == "b"


def test_an_explorer_proposes_only_when_the_search_has_stalled():
    space = families()
    falling = [1 / (1 + n) for n in range(30)]
    stalled = [1.0, 0.9, 0.8, 0.7, 0.5, *[0.5] * 25]
    assert stalled_for(stalled, space) == 25
    assert stalled_for(stalled[:11] + stalled[:5], space) == 11
    assert stalled_for(stalled[:14], space) == 0
    assert stalled_for(list(np.linspace(1, 0, 30)), space) == 0
    assert stalled_for(falling[:9], space) == 0


def test_the_longer_a_search_has_stalled_the_more_trials_leave_the_best_branch():
    shares = [sum(leaves_best(stalled, number) for number in range(6)) for stalled in (5, 8, 12)]
    assert shares == [3, 4, 5]
    assert leaves_best(40, 0)
    assert not leaves_best(0, 1)


def test_an_explorer_does_not_call_tiny_gains_progress():
    # The median of all results is as near to the best as the gains are small.
    creeping = [1.0, 0.9, 0.5, 0.8, 0.9, 0.7, *[0.5 - 1e-4 * n for n in range(30)]]
    assert stalled_for(creeping, families()) > 20


def test_a_space_without_branches_is_searched_as_before():
    space = Space((Float("x", 0.0, 1.0), Choice("kind", ["a", "b"])))
    assert stalled_for([1.0] * 40, space) == 0


def test_the_branch_with_fewest_trials_for_its_size_comes_first_unless_it_is_far_behind():
    space = families()
    root = dividing(space)[0]
    easy, good = (below(space, root, value) for value in root.values)
    worst = {"kind": "good", "depth": 0.5, "width": 0.5}
    flat = {"kind": "easy", "a": 0.5, "b": 0.5, "c": 0.5}
    of_easy = observed(*[(flat, 0.2 + 0.03 * n) for n in range(6)])

    def chosen(*losses):
        few = observed(*[(worst, loss) for loss in losses])
        return emptiest([Branch(easy, of_easy, ()), Branch(good, few, ())])[0].space

    assert chosen(0.22, 0.25, 0.25) == good
    assert chosen(*[0.22] * 9) == easy
    assert chosen(*[9.0] * 5) == easy
    assert chosen(9.0, 9.0) == good  # too few trials to know


def test_of_two_branches_the_one_that_still_gains_comes_first():
    space = families()
    root = dividing(space)[0]
    easy, good = (below(space, root, value) for value in root.values)
    flat = {"kind": "easy", "a": 0.5, "b": 0.5, "c": 0.5}
    other = {"kind": "good", "depth": 0.5, "width": 0.5}

    def first(*losses):
        best = observed(*[(flat, 0.2) for _ in range(8)])
        return emptiest(
            [
                Branch(easy, best, ()),
                Branch(good, observed(*[(other, loss) for loss in losses]), ()),
            ]
        )[0].space

    assert first(*[0.6] * 8, 0.55, 0.45, 0.4, 0.35) == good
    assert first(*[0.35] * 12) == easy


def test_proposals_are_configurations_of_the_space_also_with_failed_trials():
    space, rng = families(), np.random.default_rng(0)
    trials = [(space.sample(rng), None if n % 4 == 1 else float(n % 5)) for n in range(16)]
    for number in range(16, 28):
        asked = Situation(number=number, space=space)
        values = explored(BayesianOptimization(), asked, observed(*trials), 9).values
        assert set(values) == {entry.name for entry in space.active(values)}
        assert all(entry.contains(values[entry.name]) for entry in space.active(values))
        trials.append((values, float(number % 3)))


def test_a_branch_that_has_nothing_new_leaves_its_turn_to_another_one():
    few, many = [Parent("kind", "few")], [Parent("kind", "many")]
    space = Space(
        (
            Choice("kind", ["few", "many"]),
            Int("n", 1, 2, conditions=few),
            Float("x", 0.0, 1.0, conditions=many),
        )
    )
    trials = [({"kind": "few", "n": n}, 0.1 * n) for n in (1, 2)]
    trials += [({"kind": "many", "x": x}, 0.5) for x in (0.1, 0.4, 0.9)]
    for number in range(6):
        asked = Situation(number=number, space=space)
        found = explored(BayesianOptimization(), asked, observed(*trials), 9)
        assert found.values["kind"] == "many"


def test_a_constraint_holds_for_what_an_explorer_proposes():
    space = families()
    shallow = Constraint(lambda values: values["depth"] < 0.4)
    space = dataclasses.replace(space, constraints=(shallow,))
    done = run(Auto(seed=0), hidden, space, 30)
    assert all(trial.values.get("depth", 0.0) < 0.4 for trial in done.trials)


def test_a_branch_whose_losses_differ_little_is_not_drowned_by_the_others():
    flat, steep = [Parent("kind", "flat")], [Parent("kind", "steep")]
    space = Space(
        (
            Choice("kind", ["flat", "steep", "steeper"]),
            Float("alpha", 1e-4, 1e4, sampling="log", conditions=flat),
            Float("x", 0.0, 1.0, conditions=steep),
            Float("y", 0.0, 1.0, conditions=[Parent("kind", "steeper")]),
        )
    )

    def loss(values):
        if values["kind"] == "flat":
            place = np.log10(values["alpha"] / 20)
            return 1 - 0.4 * np.exp(-(place**2)) + (8 * (place - 0.7) if place > 0.7 else 0.0)
        return 4 + 30 * values.get("x", values.get("y"))

    for seed in range(3):
        assert min(trial.loss for trial in run(Auto(seed=seed), loss, space, 40).trials) < 0.605


def test_a_narrow_better_family_is_found_behind_a_flat_easy_one():
    for seed in (0, 2):
        done = run(Auto(seed=seed), hidden, families(), 45)
        assert min(trial.loss for trial in done.trials) < 0.15


def test_auto_says_when_an_explorer_proposes():
    search = Auto(seed=0)
    state = run(search, lambda values: 0.2 if values["kind"] == "easy" else 0.4, families(), 20)
    told = search.explain(state.state, Situation(number=20, space=families()))
    assert told.startswith("explorer: the search has stalled")
