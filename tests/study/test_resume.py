"""A project whose space has changed since: taken in where its trials keep their meaning."""

import pytest

from afina.errors import ProjectMismatchError
from afina.search import Grid, Random, Suggestion
from afina.space import HyperParameters
from afina.store import MemoryStore, open_store
from afina.study import SearchState
from afina.trials import Objective


def space(define):
    hp = HyperParameters()
    define(hp)
    return hp


def begun(hp):
    hp.Choice("kind", ["a", "b"])
    hp.Int("n", 1, 4)


def open_search(store, define, *, algorithm=None, **kwargs):
    return SearchState(
        algorithm=algorithm or Random(seed=0),
        objective=Objective("loss", "min"),
        hp=space(define),
        store=store,
        seed=0,
        **kwargs,
    )


def project_with(*values, define=begun):
    """A store with a finished trial for each of these values."""
    store = MemoryStore()
    search = open_search(store, define)
    for each in values:
        search.complete(search.take(each, {}), {"loss": 1.0})
    return store


def names(search):
    return [entry.name for entry in search.space]


def entry(search, name):
    return next(entry for entry in search.space if entry.name == name)


ADDED = {
    "a new entry": lambda hp: (begun(hp), hp.Float("late", 0.0, 1.0)),
    "a wider range": lambda hp: (hp.Choice("kind", ["a", "b"]), hp.Int("n", 0, 40)),
    "a longer list": lambda hp: (hp.Choice("kind", ["c", "a", "b"]), hp.Int("n", 1, 4)),
    "another default": lambda hp: (hp.Choice("kind", ["a", "b"]), hp.Int("n", 1, 4, default=3)),
    "another order": lambda hp: (hp.Int("n", 1, 4), hp.Choice("kind", ["a", "b"])),
    "a range without what was never tried": lambda hp: (
        hp.Choice("kind", ["a"]),
        hp.Int("n", 2, 4),
    ),
    "a condition": lambda hp: (
        hp.Choice("kind", ["a", "b"]),
        hp.Int("n", 1, 4, parent_name="kind", parent_values=["a"]),
    ),
}


@pytest.mark.parametrize("change", ADDED)
@pytest.mark.parametrize("algorithm", [Random(seed=0), Grid()], ids=["random", "grid"])
def test_a_search_goes_on_after(change, algorithm):
    store = MemoryStore()
    first = open_search(store, begun, algorithm=algorithm)
    first.complete(first.take({"kind": "a", "n": 2}, {}), {"loss": 1.0})
    search = open_search(store, ADDED[change], algorithm=algorithm)
    assert set(names(search)) == {entry.name for entry in space(ADDED[change]).space}
    assert entry(search, "n") == next(e for e in space(ADDED[change]).space if e.name == "n")
    for _ in range(2):
        trial = search.next()
        assert set(trial.values) <= set(names(search))
        search.complete(trial, {"loss": 0.5})
    again = open_search(store, ADDED[change], algorithm=algorithm)
    assert again.space == search.space
    assert len(again.trials) == 3


REFUSED = {
    "is gone, but trial 1 was made with it": lambda hp: hp.Choice("kind", ["a", "b"]),
    r"'n': max_value was 4, is now 3.*but trial 1 has 4": lambda hp: (
        hp.Choice("kind", ["a", "b"]),
        hp.Int("n", 1, 3),
    ),
    "'kind':.*but trial 1 has 'b'": lambda hp: (hp.Choice("kind", ["a", "c"]), hp.Int("n", 1, 4)),
    r"was \['Int'\], is now \['Choice'\], but trial 1": lambda hp: (
        hp.Choice("kind", ["a", "b"]),
        hp.Choice("n", ["one", "two"]),
    ),
    "'n': was.*is now.*Fixed.*but trial 1 has 4": lambda hp: (
        hp.Choice("kind", ["a", "b"]),
        hp.Fixed("n", 7),
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_search_in_which_a_trial_has_lost_its_meaning_is_refused(message):
    # Trial 0 is within all of these spaces but the one without `n`.
    store = project_with({"kind": "a"}, {"kind": "b", "n": 4})
    with pytest.raises(ProjectMismatchError, match=message):
        open_search(store, REFUSED[message])


def test_an_entry_that_no_trial_was_made_with_may_go(tmp_path):
    store = open_store(tmp_path / "p")
    open_search(store, begun).begin()
    store.close()
    search = open_search(open_store(tmp_path / "p"), lambda hp: hp.Int("n", 1, 4))
    assert names(search) == ["n"]
    assert set(search.next().values) == {"n"}


def test_what_trials_discovered_stays_known_when_the_project_is_opened_again():
    store = MemoryStore()
    search = open_search(store, begun)
    trial = search.next()
    hp = HyperParameters.for_trial(search.hp, trial.values)
    hp.Boolean("met")
    search.complete(trial, {"loss": 1.0}, hp=hp)
    again = open_search(store, begun)
    assert names(again) == ["kind", "n", "met"]
    # The same space, as one who hands the grown one over would give it.
    assert names(open_search(store, lambda hp: (begun(hp), hp.Boolean("met")))) == names(again)


def test_a_kind_that_contradicts_what_a_trial_discovered_is_refused():
    store = MemoryStore()
    search = open_search(store, begun)
    trial = search.next()
    hp = HyperParameters.for_trial(search.hp, trial.values)
    hp.Boolean("met")
    search.complete(trial, {"loss": 1.0}, hp=hp)
    with pytest.raises(ProjectMismatchError, match=r"'met'.*but trial 0 has False"):
        open_search(store, lambda hp: (begun(hp), hp.Float("met", 5.0, 9.0)))


def test_what_was_added_before_the_first_trial_is_kept_with_the_project(tmp_path):
    first = open_search(open_store(tmp_path / "p"), begun)
    first.add_space(space(lambda hp: hp.Boolean("extra")))
    assert isinstance(first.algorithm.ask(first.algorithm_state, first.situation()), Suggestion)
    first.complete(first.next(), {"loss": 1.0})
    first.close()
    again = open_search(open_store(tmp_path / "p"), begun)
    assert names(again) == ["kind", "n", "extra"]


def test_a_closed_space_leaves_out_what_earlier_trials_tuned():
    store = project_with({"kind": "a", "n": 2})
    only_n = open_search(store, lambda hp: hp.Int("n", 1, 4), may_grow=False)
    assert names(only_n) == ["n"]
    assert set(only_n.next().values) == {"n"}
    assert set(names(open_search(store, begun))) == {"kind", "n"}


def test_changes_one_after_the_other_are_each_held_against_the_trials():
    store = project_with({"kind": "a", "n": 2})
    wide = open_search(store, ADDED["a wider range"])
    wide.complete(wide.take({"kind": "a", "n": 40}, {}), {"loss": 0.1})
    back = open_search(store, begun)
    assert entry(back, "n").contains(40), "trial 1 must stay within the space"
    with pytest.raises(ProjectMismatchError, match="but trial 1 has 40"):
        open_search(store, lambda hp: (hp.Choice("kind", ["a", "b"]), hp.Int("n", 1, 5)))
