"""What the dashboard's addresses return for known searches."""

import csv
import io
import json

import pytest

import afina
from afina.dashboard.actions import act
from afina.dashboard.searches import Searches
from afina.page.lessons import Lessons
from afina.page.watch import Watch
from afina.search import Grid, Hyperband, ParetoSearch, Random
from afina.store import MemoryStore, open_store
from afina.study import Study
from tests.dashboard.searches import HOSTILE, build, hostile, search, train
from tests.postgres import running_server


def rows_of(state):
    columns = [*state["search"]["columns"]]
    if state["search"]["several"]:
        columns += [each["name"] for each in state["search"]["objectives"]]
    columns += [each["name"] for each in state["search"]["hyperparameters"]]
    return [dict(zip(columns, row, strict=True)) for row in state["rows"]]


def test_the_state_has_each_trial_with_its_score_values_and_epochs(visit, folder):
    state = visit(folder).get("/api/state").json()
    stored = {trial.number: trial for trial in open_store(folder).trials()}
    rows = rows_of(state)
    assert [row["number"] for row in rows] == sorted(stored)
    for row in rows:
        trial = stored[row["number"]]
        assert row["status"] == trial.status.value
        assert row["score"] == trial.score
        assert all(row[name] == value for name, value in trial.values.items())
        assert row["epochs"] == (4 if trial.score is not None else None)
    assert "ValueError: too fast <b>" in {row["reason"] for row in rows}
    assert state["search"]["objectives"] == [{"name": "val_accuracy", "direction": "max"}]


def test_a_value_that_a_trial_does_not_have_is_null(visit, folder):
    rows = rows_of(visit(folder).get("/api/state").json())
    assert {row["optimizer"] for row in rows} == {"adam", "sgd"}
    assert all((row["momentum"] is None) == (row["optimizer"] == "adam") for row in rows)


def test_a_search_is_told_in_sentences_and_tables(visit, folder):
    told = visit(folder).get("/api/about").json()
    trials = open_store(folder).trials()
    failed = [trial for trial in trials if trial.failure is not None]
    best = max((t for t in trials if t.score is not None), key=lambda trial: trial.score)
    assert f"{len(trials) - len(failed)} trials were completed" in told["summary"][0]
    assert (told["best"]["number"], dict(told["best"]["values"])) == (best.number, best.values)
    assert [each["count"] for each in told["failures"]] == [len(failed)]
    assert told["failures"][0]["reason"] == "ValueError: too fast <b>"
    assert {name for name, _ in told["seconds"]} >= {"build", "train"}
    assert visit(MemoryStore()).get("/api/about").json() is None


def test_a_search_that_has_ended_says_why_and_how_far_it_came(visit, folder):
    live = visit(folder).get("/api/state").json()["live"]
    assert live["state"] == "ended"
    assert live["reason"] == "max_trials=30 trials have been run"
    assert live["total"] == sum(live["counts"].values()) == 30
    assert live["trained"] == 4 * live["counts"]["completed"]


def test_the_number_of_trials_of_hyperband_is_known_from_its_plan():
    store = MemoryStore()
    study = search(store, None, Hyperband(max_epochs=4))
    watch = Watch(store, "x")
    watch.refresh()
    assert watch.live["total"] == len(study.trials)


def test_a_running_trial_shows_its_curve_its_worker_and_the_time_left(visit, tmp_path):
    study = Study(
        build, objective="val_accuracy", algorithm=Random(0), store=tmp_path, max_trials=4
    )
    train(study, study.ask())
    trial = study.ask()
    for step in range(3):
        study.report(trial, {"val_accuracy": 0.25 * step}, step=step)
    watch = Watch(study.store, "x")
    watch.refresh()
    (run,) = watch.live["running"]
    assert run["curve"] == [[1, 2, 3], [0.0, 0.25, 0.5]]
    assert (run["number"], run["epoch"], run["lost"]) == (1, 3, False)
    assert run["owner"].startswith("process ")
    assert watch.live["state"] == "running"
    assert watch.live["left"] >= 0
    study.close()


def test_only_what_changed_is_sent_after_the_first_view():
    store = MemoryStore()
    study = Study(build, objective="val_accuracy", algorithm=Random(0), store=store, max_trials=9)
    for _ in range(8):  # by now every hyperparameter has been met
        train(study, study.ask())
    watch = Watch(store, "x")
    watch.refresh(at_once=True)
    seen = (watch.generation, watch.version)
    assert watch.since(*seen) is None
    train(study, study.ask())
    watch.refresh(at_once=True)
    news = json.loads(watch.since(*seen))
    assert [row[0] for row in news["rows"]] == [8]
    assert "search" not in news
    assert news["live"]["counts"] != {}


def test_a_search_begun_anew_in_the_same_place_is_sent_whole(tmp_path):
    search(tmp_path / "a", 3).close()
    watch = Watch(open_store(tmp_path / "a"), "a")
    watch.refresh(at_once=True)
    seen = (watch.generation, watch.version)
    afina.store.delete_project(tmp_path / "a")
    search(tmp_path / "a", 2, Random(seed=1)).close()
    watch.refresh(at_once=True)
    news = json.loads(watch.since(*seen))
    assert news["generation"] != seen[0]
    assert len(news["rows"]) == 2


def test_a_hyperparameter_that_is_found_later_becomes_a_column():
    def growing(hp):
        if hp.Int("layers", 1, 3) > 1:
            hp.Float("late", 0.0, 1.0)
        hp.Float("rate", 1e-4, 1e-2)

    store = MemoryStore()
    study = Study(growing, objective="val_accuracy", algorithm=Random(0), store=store)
    watch = Watch(store, "x")
    for _ in range(12):
        train(study, study.ask())
        watch.refresh(at_once=True)
    state = json.loads(watch.whole())
    assert "late" in watch.names
    assert any(row["late"] is not None for row in rows_of(state))


def test_a_continued_training_is_one_curve(visit, tmp_path):
    study = search(tmp_path, None, Hyperband(max_epochs=4))
    last = next(t for t in study.trials.values() if t.parent is not None and t.end_epoch == 4)
    study.close()
    (curve,) = visit(tmp_path).get(f"/api/curves?trials={last.number}").json().values()
    assert curve[0] == [1, 2, 3, 4]


def test_curves_are_of_the_metric_that_is_asked_for(visit, folder):
    client = visit(folder)
    done = next(row for row in rows_of(client.get("/api/state").json()) if row["score"])
    number = done["number"]
    (curve,) = client.get(f"/api/curves?trials={number}&metric=loss").json().values()
    (score,) = client.get(f"/api/curves?trials={number}").json().values()
    assert curve[1] == pytest.approx([1 - value for value in score[1]])
    assert client.get("/api/curves?trials=abc,-1,99999,0x2").json() == {}


def test_a_long_curve_is_thinned_but_keeps_its_ends():
    store = MemoryStore()
    study = Study(build, objective="val_accuracy", algorithm=Random(0), store=store)
    trial = study.ask()
    for step in range(400):
        study.report(trial, {"val_accuracy": step / 400}, step=step)
    watch = Watch(store, "x")
    watch.refresh()
    xs, ys = watch.curves([trial.number])[str(trial.number)]
    assert len(xs) <= 300
    assert (xs[0], xs[-1], ys[-1]) == (1, 400, 399 / 400)


def test_one_trial_has_its_curves_notes_and_where_its_time_went(visit, folder):
    client = visit(folder)
    rows = rows_of(client.get("/api/state").json())
    done = next(row["number"] for row in rows if row["score"])
    found = client.get(f"/api/trial/{done}").json()
    assert set(found["curves"]) == {"loss", "val_accuracy", "seconds"}
    assert found["seconds"][:2] == [["build", 0.25], ["train", 0.5]]
    failed = next(row["number"] for row in rows if row["status"] == "failed")
    message = client.get(f"/api/trial/{failed}").json()["failure"]["message"]
    assert message == "Traceback\n  in build\nValueError: too fast <b>"
    assert client.get("/api/trial/999").status_code == 404


def test_several_objectives_have_columns_of_their_own_and_a_front(visit, tmp_path):
    goals = [afina.Objective("val_accuracy", "max"), afina.Objective("seconds", "min")]
    study = search(tmp_path, 12, ParetoSearch(seed=0), goals)
    front = [trial.number for trial in study.get_pareto_front()]
    study.close()
    state = visit(tmp_path).get("/api/state").json()
    assert state["live"]["front"] == front
    done = [row for row in rows_of(state) if row["status"] == "completed"]
    stored = {trial.number: trial for trial in open_store(tmp_path).trials()}
    assert all(row["seconds"] == stored[row["number"]].metrics["seconds"] for row in done)


def test_the_advice_is_that_of_the_search(tmp_path):
    study = search(MemoryStore(), 12)
    watch = Watch(study.store, "x")
    watch.refresh()
    found = Lessons(watch).read(wait=120)
    assert (found["after"], found["pending"]) == (12, False)
    assert found["text"] == str(study.advice())
    assert [each["name"] for each in found["ranges"]] == [e.name for e in study.advice().ranges]


def test_the_table_is_csv(visit, folder):
    answer = visit(folder).get("/api/trials.csv")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 30
    assert {"number", "values.rate", "metrics.val_accuracy"} <= set(rows[0])
    assert {row["epochs"] for row in rows if row["status"] == "completed"} == {"4"}


def test_a_folder_of_projects_shows_each_of_them(visit, tmp_path):
    search(tmp_path / "one", 2).close()
    search(tmp_path / "below" / "two", 3).close()
    client = visit(tmp_path)
    assert len(client.get("/api/state?search=one").json()["rows"]) == 2
    assert len(client.get("/api/state?search=below/two").json()["rows"]) == 3
    for name in ("three", "../" + tmp_path.name + "/one", "/etc", ""):
        assert client.get("/api/state", params={"search": name}).status_code == 404
    assert "below/two" in client.get("/").text


def test_reading_leaves_a_project_as_it_is(visit, tmp_path):
    search(tmp_path / "own", 3).close()

    def content():
        own = (path for path in (tmp_path / "own").iterdir() if not path.name.endswith("-shm"))
        texts = {path.name: path.read_bytes() for path in own}  # SQLite's index is no content
        return {name: text for name, text in texts.items() if text}

    before = content()
    client = visit(tmp_path / "own")
    for path in ("/", "/api/state", "/api/trial/0", "/api/trials.csv", "/api/curves?trials=0"):
        assert client.get(path).status_code == 200
    assert content() == before


def test_a_store_for_one_worker_alone_is_followed_too():
    class Alone:
        """Hides what makes a store shared."""

        def __init__(self, store):
            self._store = store

        def __getattr__(self, name):
            if name in ("turn", "news", "claims", "beat", "lease"):
                raise AttributeError(name)
            return getattr(self._store, name)

    store = Alone(MemoryStore())
    study = Study(build, objective="val_accuracy", algorithm=Random(0), store=store._store)
    watch = Watch(store, "x")
    for count in (1, 2, 3):
        train(study, study.ask())
        watch.refresh(at_once=True)
        assert len(watch.trials) == count


def test_a_search_with_hostile_names_and_numbers_is_plain_json(visit, tmp_path):
    hostile(tmp_path).close()
    client = visit(tmp_path)
    text = client.get("/api/state").text
    state = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert state["search"]["objectives"][0]["name"] == HOSTILE
    found = client.get("/api/trial/1").json()
    assert dict(found["notes"])[HOSTILE] == HOSTILE
    assert found["curves"]["huge"][1] == [None, 1e300]
    assert HOSTILE not in client.get("/").text


def test_numbers_that_a_browser_cannot_hold_travel_as_text():
    def wide(hp):
        hp.Choice("seed", [2**60, 2**60 + 1])

    store = MemoryStore()
    study = Study(wide, objective=afina.Objective("loss", "min"), algorithm=Grid(), store=store)
    study.tell(study.ask(), 1.0)
    watch = Watch(store, "x")
    watch.refresh()
    assert watch.rows()[0][-1] in (str(2**60), str(2**60 + 1))


def test_a_damaged_store_is_told_of_and_the_last_view_stays(tmp_path):
    search(tmp_path, 3).close()
    watch = Watch(open_store(tmp_path), "x")
    watch.refresh(at_once=True)
    file = tmp_path / "afina.sqlite3"
    whole = file.read_bytes()
    file.write_bytes(b"no database" * 1000)
    watch.refresh(at_once=True)
    assert watch.trouble is not None
    assert len(watch.rows()) == 3
    file.write_bytes(whole)
    watch.refresh(at_once=True)
    assert watch.trouble is None


@pytest.mark.service
def test_a_search_in_postgresql_is_followed_and_stopped():
    with running_server() as server:
        study = Study(
            build,
            objective="val_accuracy",
            algorithm=Random(0),
            store=open_store(server.url),
            max_trials=9,
        )
        train(study, study.ask())
        watch = Searches(server.url).watch(None)
        watch.refresh(at_once=True)
        assert len(watch.trials) == 1
        trial = study.ask()
        watch.refresh(at_once=True)
        assert [run["number"] for run in watch.live["running"]] == [1]
        act(watch, {"do": "stop"})
        train(study, trial)
        assert study.ask() is None
        watch.refresh(at_once=True)
        assert len(watch.trials) == 2
        assert watch.live["reason"] == study.stop_reason == "it was stopped from outside"
        study.close()
