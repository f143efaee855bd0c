"""What people can do to a search from the page, and what the search does then."""

import json
import threading

import pytest

import afina
from afina.search import Grid, Hyperband, Random
from afina.store import MemoryStore, SqliteStore, open_store
from afina.study import Study
from afina.study.requests import Requests, plan_of
from afina.trials.trial import QUEUED
from tests.dashboard.searches import build, search, train


@pytest.fixture
def running(tmp_path):
    """A search with one finished trial, whose next trial runs."""
    study = Study(
        build, objective="val_accuracy", algorithm=Random(0), store=tmp_path, max_trials=9
    )
    train(study, study.ask())
    yield study, study.ask(), tmp_path
    study.close()


def do(client, **body):
    return client.post("/api/actions", json=body)


def test_without_allow_actions_nothing_can_be_done(visit, running):
    _, trial, place = running
    for token in (None, "t"):
        client = visit(place, token=token)
        for name in ("stop", "end", "try", "remark"):
            assert do(client, do=name, trial=trial.number).status_code == 403
    assert SqliteStore(place).note("requests") is None


def test_actions_need_the_token(visit, running):
    client = visit(running[2], token="t", actions=True)
    client.headers["Authorization"] = "Bearer other"
    assert do(client, do="stop").status_code == 401


def test_a_form_of_another_page_cannot_act(visit, running):
    client = visit(running[2], token="t", actions=True)
    body = json.dumps({"do": "stop"})
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = client.post("/api/actions", content=body, headers={"Content-Type": kind})
        assert answer.status_code == 415
    assert client.get("/api/actions").status_code == 405


@pytest.mark.parametrize(
    "body", ["", "[]", "1", "{", '{"do": 5}', '{"do": "delete"}', '{"do": ["stop"]}', "[" * 50_000]
)
def test_what_is_no_action_is_refused_with_a_reason(visit, running, body):
    client = visit(running[2], token="t", actions=True)
    headers = {"Content-Type": "application/json"}
    answer = client.post("/api/actions", content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_a_request_that_is_too_long_is_refused(visit, running):
    client = visit(running[2], token="t", actions=True)
    assert do(client, do="remark", trial=0, text="x" * 200_000).status_code == 413


def test_a_trial_is_ended_after_its_epoch_and_keeps_its_score(visit, running):
    study, trial, place = running
    assert study.report(trial, {"val_accuracy": 0.3}, step=0) is afina.Decision.CONTINUE
    answer = do(visit(place, token="t", actions=True), do="end", trial=trial.number)
    assert "ends after its epoch" in answer.json()["said"]
    study.stop_rules.requests._looked -= 1  # a second has passed
    assert study.report(trial, {"val_accuracy": 0.5}, step=1) is afina.Decision.STOP
    assert study.tell(trial).score == 0.5
    other = study.ask()
    assert study.report(other, {"val_accuracy": 0.1}, step=0) is afina.Decision.CONTINUE


def test_only_a_running_trial_can_be_ended(visit, running):
    client = visit(running[2], token="t", actions=True)
    for number in (0, 99, -1, "1", True, None):
        assert do(client, do="end", trial=number).status_code == 400


def test_a_stopped_search_begins_no_trial_and_says_why(visit, running):
    study, trial, place = running
    client = visit(place, token="t", actions=True)
    assert do(client, do="stop").status_code == 200
    train(study, trial)
    assert study.ask() is None
    assert study.stop_reason == "it was stopped from outside"
    assert client.get("/api/state").json()["live"]["reason"] == study.stop_reason


def test_a_stopped_search_goes_on_when_its_script_runs_again(visit, running):
    study, trial, place = running
    do(visit(place, token="t", actions=True), do="stop")
    train(study, trial)
    assert study.ask() is None
    study.close()
    again = Study(build, objective="val_accuracy", algorithm=Random(0), store=place, max_trials=9)
    assert again.ask() is not None
    again.close()


def test_a_configuration_that_somebody_asks_for_is_tried_next(visit, running):
    study, trial, place = running
    client = visit(place, token="t", actions=True)
    values = {"rate": "0.02", "layers": 3, "optimizer": "adam"}
    assert do(client, do="try", values=values).status_code == 200
    assert client.get("/api/state").json()["live"]["asked"]["try"] == 1
    train(study, trial)
    asked, after = study.ask(), study.ask()
    assert asked.values == {"rate": 0.02, "layers": 3, "optimizer": "adam"}
    assert QUEUED in asked.notes
    assert QUEUED not in after.notes


def test_two_people_who_ask_at_once_are_both_heard():
    store = MemoryStore()
    search(store, 1)
    asks = [
        threading.Thread(target=Requests(MemoryStore(beside=store)).ask_end, args=(number,))
        for number in range(20)
    ]
    for each in asks:
        each.start()
    for each in asks:
        each.join()
    assert store.note("requests")["end"] == list(range(20))


@pytest.mark.parametrize(
    "values",
    [None, [], {"nothing": 1}, {"rate": "fast"}, {"rate": None}, {"rate": [1]}, {"layers": "1e999"},
     {"optimizer": "lion"}, {"optimizer": True}, {"layers": 77}, {"rate": 1e9}],
)  # fmt: skip
def test_values_that_the_space_does_not_have_are_refused(visit, running, values):
    answer = do(visit(running[2], token="t", actions=True), do="try", values=values)
    assert answer.status_code == 400
    assert SqliteStore(running[2]).note("requests") is None


def test_a_grid_search_tries_a_configuration_before_the_rest_of_its_plan(visit, tmp_path):
    def small(hp):
        hp.Choice("a", [1, 2, 3])

    study = Study(small, objective=afina.Objective("x", "min"), algorithm=Grid(), store=tmp_path)
    study.tell(study.ask(), 1.0)
    client = visit(tmp_path, token="t", actions=True)
    assert do(client, do="try", values={"a": 3}).status_code == 200
    assert [study.tell(study.ask(), 1.0).values["a"] for _ in range(2)] == [3, 2]
    assert study.ask() is None
    study.close()


def test_in_a_search_with_rungs_the_asked_configuration_begins_on_the_first_one():
    store = MemoryStore()
    study = Study(build, objective="val_accuracy", algorithm=Hyperband(max_epochs=4), store=store)
    Requests(store).ask_try({"rate": 0.003, "layers": 2, "optimizer": "adam"})
    first = study.ask()
    assert first.values["rate"] == 0.003
    assert (first.schedule.rung, first.schedule.parent) == (0, None)
    train(study, first)
    while (trial := study.ask()) is not None:
        train(study, trial)
    assert study.stop_reason is not None
    assert "brackets" in study.stop_reason


def test_requests_do_not_change_which_trials_a_search_tries():
    plain = search(MemoryStore(), 8)
    asked = Study(
        build, objective="val_accuracy", algorithm=Random(0), store=MemoryStore(), max_trials=8
    )
    for number in range(8):
        Requests(asked.store).ask_end(number + 100)
        train(asked, asked.ask())
    assert [t.values for t in asked.trials.values()] == [t.values for t in plain.trials.values()]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"do": "pause", "trial": 1}, "the script trains the models itself"),
        ({"do": "resume", "trial": 1}, "must be paused"),
        ({"do": "boost", "trial": 0, "epochs": 3}, "the script trains the models itself"),
        ({"do": "boost", "trial": 0, "epochs": 0}, "whole number from 1"),
        ({"do": "boost", "trial": 0, "epochs": 1.5}, "whole number from 1"),
        ({"do": "boost", "trial": 77, "epochs": 3}, "number of a trial"),
        (
            {"do": "range", "name": "layers", "low": 0, "high": 2},
            "the range of the script, 1 to",
        ),
        ({"do": "range", "name": "layers", "low": 3, "high": 2}, "must not be above the highest"),
        ({"do": "range", "name": "layers", "low": "many"}, "must be a number"),
        ({"do": "range", "name": "optimizer", "values": []}, "at least one of its values"),
        ({"do": "range", "name": "optimizer", "values": ["lion"]}, "one of its choices"),
        ({"do": "range", "name": "speed", "low": 1}, "that of a hyperparameter"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason(visit, running, body, reason):
    answer = visit(running[2], token="t", actions=True).post("/api/actions", json=body)
    assert answer.status_code == 400
    assert reason in answer.json()["error"]
    assert SqliteStore(running[2]).note("requests") is None


def test_a_range_is_narrowed_and_given_back(visit, running):
    study, trial, place = running
    client = visit(place, token="t", actions=True)
    assert do(client, do="range", name="layers", low="2", high=2).status_code == 200
    assert do(client, do="range", name="optimizer", values=["adam"]).status_code == 200
    asked = client.get("/api/state").json()["live"]["asked"]["ranges"]
    assert asked == {"layers": {"low": 2, "high": 2}, "optimizer": {"values": ["adam"]}}
    train(study, trial)
    drawn = [train(study, study.ask()).values for _ in range(3)]
    assert {(each["layers"], each["optimizer"]) for each in drawn} == {(2, "adam")}
    assert do(client, do="range", name="layers", low="", high="").status_code == 200
    assert "layers" not in client.get("/api/state").json()["live"]["asked"]["ranges"]


def test_a_note_on_a_trial_is_kept_beside_it(visit, running):
    client = visit(running[2], token="t", actions=True)
    assert do(client, do="remark", trial=0, text=" why so fast? <b>").status_code == 200
    assert client.get("/api/state").json()["live"]["remarks"] == {"0": "why so fast? <b>"}
    do(client, do="remark", trial=0, text="  ")
    assert client.get("/api/state").json()["live"]["remarks"] == {}
    assert do(client, do="remark", trial=0, text="x" * 2001).status_code == 400


def test_a_search_says_what_it_is_up_to(tmp_path):
    study = search(tmp_path, 2)
    plan = plan_of(study.store)
    assert plan["max_trials"] == 2
    assert plan["reason"] == "max_trials=2 trials have been run"
    assert plan["ended"] >= plan["began"] > 1.6e9
    study.close()
    assert plan_of(open_store(tmp_path)) == plan
