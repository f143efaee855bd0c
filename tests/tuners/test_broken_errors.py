"""Trials that raise what is hard to describe: the search goes on, and the file stays small."""

from __future__ import annotations

import pytest

import afina as kt
from afina.run import WorkerProcesses
from afina.trials import FailureKind, Status
from afina.trials.failures import LONGEST
from afina.tuners.remote import RemoteTrials
from tests.broken_errors import BROKEN, OwnBase

LOSS = kt.Objective("loss", "min")


def space():
    hp = kt.HyperParameters()
    hp.Float("x", 0.0, 1.0)
    return hp


class Raising(kt.Tuner):
    def run_trial(self, trial, *args, **kwargs):
        error = list(BROKEN.values())[int(trial.trial_id) % len(BROKEN)]()
        if not issubclass(type(error), Exception):  # these end a search, as Ctrl-C does
            return 1.0
        raise error


def raising(folder, **settings):
    most = len(BROKEN)
    oracle = kt.oracles.RandomSearch(
        LOSS, most, hyperparameters=space(), seed=0, max_consecutive_failed_trials=most
    )
    return Raising(oracle, directory=folder, project_name="p", **settings)


def check(trials):
    failed = [trial for trial in trials if trial.status is Status.FAILED]
    assert len(failed) == len(BROKEN) - 3
    assert all(0 < len(trial.failure.message) <= LONGEST for trial in failed)
    return [(trial.number, trial.failure.headline) for trial in failed]


def test_a_search_outlives_any_exception_and_shows_it(tmp_path, capsys):
    tuner = raising(tmp_path)
    tuner.search(verbose=2)
    told = check(tuner.oracle.study.trials.values())
    assert "its own cause" in capsys.readouterr().out
    tuner.oracle.study.close()
    assert check(raising(tmp_path).oracle.study.trials.values()) == told
    size = sum(file.stat().st_size for file in (tmp_path / "p").iterdir() if file.is_file())
    assert size < 2 * LONGEST * len(BROKEN) + 2**19


@pytest.mark.service
def test_so_does_one_whose_trials_run_in_a_process(tmp_path):
    tuner = raising(tmp_path / "there")
    with WorkerProcesses(1) as pool, RemoteTrials(tuner, 1, pool=pool) as remote:
        while (trial := tuner.oracle.create_trial("one")).status == "RUNNING":
            remote.run(trial)
            tuner.oracle.end_trial(trial)
    there = check(tuner.oracle.study.trials.values())
    here = raising(tmp_path / "here")
    here.search(verbose=0)
    assert check(here.oracle.study.trials.values()) == there


def test_a_study_is_told_any_exception(tmp_path):
    study = kt.Study(space(), objective=LOSS, storage=tmp_path)
    for make in BROKEN.values():
        told = study.tell(study.ask(), failed=make())
        assert 0 < len(told.failure.message) <= LONGEST
    messages = [trial.failure for trial in study.trials.values()]
    study.close()
    again = kt.Study(space(), objective=LOSS, storage=tmp_path)
    assert [trial.failure for trial in again.trials.values()] == messages


@pytest.mark.parametrize("name", ["raised from itself", "__str__ raises", "50 MB", "a group"])
def test_a_builder_of_a_study_may_raise_any_exception(name):
    calls = []

    def build(hp):
        hp.Float("x", 0.0, 1.0)
        calls.append(hp)
        if len(calls) == 2:
            raise BROKEN[name]()

    study = kt.Study(build, objective=LOSS, max_trials=2)
    assert study.ask().number == 1
    failure = study.trials[0].failure
    assert len(failure.message) <= LONGEST
    if name == "raised from itself":
        assert "in build" in failure.message
        assert "afina/study" not in failure.message, "its own frames are of no use to anybody"


def test_a_study_tells_the_kind_of_an_exception_and_whether_to_try_again():
    study = kt.Study(space(), objective=LOSS, max_retries=1)
    trial = study.ask()
    assert study.tell(trial, failed=MemoryError()).status is Status.WAITING
    again = study.tell(study.ask(), failed=kt.errors.OversizedModelError("big"))
    assert (again.number, again.failure.kind) == (trial.number, FailureKind.OVERSIZED)
    hopeless = study.tell(study.ask(), failed=kt.errors.FailedTrialError("never"))
    assert hopeless.status is Status.FAILED, "not tried again"
    assert study.tell(study.ask(), failed=OwnBase("own")).status is Status.WAITING


def test_a_study_bounds_the_texts_that_it_is_told():
    study = kt.Study(space(), objective=LOSS)
    told = study.tell(study.ask(), failed="x" * 10**6)
    assert len(told.failure.message) <= LONGEST


def test_a_message_that_is_set_by_hand_is_bounded_too(tmp_path):
    oracle = kt.oracles.RandomSearch(LOSS, 3, hyperparameters=space())
    oracle._set_project_dir(tmp_path, "p")
    trial = oracle.create_trial("one")
    trial.status, trial.message = "INVALID", "\ud800" * 10**6
    oracle.end_trial(trial)
    assert len(oracle.trials[trial.trial_id].message) <= LONGEST
