"""What is tried in a space of branches when a search has stalled."""

import numpy as np

from afina.search import Auto, Situation
from afina.search.explorer import Branch, below, dividing, emptiest, explored, is_turn
from afina.search.observation import Observation
from afina.space import Boolean, Choice, Float, Int, Parent, Space
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


def test_an_explorer_takes_turns_only_when_the_search_has_stalled():
    space = families()
    falling = [1 / (1 + n) for n in range(30)]
    stalled = [1.0, 0.9, 0.8, 0.7, 0.5, *[0.5] * 25]
    turns = [number for number in range(6) if is_turn(stalled, number, space)]
    assert turns == [1, 2, 4, 5]
    assert [n for n in range(6) if is_turn(stalled[:11] + stalled[:5], n, space)] == [1, 3, 5]
    assert not any(is_turn(list(np.linspace(1, 0, 30)), number, space) for number in range(6))
    assert not any(is_turn(falling[:9], number, space) for number in range(6))


def test_an_explorer_does_not_call_tiny_gains_progress():
    # The median of all results is as near to the best as the gains are small.
    creeping = [1.0, 0.9, 0.5, 0.8, 0.9, 0.7, *[0.5 - 1e-4 * n for n in range(30)]]
    assert is_turn(creeping, 1, families())


def test_a_space_without_branches_is_searched_as_before():
    space = Space((Float("x", 0.0, 1.0), Choice("kind", ["a", "b"])))
    assert not any(is_turn([1.0] * 40, number, space) for number in range(6))


def test_the_branch_with_fewest_trials_for_its_size_comes_first_unless_it_is_far_behind():
    space = families()
    root = dividing(space)[0]
    easy, good = (below(space, root, value) for value in root.values)
    worst = {"kind": "good", "depth": 0.5, "width": 0.5}
    flat = {"kind": "easy", "a": 0.5, "b": 0.5, "c": 0.5}
    of_easy = observed(*[(flat, 0.2 + 0.03 * n) for n in range(6)])

    def chosen(*losses):
        few = observed(*[(worst, loss) for loss in losses])
        return emptiest([Branch(easy, of_easy, ()), Branch(good, few, ())]).space

    assert chosen(0.22, 0.25, 0.25) == good
    assert chosen(*[0.22] * 9) == easy
    assert chosen(9.0, 9.0, 9.0) == easy
    assert chosen(9.0, 9.0) == good  # too few trials to know


def test_proposals_are_configurations_of_the_space_also_with_failed_trials():
    space, rng = families(), np.random.default_rng(0)
    trials = [(space.sample(rng), None if n % 4 == 1 else float(n % 5)) for n in range(16)]
    for number in range(12):
        values = explored(space, observed(*trials), (), 0, np.random.default_rng(number))
        assert set(values) == {entry.name for entry in space.active(values)}
        assert all(entry.contains(values[entry.name]) for entry in space.active(values))
        trials.append((values, float(number % 3)))


def test_a_narrow_better_family_is_found_behind_a_flat_easy_one():
    for seed in (0, 2):
        done = run(Auto(seed=seed), hidden, families(), 45)
        assert min(trial.loss for trial in done.trials) < 0.15


def test_auto_says_when_an_explorer_proposes():
    search = Auto(seed=0)
    state = run(search, lambda values: 0.2 if values["kind"] == "easy" else 0.4, families(), 20)
    told = [
        search.explain(state.state, Situation(number=number, space=families()))
        for number in range(20, 26)
    ]
    assert sum(text.startswith("explorer: ") for text in told) >= 2
