"""A search without one completed trial: what it says, and what its getters say."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

import afina as kt
from afina import cli
from afina.errors import ArgumentError, NoTrialError, SearchFailedError

NONE = r"No trial has completed: 2 have failed\.\n- ValueError: no good \(2 trials\)"


class Failing(kt.Tuner):
    """Raises what it is told to, trial by trial; returns numbers."""

    outcomes: tuple = (ValueError("no good"),)

    def run_trial(self, trial, *args, **kwargs):
        trial.hyperparameters.Float("x", 0, 1)
        outcome = self.outcomes[int(trial.trial_id) % len(self.outcomes)]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


def tuner_at(folder, *outcomes, **settings):
    settings = {"max_trials": 2, "seed": 0, **settings}
    oracle = kt.oracles.RandomSearch(objective=kt.Objective("loss", "min"), **settings)
    made = Failing(oracle, directory=folder, project_name="p")
    if outcomes:
        made.outcomes = outcomes
    return made


@pytest.fixture
def failed(tmp_path):
    tuner = tuner_at(tmp_path)
    with pytest.warns(UserWarning, match="search: " + NONE):
        tuner.search(1, verbose=0)
    return tuner


@pytest.mark.parametrize("name", ["get_best_hyperparameters", "get_best_models"])
def test_the_best_are_an_empty_list_whose_first_says_why_there_is_none(failed, name):
    best = getattr(failed, name)()
    assert (best, len(best), list(best)) == ([], 0, [])
    assert isinstance(best, list)
    for index in (0, -1):
        with pytest.raises(NoTrialError, match=f"{name}: {NONE}"):
            best[index]
    with pytest.raises(IndexError):
        best[0]


def test_every_way_to_a_best_trial_says_why_there_is_none(failed):
    for call in (
        lambda: failed.oracle.get_completed_trials()[0],
        lambda: failed.get_pareto_front()[0],
        lambda: failed.retrain_best([1]),
        lambda: failed.evaluate_best([1]),
        lambda: failed.compare_best([1]),
        failed.search_again,
    ):
        with pytest.raises(NoTrialError, match=NONE) as caught:
            call()
        assert isinstance(caught.value, ArgumentError)


def test_the_trials_that_failed_are_there_to_be_looked_at(failed):
    trials = failed.oracle.get_best_trials(5)
    assert [trial.status for trial in trials] == ["FAILED"] * 2
    with pytest.raises(NoTrialError, match=f"get_best_trials: {NONE}"):
        trials[2]


def test_what_is_printed_says_why(failed, capsys):
    failed.results_summary()
    assert "\n- ValueError: no good (2 trials)\n" in capsys.readouterr().out
    assert "No trial has a result" in str(failed.advice())
    done = CliRunner().invoke(cli.main, ["best", failed.project_dir])
    assert (done.exit_code, done.output.splitlines()[:2]) == (
        3,
        ["No trial has completed: 2 have failed.", "- ValueError: no good (2 trials)"],
    )


def test_the_report_of_failures_alone_holds_their_reasons(failed, tmp_path):
    page = failed.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "ValueError: no good" in page


def test_where_some_have_completed_the_others_are_told_by_number(tmp_path):
    tuner = tuner_at(tmp_path, 1.0, ValueError("no good"))
    tuner.search(verbose=0)
    best = tuner.get_best_hyperparameters(3)
    assert len(best) == 1
    with pytest.raises(NoTrialError, match=r"index: must be below the number of trials .*\(1\)"):
        best[1]
    assert type(tuner.get_best_hyperparameters(1)) is list


def test_before_the_search_there_is_none_to_be_had(tmp_path):
    for best in (
        tuner_at(tmp_path).get_best_hyperparameters(),
        tuner_at(tmp_path).get_best_models(),
    ):
        with pytest.raises(NoTrialError, match=r"No trial has been run yet\. Search first"):
            best[0]


def test_a_search_that_is_ended_by_failures_tells_all_their_reasons_once(tmp_path):
    outcomes = (1.0, ValueError("one"), KeyError("two"), ValueError("one"), MemoryError())
    tuner = tuner_at(tmp_path, *outcomes, max_trials=9, max_consecutive_failed_trials=4)
    with pytest.raises(SearchFailedError) as caught:
        tuner.search(verbose=0)
    told = str(caught.value)
    for line in (
        "ValueError: one (2 trials)",
        "KeyError: 'two' (1 trial)",
        "MemoryError (1 trial)",
    ):
        assert told.count(line) == 1
    last = told[told.index("Traceback") :]  # as a whole, with what to do
    assert "\nMemoryError\n" in last
    assert last.rstrip().endswith("on a machine with more memory.")


def test_of_many_reasons_the_most_frequent_are_told(tmp_path):
    outcomes = [ValueError(f"number {n}") for n in range(9)]
    tuner = tuner_at(
        tmp_path, *outcomes, *outcomes[:3], max_trials=12, max_consecutive_failed_trials=99
    )
    with pytest.warns(
        UserWarning, match=r"number 0 \(2 trials\)[\s\S]*4 other reasons \(4 trials\)"
    ):
        tuner.search(verbose=0)


def test_a_study_says_it_too():
    hp = kt.HyperParameters()
    hp.Float("x", 0.0, 1.0)
    study = kt.Study(hp, objective=kt.Objective("loss", "min"), max_trials=2)
    with pytest.raises(NoTrialError, match="best_trial: No trial has been run yet"):
        study.best_trial  # noqa: B018
    trial = study.ask()
    with pytest.raises(NoTrialError, match="No trial has completed: 1 not finished yet"):
        study.best_trial  # noqa: B018
    study.tell(trial, failed=ValueError("no good"))
    study.tell(study.ask(), failed=ValueError("no good"))
    with pytest.raises(NoTrialError, match=NONE):
        study.best_trial  # noqa: B018
