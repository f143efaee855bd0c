"""What Optuna's users expect of a study and of its trials."""

import pickle
import threading
import time

import pytest

import afina
from afina.errors import ArgumentError, NoTrialError
from afina.search import Auto, Grid, Hyperband, ParetoSearch, Random
from afina.study.open_trial import OpenTrial
from afina.trials import Decision, Status, Trial

LOSS = afina.Objective("loss", "min")


def build(hp):
    hp.Int("a", 1, 9)
    hp.Int("b", 1, 9, default=2)
    hp.constraint(lambda v: v["a"] + v["b"] < 18, name="a sum below 18")


def study(**kwargs):
    return afina.Study(build, **{"objective": LOSS, "algorithm": Random(), "seed": 0, **kwargs})


def test_n_trials_counts_the_trials_of_one_call():
    run = study()
    run.optimize(lambda trial: trial.params["a"], 3)
    assert (len(run.trials), run.stop_reason) == (3, "n_trials=3 trials have been run")
    run.optimize(lambda trial: trial.params["a"], n_trials=4, executor="threads")
    assert len(run.trials) == 7
    assert run.best_value == min(trial.values["a"] for trial in run.trials.values())
    assert run.best_params == dict(run.best_trial.values)


def test_the_study_s_own_limit_comes_first():
    run = study(max_trials=2)
    run.optimize(lambda trial: 1.0, n_trials=5)
    assert run.stop_reason == "max_trials=2 trials have been run"


def test_a_timeout_begins_no_more_trials_and_lets_the_running_one_end():
    run = study()

    def slow(trial):
        time.sleep(0.2)
        return 1.0

    run.optimize(slow, timeout=0.1)
    assert [trial.status for trial in run.trials.values()] == [Status.COMPLETED]
    assert run.stop_reason == "timeout=0.1 seconds are over"


@pytest.mark.parametrize(("n_trials", "timeout"), [(0, None), (2.5, None), (None, 0), (None, "x")])
def test_limits_that_are_no_numbers_above_zero_are_refused(n_trials, timeout):
    with pytest.raises(ArgumentError, match=r"n_trials|timeout"):
        study().optimize(lambda trial: 1.0, n_trials, timeout)


@pytest.mark.parametrize("executor", ["serial", "threads"])
def test_stop_ends_the_call_and_the_next_one_goes_on(executor):
    run, ended = study(), []

    def stop(of, trial):
        ended.append(trial.number)
        if len(ended) == 2:
            of.stop()

    run.optimize(lambda trial: 1.0, executor=executor, callbacks=[stop])
    assert 2 <= len(run.trials) < 10
    assert all(trial.status is Status.COMPLETED for trial in run.trials.values())
    assert run.stop_reason == "stop() was called"
    before = len(run.trials)
    run.optimize(lambda trial: 1.0, n_trials=1)
    assert len(run.trials) == before + 1


def test_stop_may_be_called_from_the_function_and_from_another_thread():
    run = study()
    run.optimize(lambda trial: run.stop() or 1.0)
    assert len(run.trials) == 1
    threading.Timer(0.2, run.stop).start()
    run.optimize(lambda trial: time.sleep(0.05) or 1.0)
    assert 1 < len(run.trials) < 60


@pytest.mark.parametrize("algorithm", [Random(), Grid(), Auto(), Hyperband(max_epochs=4)])
def test_queued_configurations_come_next_in_their_order(algorithm):
    run = study(algorithm=algorithm)
    run.optimize(lambda trial: float(trial.params["a"]), n_trials=2)
    first, second = run.enqueue({"a": 7}), run.enqueue_trial({"a": 8, "b": 9})
    assert [first.status, second.status] == [Status.WAITING] * 2
    run.optimize(lambda trial: float(trial.params["a"]), n_trials=4)
    values = [dict(trial.values) for trial in run.trials.values()]
    assert values[2:4] == [{"a": 7, "b": 2}, {"a": 8, "b": 9}]
    assert len(values) == 6
    assert {trial.status for trial in run.trials.values()} == {Status.COMPLETED}
    assert run.trials[2].score == 7.0
    assert run.trials[2].retries == 0


def test_the_queue_survives_the_process_that_filled_it(tmp_path):
    before = study(store=tmp_path)
    before.enqueue({"a": 6, "b": 6})
    before.close()
    after = study(store=tmp_path)
    trial = after.ask()
    assert dict(trial.values) == {"a": 6, "b": 6}
    after.tell(trial, 1.0)
    assert after.trials[0].status is Status.COMPLETED
    assert "queued" in after.trials[0].notes


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"c": 1}, "must name hyperparameters of the space"),
        ({"a": 99}, "must be a value of"),
        ({"a": 9, "b": 9}, "must satisfy the a sum below 18"),
        ([1], "must be a list of mappings"),
    ],
)
def test_a_configuration_outside_of_the_space_is_not_queued(values, says):
    run = study()
    with pytest.raises(ArgumentError, match=f"enqueue.*{says}"):
        run.enqueue(values)
    assert run.trials == {}


@pytest.mark.parametrize("fails", [False, True])
def test_user_attributes_are_kept_with_the_project(fails, tmp_path):
    def function(trial):
        trial.set_user_attr("layers", [8, 4])
        trial.set_user_attr("mood", "good")
        assert trial.user_attrs == {"layers": [8, 4], "mood": "good"}
        if fails:
            raise ValueError("no")
        return 1.0

    run = study(store=tmp_path)
    run.optimize(function, n_trials=1)
    run.close()
    found = study(store=tmp_path).trials[0]
    assert found.user_attrs == {"layers": [8, 4], "mood": "good"}
    frame = study(store=tmp_path).trials_dataframe()
    assert frame["user_attrs.mood"].tolist() == ["good"]


def test_an_attribute_is_kept_before_the_trial_ends(tmp_path):
    run = study(store=tmp_path)
    trial = run.ask()
    trial.set_user_attr("begun", True)
    assert run.trials[0].user_attrs == {"begun": True}
    with pytest.raises(ArgumentError, match="must be one that JSON can hold"):
        trial.set_user_attr("study", run)
    run.tell(trial, 1.0)
    with pytest.raises(ArgumentError, match="has been told already"):
        trial.set_user_attr("late", 1)


def test_reports_and_pruning_are_spelt_as_in_optuna():
    class Halving(Random):
        def stop_early(self, state, trial, curve):
            return Decision.STOP if len(curve) == 2 else Decision.CONTINUE

    steps = []

    def function(trial):
        for step in range(5):
            trial.report(5.0 - step, step)
            steps.append(step)
            if trial.should_prune():
                return
        return

    run = study(algorithm=Halving())
    run.optimize(function, n_trials=1)
    assert steps == [0, 1]
    assert run.best_value == 4.0


def test_an_open_trial_equals_the_plain_one_and_refuses_in_another_process():
    run = study()
    trial = run.ask()
    assert trial == run.trials[0]
    assert run.trials[0] == trial
    assert trial != Trial(number=5, values={})
    there = pickle.loads(pickle.dumps(trial))
    assert isinstance(there, OpenTrial)
    assert there == trial
    with pytest.raises(ArgumentError, match="in the process of the study"):
        there.set_user_attr("a", 1)


def test_best_values_of_nothing_or_of_several_objectives_are_refused_with_a_sentence():
    with pytest.raises(NoTrialError):
        study().best_params  # noqa: B018
    several = study(objective=["loss", "val_loss"], algorithm=ParetoSearch())
    several.optimize(lambda trial: {"loss": 1.0, "val_loss": 2.0}, n_trials=1)
    with pytest.raises(ArgumentError, match="Use get_pareto_front"):
        several.best_value  # noqa: B018


# -- define by run --------------------------------------------------------------------------------


def by_run(trial):
    x = trial.suggest_float("x", -5.0, 5.0)
    rate = trial.suggest_float("rate", 1e-4, 1.0, log=True)
    layers = trial.suggest_int("layers", 1, 4)
    if trial.suggest_categorical("kind", ["a", "b"]) == "b":
        layers += trial.suggest_int("more", 2, 8, step=2)
    assert 1e-4 <= rate <= 1.0
    assert trial.params["x"] == x
    return x**2 + layers


@pytest.mark.parametrize("algorithm", [None, Random(), afina.search.TPE()])
def test_a_function_may_define_the_space_by_suggestions(algorithm, tmp_path):
    runs = []
    for name, parts in (("whole", (8,)), ("parts", (3, 5))):
        for count in parts:  # the second part is a resume
            run = afina.Study(objective=LOSS, algorithm=algorithm, seed=1, store=tmp_path / name)
            run.optimize(by_run, n_trials=count)
            run.close()
        runs.append([dict(trial.values) for trial in run.trials.values()])
        assert all(trial.status is Status.COMPLETED for trial in run.trials.values())
    assert runs[0] == runs[1]
    assert len({values["x"] for values in runs[0]}) == 8
    entries = {entry.name: entry for entry in run.space}
    assert {"x", "rate", "layers", "kind"} <= set(entries)
    assert entries["rate"].sampling == "log"
    assert (entries["layers"].min_value, entries["layers"].max_value) == (1, 4)


def test_suggestions_go_with_threads_and_with_a_space_that_is_known():
    run = afina.Study(objective=LOSS, seed=0)
    run.optimize(by_run, n_trials=6, executor="threads")
    assert len(run.trials) == 6
    known = study()
    known.optimize(lambda trial: trial.suggest_int("a", 1, 9) + trial.params["b"], n_trials=3)
    assert [trial.score for trial in known.trials.values()] == [
        trial.values["a"] + trial.values["b"] for trial in known.trials.values()
    ]


def test_a_suggestion_that_makes_no_sense_fails_the_trial_with_the_reason():
    run = afina.Study(objective=LOSS)
    trial = run.ask()
    with pytest.raises(ArgumentError, match="must have no step where log=True"):
        trial.suggest_int("n", 1, 8, step=2, log=True)
    elsewhere = pickle.loads(pickle.dumps(trial))
    with pytest.raises(ArgumentError, match="must be called in the process of the study"):
        elsewhere.suggest_int("n", 1, 8)


@pytest.mark.parametrize(
    "suggest",
    [
        lambda trial: trial.suggest_float("x", 1, 0),
        lambda trial: trial.suggest_float("x", -1.0, 1.0, log=True),
        lambda trial: trial.suggest_int("x", 5, 2),
        lambda trial: trial.suggest_int("x", 1, 8, step=0),
        lambda trial: trial.suggest_categorical("x", []),
    ],
)
def test_a_mistake_in_a_suggestion_ends_the_search_at_once(suggest, tmp_path):
    run = afina.Study(objective=LOSS, store=tmp_path)
    with pytest.raises(ArgumentError, match="x"):
        run.optimize(suggest, n_trials=5)
    assert len(run.trials) == 1
    run.close()
    mended = afina.Study(objective=LOSS, store=tmp_path)
    mended.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    assert [trial.status for trial in mended.trials.values()] == [Status.COMPLETED] * 2
    mended.close()


# -- pruned trials, exceptions, attributes ---------------------------------------------------------


def test_a_pruned_trial_has_the_score_of_its_best_epoch():
    class TrialPruned(Exception):  # noqa: N818 - as Optuna's
        pass

    def train(trial, error):
        for step, loss in enumerate((3.0, 1.0, 2.0)):
            trial.report(loss, step)
        raise error

    for error in (afina.errors.TrialPruned(), TrialPruned()):
        run = study(max_trials=1)
        run.optimize(lambda trial, error=error: train(trial, error))
        assert (run.trials[0].status, run.best_value) == (Status.COMPLETED, 1.0)
    early = study(max_trials=1)
    early.optimize(lambda trial: prune())
    assert early.trials[0].status is Status.FAILED


def prune():
    raise afina.errors.TrialPruned("before any epoch")


def test_catch_says_which_exceptions_fail_a_trial_only():
    def fail(trial):
        raise (ValueError if trial.number == 0 else KeyError)("x")

    run = study()
    with pytest.raises(KeyError):
        run.optimize(fail, n_trials=5, catch=ValueError)
    assert [trial.status for trial in run.trials.values()] == [Status.FAILED] * 2
    with pytest.raises(KeyError):
        study().optimize(lambda trial: {}["y"], catch=())
    with pytest.raises(ArgumentError, match="must be exception classes"):
        study().optimize(fail, catch=["ValueError"])


def test_a_study_keeps_attributes_with_its_project(tmp_path):
    run = study(store=tmp_path)
    run.set_user_attr("data", {"rows": 3})
    run.set_user_attr("who", "me")
    run.close()
    assert study(store=tmp_path).user_attrs == {"data": {"rows": 3}, "who": "me"}
    with pytest.raises(ArgumentError, match="JSON can hold"):
        run.set_user_attr("x", object())
