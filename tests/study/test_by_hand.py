"""Ranges that people change while a search runs, and trainings that they prolong."""

import pytest

import afina
from afina.search import (
    CMAES,
    TPE,
    AsynchronousHalving,
    Auto,
    BayesianOptimization,
    Grid,
    Hyperband,
    ModelBasedHalving,
    ParetoSearch,
    PopulationBasedTraining,
    QuasiRandom,
    Random,
    Wrapper,
)
from afina.search.wrappers import innermost
from afina.space import HyperParameters
from afina.store import MemoryStore
from afina.study import Study
from afina.study.by_hand import RANGES, why_not
from afina.study.requests import OWN_LOOP, Requests
from afina.trials import Failure, FailureKind, Status
from afina.trials.trial import BOOSTED

ALGORITHMS = {
    "random": Random(seed=0),
    "quasi-random": QuasiRandom(seed=0),
    "bayesian": BayesianOptimization(seed=0, num_initial_points=4),
    "tpe": TPE(seed=0, num_initial_points=4),
    "cma": CMAES(seed=0, num_initial_points=4),
    "hyperband": Hyperband(max_epochs=9, seed=0),
    "hyperband with a model": Hyperband(max_epochs=9, seed=0, sampler="model"),
    "asha": AsynchronousHalving(max_epochs=9, seed=0),
    "halving": ModelBasedHalving(max_epochs=9, seed=0),
    "population": PopulationBasedTraining(max_epochs=9, interval=3, seed=0, population=4),
    "auto": Auto(seed=0),
    "auto with epochs": Auto(seed=0, max_epochs=9),
    "several objectives": ParetoSearch(seed=0, num_initial_points=4),
}

ASKED = {"rate": {"low": 0.01, "high": 0.02}, "units": {"high": 30}, "kind": {"values": ["a"]}}


def space(hp):
    hp.Float("rate", 1e-4, 1e-1, sampling="log")
    hp.Int("units", 8, 64, step=8)
    if hp.Choice("kind", ["a", "b", "c"]) == "b":
        with hp.conditional_scope("kind", "b"):
            hp.Boolean("deep")


def study(algorithm, store, most=24):
    several = isinstance(innermost(algorithm), ParetoSearch)
    lower = [afina.Objective("loss", "min"), afina.Objective("cost", "min")]
    objective = lower if several else lower[0]
    return Study(space, objective=objective, algorithm=algorithm, store=store, max_trials=most)


def finish(search, trial):
    loss = abs(trial.values["rate"] - 0.03) + trial.values["units"] / 100
    return search.tell(trial, {"loss": loss, "cost": 1.0 / trial.values["units"]})


def lies_in(values):
    return 0.01 <= values["rate"] <= 0.02 and values["units"] <= 24 and values["kind"] == "a"


@pytest.mark.parametrize("name", sorted(ALGORITHMS.keys() - {"population"}))
def test_new_trials_are_drawn_from_the_ranges_that_somebody_asks_for(name):
    store = MemoryStore()
    search = study(ALGORITHMS[name], store)
    for _ in range(8):
        finish(search, search.ask())
    before = [(t.number, t.values, t.score) for t in search.trials.values()]
    for key, wanted in ASKED.items():
        Requests(MemoryStore(beside=store)).ask_range(key, wanted)
    while (trial := search.ask()) is not None:
        finish(search, trial)
    assert [(t.number, t.values, t.score) for t in list(search.trials.values())[:8]] == before
    fresh = [t for t in search.trials.values() if t.number >= 8 and t.parent is None]
    assert len(fresh) >= 2
    assert [t.values for t in fresh if not lies_in(t.values)] == []
    assert search.store.note(RANGES) == [{"from": 8, "ranges": ASKED}]


@pytest.mark.parametrize("name", ["random", "bayesian", "cma", "hyperband", "auto"])
def test_a_search_is_repeated_from_the_record_and_resumed_in_its_ranges(name):
    def searched(store, stop_at=None):
        search = study(ALGORITHMS[name], store, most=16)
        while (trial := search.ask()) is not None:
            finish(search, trial)
            if stop_at is not None and len(search.trials) == stop_at:
                return search
        return search

    first = MemoryStore()
    half = searched(first, stop_at=6)
    for key, wanted in ASKED.items():
        Requests(first).ask_range(key, wanted)
    for _ in range(3):
        finish(half, half.ask())
    whole = searched(MemoryStore(beside=first))  # another worker goes on
    again = MemoryStore()
    again.set_note(RANGES, first.note(RANGES))
    repeated = searched(again)
    assert [t.values for t in repeated.trials.values()] == [t.values for t in whole.trials.values()]
    assert all(lies_in(t.values) for t in whole.trials.values() if t.number > 8 and not t.parent)


def test_a_range_that_is_given_back_is_the_whole_one_again():
    store = MemoryStore()
    search = study(Random(seed=0), store, most=40)
    Requests(store).ask_range("units", {"high": 8})
    few = [finish(search, search.ask()).values["units"] for _ in range(8)]
    Requests(store).ask_range("units", None)
    many = [finish(search, search.ask()).values["units"] for _ in range(20)]
    assert (set(few), len(set(many)) > 4) == ({8}, True)
    assert [each["from"] for each in store.note(RANGES)] == [0, 8]


@pytest.mark.parametrize(
    ("name", "wanted", "sentence"),
    [
        ("speed", {"low": 1}, "the space has no hyperparameter 'speed'"),
        ("units", {"low": 65, "high": 90}, "'units' has no value in the range"),
        ("units", {"low": 9, "high": 15}, "'units' has no value in the range"),
        ("kind", {"values": ["z"]}, "'kind' has no value in the range"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_sentence_and_changes_nothing(name, wanted, sentence):
    store = MemoryStore()
    plain, search = study(Random(seed=0), MemoryStore()), study(Random(seed=0), store)
    Requests(store).ask_range(name, wanted)
    assert search.ask().values == plain.ask().values
    [said] = store.note("requests")["refused"]
    assert said.startswith(f"The ranges stay as they are: {sentence}")
    assert store.note("requests")["ranges"] == {}
    Requests(store).dismiss()
    assert "refused" not in store.note("requests")


def test_ranges_that_no_constraint_allows_are_refused():
    hp = HyperParameters()
    hp.Int("a", 1, 9)
    hp.Int("b", 1, 9)
    hp.constraint(lambda v: v["a"] < v["b"])
    ranges = {"a": {"low": 5}, "b": {"high": 4}}
    assert why_not(hp.to_space(), ranges) == (
        "no combination of values satisfies the constraints there"
    )


def test_a_population_goes_on_with_its_values_and_says_so():
    store = MemoryStore()
    search = study(ALGORITHMS["population"], store)
    Requests(store).ask_range("units", {"high": 8})
    assert len({finish(search, search.ask()).values["units"] for _ in range(8)}) > 1
    assert "its models go on with their values" in store.note("requests")["refused"][0]


def test_a_grid_search_keeps_its_order_and_says_so():
    store = MemoryStore()
    search = Study(
        lambda hp: hp.Choice("a", [1, 2, 3]), objective=afina.Objective("loss", "min"),
        algorithm=Grid(), store=store,
    )  # fmt: skip
    Requests(store).ask_range("a", {"values": [3]})
    tried = []
    while (trial := search.ask()) is not None:
        tried.append(search.tell(trial, 1.0).values["a"])
    assert sorted(tried) == [1, 2, 3]
    assert "a grid search tries all combinations" in store.note("requests")["refused"][0]


def test_a_script_that_trains_by_itself_refuses_to_pause_and_to_prolong():
    store = MemoryStore()
    search = study(Random(seed=0), store, most=2)
    trial = search.ask()
    Requests(store).ask_pause(0)
    search.stop_rules.requests._looked -= 1
    assert search.report(trial, {"loss": 1.0}, step=0) is afina.Decision.CONTINUE
    finish(search, trial)
    Requests(store).ask_boost(0, 3)
    finish(search, search.ask())
    assert len(search.trials) == 2
    assert OWN_LOOP in store.note("requests")["refused"][0]


class Listening(Wrapper):
    """Remembers of which trials the algorithm inside is told."""

    def __init__(self, inner):
        self.inner, self.told = inner, []

    def tell(self, state, trial, space):
        self.told.append((trial.number, trial.known))
        return super().tell(state, trial, space)


@pytest.mark.parametrize("name", ["random", "cma", "hyperband", "population", "auto with epochs"])
def test_an_algorithm_never_hears_of_a_longer_training(name):
    store, heard = MemoryStore(), Listening(ALGORITHMS[name])
    search = study(heard, store, most=11)
    search.by_hand.requests.cannot.clear()
    for number in range(12):
        if number == 10:
            Requests(store).ask_boost(1, 5)
        trial = search.ask()
        search.report(trial, {"loss": 1.0, "cost": 1.0}, step=trial.start_epoch)
        finish(search, trial)
    assert search.ask() is None
    longer = search.trials[10]
    assert (longer.parent, longer.notes[BOOSTED]) == (1, "5 epochs more for trial 1")
    assert heard.told == [(n, n - (n > 10)) for n in range(12) if n != 10]
    again = Listening(ALGORITHMS[name])
    study(again, MemoryStore(beside=store), most=11)
    assert again.told == heard.told


def test_paused_trials_alone_do_not_keep_a_search_waiting():
    store = MemoryStore()
    search = study(Hyperband(max_epochs=4, seed=0), store, most=None)
    search.by_hand.requests.cannot.clear()
    first = search.ask()
    Requests(store).ask_pause(first.number)
    search.stop_rules.requests._looked -= 1
    given = {"loss": 1.0, "cost": 1.0}
    assert search.report(first, given, step=0) is afina.Decision.PAUSE
    assert search.fail(first, Failure(FailureKind.PAUSED, "")).status is Status.WAITING
    while (trial := search.ask()) is not None:
        finish(search, trial)
    assert search.stop_reason == "only paused trials are left: trial 0"
    Requests(store).ask_resume(first.number)
    assert search.ask().number == first.number


def test_the_best_result_may_be_a_longer_training_but_the_advice_does_not_compare_it():
    store = MemoryStore()
    search = study(Random(seed=0), store, most=12)
    search.by_hand.requests.cannot.clear()
    while (trial := search.ask()) is not None:
        search.report(trial, {"loss": 1.0}, step=0)
        finish(search, trial)
    counted = search.advice().counts
    Requests(store).ask_boost(3, 5)
    search.tell(search.ask(), {"loss": -1.0, "cost": 1.0})
    found = search.advice()
    assert found.top.number == 12
    assert (found.counts.completed, found.counts.epochs) == (counted.completed, None)
