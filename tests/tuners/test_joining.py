"""Tuners of several processes on one search, here as stores of several workers in one process."""

import itertools

import pytest

import afina as kt
from afina.engine.base_tuner import BaseTuner
from afina.errors import ArgumentError
from afina.store import MemoryStore, SqliteStore
from afina.tuners.joining import KERAS_TUNER, warn_of_keras_tuners_mode

_workers = itertools.count()


class Toy(kt.RandomSearch):
    """Trains nothing: a number decides."""

    def run_trial(self, trial, *args, **kwargs):
        return trial.hyperparameters.get("x")


def build(hp):
    hp.Float("x", 0.0, 1.0)


def tuner(folder, kind=Toy, **options):
    """A tuner of a worker of its own."""
    store = SqliteStore(folder / "trials", worker=f"w{next(_workers)}-")
    return kind(build, max_trials=6, directory=folder, store=store, **options)


def test_each_tuner_shows_what_the_others_have_done(tmp_path, capsys):
    first, second = tuner(tmp_path, seed=1), tuner(tmp_path, seed=1)
    one = first.oracle.create_trial("a")
    two = second.oracle.create_trial("b")
    assert (one.trial_id, two.trial_id) == ("0", "1")
    assert second.oracle.trials["0"].status == "RUNNING"
    first.oracle.update_trial("0", {"default_objective": 0.5})
    first.oracle.end_trial("0", "COMPLETED")
    seen = second.oracle.trials["0"]
    third = second.oracle.create_trial("c")
    assert third.trial_id == "2"
    assert (seen.status, seen.score) == ("COMPLETED", 0.5), "the object that users have is kept up"
    assert second.oracle.get_best_trials(1)[0].trial_id == "0"
    second.oracle.end_trial("1", "FAILED")
    second.oracle.end_trial("2", "FAILED")
    first.search(verbose=1)
    assert len(first.oracle.end_order) == 6
    assert "Search: Running Trial #3" in capsys.readouterr().out


def test_a_tuner_that_joins_at_the_first_trial_takes_it_for_no_trial_of_its_own(tmp_path):
    first = tuner(tmp_path, seed=1)
    first.oracle.search_state.next()  # written, before the width of the ids is
    second = tuner(tmp_path, seed=1)
    assert second.oracle.create_trial("b").trial_id == "1"
    assert list(second.oracle.search_state.trials) == [0, 1]
    assert list(second.oracle.trials) == ["0", "1"]


def test_tuners_that_begin_at_the_same_moment_share_one_drawn_seed(tmp_path):
    first, second = tuner(tmp_path), tuner(tmp_path)
    seeds = [each.oracle.seed for each in (first, second)]
    assert seeds[0] != seeds[1]
    first.oracle.create_trial("a")
    trial = second.oracle.create_trial("b")
    assert second.oracle.seed == seeds[0]
    alone = Toy(build, max_trials=6, seed=seeds[0], directory=tmp_path / "alone")
    values = [alone.oracle.create_trial(name).hyperparameters.values for name in "ab"]
    assert trial.hyperparameters.values == values[1]


def test_a_tuner_whose_search_begins_elsewhere_while_it_opens_takes_that_seed(tmp_path):
    first = tuner(tmp_path)
    store = SqliteStore(tmp_path / "trials", worker="late-")
    read = store.news

    def begun_meanwhile(since):
        store.news = read
        first.oracle.create_trial("a")
        return read(since)

    store.news = begun_meanwhile  # the first reading after the seed was chosen
    second = Toy(build, max_trials=6, directory=tmp_path, store=store)
    assert store.news == read, "no test: nothing began meanwhile"
    assert second.oracle.search_state.seed == first.oracle.seed == second.oracle.seed
    assert second.oracle.search_state.algorithm.settings()["seed"] == first.oracle.seed
    trial = second.oracle.create_trial("b")
    alone = Toy(build, max_trials=6, seed=first.oracle.seed, directory=tmp_path / "alone")
    values = [alone.oracle.create_trial(name).hyperparameters.values for name in "ab"]
    assert trial.hyperparameters.values == values[1]


class Counting(kt.Oracle):
    """Chooses by a state of its own, which it keeps with the project."""

    count = 0

    def populate_space(self, trial_id):
        self.count += 1
        return {"status": "RUNNING", "values": {"x": self.count / 10}}

    def get_state(self):
        return {**super().get_state(), "count": self.count}

    def set_state(self, state):
        super().set_state(state)
        self.count = state["count"]


def test_the_own_state_of_an_oracle_is_shared(tmp_path):
    def oracle():
        tuner = BaseTuner(
            Counting(max_trials=9),
            build,
            directory=tmp_path,
            store=SqliteStore(tmp_path / "t", worker=f"w{next(_workers)}-"),
        )
        return tuner.oracle

    one, other = oracle(), oracle()
    turns = [one, other, other, one, other]
    values = [each.create_trial(str(n)).hyperparameters["x"] for n, each in enumerate(turns)]
    assert values == [0.1, 0.2, 0.3, 0.4, 0.5]


def test_storage_is_another_name_of_store_for_every_tuner(tmp_path):
    memory = MemoryStore()
    search = Toy(build, max_trials=2, directory=tmp_path, storage=memory)
    search.search(verbose=0)
    assert len(memory.trials()) == 2
    with pytest.raises(ArgumentError, match="storage: must be None where store is given"):
        Toy(build, max_trials=2, directory=tmp_path, storage="a", store="b")
    with pytest.raises(ArgumentError, match=r"overwrite: must be False .* to join the search"):
        Toy(build, max_trials=2, directory=tmp_path, storage=memory, overwrite=True)


def test_the_passwords_of_urls_stay_out_of_messages(tmp_path):
    url = "mysql://me:secret@host/db?password=secret"
    with pytest.raises(ArgumentError, match=r"mysql://me:\*\*\*@host/db") as refused:
        Toy(build, max_trials=2, directory=tmp_path, storage=url)
    with pytest.raises(ArgumentError) as both:
        Toy(build, max_trials=2, directory=tmp_path, store="a", storage=url)
    assert "secret" not in f"{refused.value}{both.value}"


@pytest.mark.parametrize("name", KERAS_TUNER)
def test_the_variables_of_keras_tuners_mode_are_answered_with_the_way_here(name):
    with pytest.warns(UserWarning, match=rf"{name}: .*same script.*storage=.postgresql://"):
        warn_of_keras_tuners_mode({name: "x", "HOME": "/"})
    warn_of_keras_tuners_mode({"HOME": "/"})
