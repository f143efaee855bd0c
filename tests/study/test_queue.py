"""Configurations that people ask for: one queue, whoever asks and whatever searches."""

import itertools
import os
import subprocess
import sys

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
    InOrder,
    ModelBasedHalving,
    ParetoSearch,
    PopulationBasedTraining,
    QuasiRandom,
    Random,
)
from afina.store import MemoryStore
from afina.store.sqlite import SqliteStore
from afina.study import Study, is_queued
from afina.study.queue import NO_BRACKET
from afina.study.requests import REQUESTS, Requests
from afina.trials import Status, Trial
from afina.trials.trial import IN_QUEUE, QUEUED

ALGORITHMS = {
    "random": Random(seed=0),
    "quasi-random": QuasiRandom(seed=0),
    "grid": Grid(),
    "bayesian": BayesianOptimization(seed=0, num_initial_points=3),
    "bayesian, two at once": InOrder(BayesianOptimization(seed=0, num_initial_points=3), 2),
    "tpe": TPE(seed=0, num_initial_points=3),
    "cma": CMAES(seed=0, num_initial_points=3),
    "hyperband": Hyperband(max_epochs=9, seed=0),
    "asha": AsynchronousHalving(max_epochs=9, seed=0),
    "halving": ModelBasedHalving(max_epochs=9, seed=0),
    "population": PopulationBasedTraining(max_epochs=9, interval=3, seed=0, population=4),
    "auto": Auto(seed=0),
    "auto with epochs": Auto(seed=0, max_epochs=9),
    "several objectives": ParetoSearch(seed=0, num_initial_points=3),
}

FIRST, SECOND = {"rate": 0.031, "units": 24, "kind": "b"}, {"rate": 0.002}
FULL = [FIRST, {"rate": 0.002, "units": 8, "kind": "a"}]


def space():
    hp = afina.HyperParameters()
    hp.Float("rate", 1e-4, 1e-1, sampling="log")
    hp.Int("units", 8, 64, step=8)
    hp.Choice("kind", ["a", "b"])
    return hp


def study(algorithm=None, store=None, most=None, **options):
    several = isinstance(algorithm, ParetoSearch)
    lower = [afina.Objective("loss", "min"), afina.Objective("cost", "min")]
    return Study(
        space(),
        objective=lower if several else lower[0],
        algorithm=algorithm or Random(seed=0),
        store=store,
        max_trials=most,
        **options,
    )


def finish(search, trial):
    loss = abs(trial.values["rate"] - 0.03) + trial.values["units"] / 100
    return search.tell(trial, {"loss": loss, "cost": 1.0 / trial.values["units"]})


def run(search, most=40):
    trials = []
    while len(trials) < most and (trial := search.ask()) is not None:
        trials.append(finish(search, trial))
    return trials


def ask_for(door, search, values):
    if door == "script":
        search.enqueue(values)
    else:
        Requests(search.store).ask_try(values)


def plan(trials):
    return [(t.number, dict(t.values), t.schedule, QUEUED in t.notes) for t in trials]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_both_doors_lead_into_one_queue(name):
    found = []
    for door in ("script", "page"):
        search = study(ALGORITHMS[name], MemoryStore(), most=9)
        run(search, 2)
        for values in (FIRST, SECOND):
            ask_for(door, search, values)
        run(search)
        found.append(plan(search.trials.values()))
        asked = [t for t in search.trials.values() if QUEUED in t.notes]
        assert [dict(t.values) for t in asked] == FULL
        assert {t.status for t in asked} == {Status.COMPLETED}
        assert all(t.parent is None and t.attempt == 0 for t in asked)
        assert len(search.trials) == 9
        search.close()
    assert found[0] == found[1]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_search_with_a_queue_is_continued_as_if_it_had_not_stopped(name, tmp_path):
    whole, broken = [], []
    for found, stops in ((whole, False), (broken, True)):
        store = tmp_path / str(stops)
        search = study(ALGORITHMS[name], store, most=8)
        run(search, 2)
        search.enqueue(FIRST)
        for _ in range(6):
            if stops:
                search.close()
                search = study(ALGORITHMS[name], store, most=8)
            run(search, 1)
        found += plan(search.trials.values())
        search.close()
    assert whole == broken
    assert len(whole) == 8


@pytest.mark.parametrize("name", ["hyperband", "asha", "halving", "auto with epochs"])
def test_in_a_search_with_rungs_it_begins_on_the_first_one(name):
    search = study(ALGORITHMS[name])
    search.enqueue(FIRST)
    trial = search.ask()
    assert dict(trial.values) == FIRST
    assert trial.schedule.rung == trial.schedule.start_epoch == 0
    assert trial.schedule == study(ALGORITHMS[name]).ask().schedule


def test_promotions_go_first():
    search = study(Hyperband(max_epochs=9, seed=0))
    before = run(search, 9)
    search.enqueue(FIRST)
    after = run(search, 4)
    assert all(t.parent is None for t in before)
    assert [t.parent is None for t in after] == [False, False, False, False]
    assert is_queued(search.trials[9])
    assert QUEUED in run(search, 1)[0].notes


def test_a_plan_that_is_done_leaves_the_queue_to_be_trained_in_full():
    search = study(Hyperband(max_epochs=9, seed=0))
    done = run(search)
    assert search.stop_reason == "all 3 brackets are finished"
    search.enqueue(FIRST)
    (trial,) = run(search)
    assert (trial.start_epoch, trial.end_epoch, trial.parent) == (0, 9, None)
    assert search.stop_reason == "all 3 brackets are finished"
    assert len(search.trials) == len(done) + 1


def test_a_complete_population_goes_on_with_its_plan():
    algorithm = ALGORITHMS["population"]
    plain, asked = study(algorithm), study(algorithm)
    run(plain)
    run(asked, 6)
    asked.enqueue(FIRST)
    assert dict(run(asked, 1)[0].values) == FIRST
    run(asked)
    assert len(asked.trials) == len(plain.trials) + 1
    spots = [
        {(t.schedule.bracket, t.schedule.rung) for t in search.trials.values()}
        for search in (plain, asked)
    ]
    assert spots[1] == spots[0] | {(NO_BRACKET, 0)}


@pytest.mark.parametrize("wish", [{"a": 3}, {"a": 2, "b": 30}, {"b": 20}, {}])
def test_a_grid_still_tries_each_combination_once(wish):
    hp = afina.HyperParameters()
    hp.Choice("a", [1, 2, 3])
    hp.Choice("b", [10, 20, 30])
    search = Study(hp, objective=afina.Objective("x", "min"), algorithm=Grid())
    search.tell(search.ask(), 1.0)
    search.enqueue(wish)
    while (trial := search.ask()) is not None:
        search.tell(trial, float(trial.values["a"]))
    tried = [(t.values["a"], t.values["b"]) for t in search.trials.values()]
    assert set(tried) == set(itertools.product([1, 2, 3], [10, 20, 30]))
    again = {(1, 10)} if wish == {} else set()
    assert len(tried) == 9 + len(again)


def test_given_points_are_all_tried_beside_a_queue():
    points = [{"units": 16}, {"units": 32}]
    search = study(start_from=points)
    search.enqueue(FIRST)
    units = [trial.values["units"] for trial in run(search, 3)]
    assert units == [24, 16, 32]


# -- limits ---------------------------------------------------------------------------------------


def test_the_queue_counts_towards_max_trials():
    search = study(most=4)
    for values in (FIRST, SECOND):
        search.enqueue(values)
    assert [QUEUED in t.notes for t in run(search)] == [True, True, False, False]


def test_what_a_limit_leaves_in_the_queue_waits_and_is_named():
    search = study(most=2)
    run(search)
    search.enqueue(FIRST)
    assert run(search) == []
    assert search.stop_reason == "max_trials=2 trials have been run; still in the queue: trial 2"
    search.max_trials = 3
    assert dict(run(search)[0].values) == FIRST


@pytest.mark.parametrize("limit", ["stop", "time"])
def test_no_limit_is_passed_by(limit):
    search = study(time_budget=1e-9 if limit == "time" else None)
    search.enqueue(FIRST)
    if limit == "stop":
        Requests(search.store).ask_stop()
    assert search.ask() is None
    assert "still in the queue: trial 0" in search.stop_reason


def test_a_search_does_not_wait_for_paused_trials_and_a_queue_behind_them():
    search = study(most=1)
    search.enqueue(FIRST)
    search.optimize(lambda trial: 1.0, n_trials=1)
    search.enqueue(SECOND)
    search.optimize(lambda trial: 1.0)
    assert len(search.trials) == 2
    assert "still in the queue: trial 1" in search.stop_reason


# -- workers and crashes --------------------------------------------------------------------------

DIES = """
import os, sys
import afina
hp = afina.HyperParameters()
hp.Float("rate", 1e-4, 1e-1, sampling="log")
hp.Int("units", 8, 64, step=8)
hp.Choice("kind", ["a", "b"])
search = afina.Study(hp, objective=afina.Objective("loss", "min"),
                     algorithm=afina.search.Random(seed=0), store=sys.argv[1])
search.enqueue({"rate": 0.031, "units": 24, "kind": "b"})
os._exit(9)
"""


def test_a_crash_after_enqueue_loses_nothing(tmp_path):
    dead = subprocess.run([sys.executable, "-c", DIES, tmp_path], env=dict(os.environ), check=False)
    assert dead.returncode == 9
    search = study(store=tmp_path)
    assert dict(search.ask().values) == FIRST
    search.close()


@pytest.mark.parametrize("door", ["script", "page"])
def test_exactly_one_of_several_workers_takes_it(door):
    store = MemoryStore()
    one, other = study(store=store), study(store=MemoryStore(beside=store))
    ask_for(door, one, FIRST)
    ask_for(door, other, SECOND)
    trials = [each.ask() for each in (one, other, one, other)]
    assert [QUEUED in t.notes for t in trials] == [True, True, False, False]
    assert [dict(t.values) for t in trials[:2]] == FULL
    assert sorted(t.number for t in trials) == [0, 1, 2, 3]


def test_a_queued_trial_that_fails_is_retried_with_its_values_and_its_schedule():
    search = study(Hyperband(max_epochs=9, seed=0), max_retries=1)
    search.enqueue(FIRST)
    first = search.ask()
    search.tell(first, failed="no")
    again = search.ask()
    assert (again.number, again.schedule, again.attempt) == (first.number, first.schedule, 1)
    assert dict(again.values) == FIRST


def test_the_queue_of_an_older_project_is_tried(tmp_path):
    search = study(Hyperband(max_epochs=9, seed=0), tmp_path)
    run(search, 1)
    old = Trial(number=1, values=FIRST, status=Status.WAITING, notes={QUEUED: IN_QUEUE}, known=1)
    search.store.put(old)
    search.store.set_note(REQUESTS, {"try": [SECOND]})
    search.close()
    again = study(Hyperband(max_epochs=9, seed=0), tmp_path)
    first, second = again.ask(), again.ask()
    assert [dict(t.values) for t in (first, second)] == FULL
    assert first.schedule.rung == second.schedule.rung == 0
    again.close()


# -- at the door ----------------------------------------------------------------------------------


def test_a_script_that_is_started_again_asks_once(tmp_path):
    for _ in range(2):
        search = study(store=tmp_path, most=3)
        search.enqueue(FIRST, skip_if_exists=True)
        run(search, 1)
        search.close()
    assert [QUEUED in t.notes for t in study(store=tmp_path).trials.values()] == [True, False]


def test_values_that_the_space_lost_meanwhile_are_answered():
    search = study()
    Requests(search.store).ask_try({"gone": 1})
    assert QUEUED not in search.ask().notes
    note = search.store.note(REQUESTS)
    assert note["try"] == []
    assert "A configuration is not tried" in note["refused"][0]


def test_a_function_that_defines_its_space_gets_what_was_asked_for_before():
    search = Study(objective=afina.Objective("loss", "min"), algorithm=Random(seed=0))
    search.enqueue({"x": 0.25, "kind": "b"})
    seen = []

    def function(trial):
        x, kind = trial.suggest_float("x", 0.0, 1.0), trial.suggest_categorical("kind", ["a", "b"])
        seen.append((x, kind))
        return x

    search.optimize(function, n_trials=2)
    assert seen[0] == (0.25, "b")
    with pytest.raises(afina.errors.ArgumentError, match="must be a value of"):
        search.enqueue({"x": 7.0})


# -- what a turn reads ----------------------------------------------------------------------------


class CountingStore(SqliteStore):
    """Counts how often each note is read."""

    def __init__(self, folder, **options):
        super().__init__(folder, **options)
        self.reads = []

    def note(self, key):
        self.reads.append(key)
        return super().note(key)


def test_a_turn_without_news_reads_no_requests(tmp_path):
    store = CountingStore(tmp_path)
    search = study(store=store, most=20)
    run(search, 2)
    store.reads.clear()
    run(search, 5)
    assert store.reads.count(REQUESTS) == 0
    person = SqliteStore(tmp_path, worker="person")
    Requests(person).ask_try(FIRST)
    person.close()
    assert dict(run(search, 1)[0].values) == FIRST
    assert store.reads.count(REQUESTS) > 0
    search.close()
