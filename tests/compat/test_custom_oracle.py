"""Algorithms of the user's own: subclasses of `kt.Oracle` with `populate_space`."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

import afina as kt

HALVES = [0.0, 0.5, 1.0]


class ListOracle(kt.Oracle):
    """Proposes the values of a list, one after another."""

    def __init__(self, proposals: Any = HALVES, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.proposals = list(proposals)
        self.asked: list[str] = []

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        self.asked.append(trial_id)
        if not self.proposals:
            return {"status": "STOPPED"}
        return {"status": "RUNNING", "values": {"x": self.proposals.pop(0)}}


class Square(kt.engine.base_tuner.BaseTuner):
    """Scores a trial by x squared."""

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
        return trial.hyperparameters.Float("x", 0, 1) ** 2


def space() -> Any:
    hp = kt.HyperParameters()
    hp.Float("x", 0, 1)
    return hp


def test_populate_space_decides_what_is_tried_and_when_to_stop(project: dict[str, Any]) -> None:
    oracle = ListOracle(objective=kt.Objective("score", "min"))
    Square(oracle, **project).search(verbose=0)
    assert [t.hyperparameters.get("x") for t in oracle.trials.values()] == HALVES
    assert [t.score for t in oracle.trials.values()] == [0.0, 0.25, 1.0]
    assert oracle.asked == ["0000", "0001", "0002", "0003"]


def test_max_trials_stops_before_populate_space_is_asked(project: dict[str, Any]) -> None:
    oracle = ListOracle(max_trials=2)
    Square(oracle, **project).search(verbose=0)
    assert oracle.asked == ["0", "1"]


def test_the_base_oracle_does_not_know_what_to_propose() -> None:
    with pytest.raises(NotImplementedError):
        kt.Oracle(objective="val_loss").populate_space("0")


def test_a_proposal_without_values_lets_the_defaults_stand(tmp_path: Path) -> None:
    class Empty(kt.Oracle):
        def populate_space(self, trial_id: str) -> dict[str, Any]:
            return {"status": "RUNNING", "values": {}}

    oracle = Empty(objective="val_loss", max_trials=1)
    oracle.verbose = 0
    oracle._set_project_dir(str(tmp_path), "project")
    trial = oracle.create_trial("tuner0")
    assert trial.hyperparameters.Int("units", 4, 8) == 4


def test_values_missing_in_a_proposal_are_filled_within_their_range(tmp_path: Path) -> None:
    hp = space()
    hp.Int("units", 4, 8)
    oracle = ListOracle(objective="val_loss", hyperparameters=hp)
    oracle.verbose = 0
    oracle._set_project_dir(str(tmp_path), "project")
    trial = oracle.create_trial("tuner0")
    assert trial.hyperparameters.get("x") == 0.0
    assert trial.hyperparameters.get("units") in range(4, 9)


def test_an_idle_answer_is_asked_again(project: dict[str, Any]) -> None:
    class Hesitant(ListOracle):
        def populate_space(self, trial_id: str) -> dict[str, Any]:
            if self.asked.count(trial_id) < 2:
                self.asked.append(trial_id)
                return {"status": "IDLE"}
            return super().populate_space(trial_id)

    oracle = Hesitant(objective=kt.Objective("score", "min"), max_trials=2)
    Square(oracle, **project).search(verbose=0)
    assert [t.score for t in oracle.trials.values()] == [0.0, 0.25]
    assert oracle.asked == ["0"] * 3 + ["1"] * 3


def test_an_idle_trial_is_not_kept(tmp_path: Path) -> None:
    class Idle(kt.Oracle):
        def populate_space(self, trial_id: str) -> dict[str, Any]:
            return {"status": "IDLE"}

    oracle = Idle(objective="val_loss")
    oracle._set_project_dir(str(tmp_path), "project")
    assert oracle.create_trial("tuner0").status == kt.engine.trial.TrialStatus.IDLE
    assert dict(oracle.trials) == {}
    assert list(oracle.start_order) == []


def test_populate_space_may_look_at_finished_trials(project: dict[str, Any]) -> None:
    class Halving(kt.Oracle):
        """Tries half of the best x so far."""

        def populate_space(self, trial_id: str) -> dict[str, Any]:
            best = self.get_best_trials(1)
            x = best[0].hyperparameters.get("x") / 2 if best else 1.0
            return {"status": "RUNNING", "values": {"x": x}}

    oracle = Halving(objective=kt.Objective("score", "min"), max_trials=4)
    Square(oracle, **project).search(verbose=0)
    assert [t.hyperparameters.get("x") for t in oracle.trials.values()] == [1, 0.5, 0.25, 0.125]


def test_score_trial_can_be_overridden(project: dict[str, Any]) -> None:
    class Worst(ListOracle):
        def score_trial(self, trial: Any) -> None:
            trial.score = -trial.metrics.get_last_value("score")
            trial.best_step = 7

    oracle = Worst(objective=kt.Objective("score", "min"))
    Square(oracle, **project).search(verbose=0)
    assert [t.score for t in oracle.trials.values()] == [0.0, -0.25, -1.0]
    best = oracle.get_best_trials()[0]
    assert (best.hyperparameters.get("x"), best.best_step) == (1.0, 7)


def test_end_trial_and_create_trial_can_be_overridden_as_synchronized(
    project: dict[str, Any],
) -> None:
    calls: list[str] = []

    class Watched(ListOracle):
        @kt.synchronized
        def create_trial(self, tuner_id: str) -> Any:
            calls.append(f"create for {tuner_id}")
            return super().create_trial(tuner_id)

        @kt.synchronized
        def update_trial(self, trial_id: str, metrics: Any, step: int = 0) -> Any:
            calls.append(f"update {trial_id}")
            return super().update_trial(trial_id, metrics, step)

        @kt.synchronized
        def end_trial(self, trial: Any) -> None:
            calls.append(f"end {trial.trial_id}")
            super().end_trial(trial)

    Square(Watched([0.5], objective=kt.Objective("score", "min")), **project).search(verbose=0)
    assert calls == ["create for tuner0", "update 0000", "end 0000", "create for tuner0"]


def test_synchronized_methods_of_one_oracle_exclude_each_other() -> None:
    inside, most = [], []

    class Counting(kt.Oracle):
        @kt.synchronized
        def visit(self) -> None:
            inside.append(1)
            gate.wait(0.05)
            most.append(len(inside))
            inside.pop()

    oracle, gate = Counting(objective="val_loss"), threading.Event()
    threads = [threading.Thread(target=oracle.visit) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1]


@pytest.mark.afina_only
def test_an_exception_in_a_synchronized_method_lets_the_others_go_on() -> None:
    class Fragile(kt.Oracle):
        @kt.synchronized
        def visit(self, fail: bool) -> str:
            if fail:
                raise KeyError("broken")
            return "fine"

    oracle, answers = Fragile(objective="val_loss"), []
    with pytest.raises(KeyError):
        oracle.visit(True)
    thread = threading.Thread(target=lambda: answers.append(oracle.visit(False)), daemon=True)
    thread.start()
    thread.join(10)
    assert answers == ["fine"]


def test_the_state_of_a_subclass_is_saved_and_reloaded(project: dict[str, Any]) -> None:
    class Stateful(ListOracle):
        def get_state(self) -> dict[str, Any]:
            return {**super().get_state(), "left": self.proposals}

        def set_state(self, state: dict[str, Any]) -> None:
            super().set_state(state)
            self.proposals = state["left"]

    objective = kt.Objective("score", "min")
    Square(Stateful(objective=objective, max_trials=2), **project).search(verbose=0)
    again = Square(Stateful(objective=objective, max_trials=9), **project)
    assert again.oracle.proposals == [1.0]
    again.search(verbose=0)
    assert [t.score for t in again.oracle.trials.values()] == [0.0, 0.25, 1.0]


def test_the_values_of_a_custom_oracle_keep_keys_that_are_no_hyperparameters(
    project: dict[str, Any],
) -> None:
    class Tagging(ListOracle):
        def populate_space(self, trial_id: str) -> dict[str, Any]:
            answer = super().populate_space(trial_id)
            if "values" in answer:
                answer["values"]["my/tag"] = f"t{trial_id}"
            return answer

    tuner = Square(Tagging(objective=kt.Objective("score", "min")), **project)
    tuner.search(verbose=0)
    assert tuner.get_best_hyperparameters()[0].values["my/tag"] == "t0000"


def test_an_oracle_of_another_type_is_refused(project: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"[Oo]racle"):
        Square("random", **project)
