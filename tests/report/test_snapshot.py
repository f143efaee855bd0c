"""The data in a report: what the live page would be told, and safe in a file."""

import base64
import hashlib
import html.parser
import json
import re

import pytest
from tests.dashboard.searches import HOSTILE, build, hostile, search, train

import afina
from afina.errors import ArgumentError
from afina.page import BROWSER, bundle
from afina.page.detail import detail_of
from afina.page.lessons import lessons_of
from afina.page.watch import Watch
from afina.report import read_facts, write_report
from afina.report import snapshot as snapshots
from afina.report.about import about, facts_of_watch
from afina.search import Hyperband, Random
from afina.store import MemoryStore, open_store, reader
from afina.study import Study
from afina.trials.trial import RAN, read_ran


class Scripts(html.parser.HTMLParser):
    """The scripts of a page as a browser finds them, and its policy."""

    def __init__(self, text):
        super().__init__()
        self.found, self.policy, self._kind = {}, "", None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag in ("script", "style"):
            self._kind = given.get("id", tag)
            assert self._kind not in self.found
            self.found[self._kind] = ""
        if tag == "meta" and given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"]

    def handle_endtag(self, tag):
        self._kind = None

    def handle_data(self, data):
        if self._kind is not None:
            self.found[self._kind] += data


def written(source, tmp_path, **given):
    return Scripts(
        write_report(source, tmp_path / "report.html", **given).read_bytes().decode("utf-8")
    )


def data_of(source, tmp_path, **given):
    return json.loads(written(source, tmp_path, **given).found["snapshot"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("snapshot") / "halving"
    search(place, None, Hyperband(max_epochs=9)).close()
    return place


def test_a_report_holds_what_the_live_page_is_told(folder, tmp_path):
    data = data_of(folder, tmp_path)
    watch = Watch(store := open_store(folder), "halving")
    watch.refresh()
    live = json.loads(watch.whole())
    assert data["state"]["search"] == live["search"]
    assert data["state"]["rows"] == live["rows"]
    assert data["state"]["live"]["counts"] == live["live"]["counts"]
    assert data["advice"] == json.loads(json.dumps({**lessons_of(watch), "pending": False}))
    assert data["about"] == json.loads(json.dumps(about(facts_of_watch(watch))))
    assert len(data["trials"]) == len(live["rows"])
    for number, kept in data["trials"].items():
        told = json.loads(json.dumps(detail_of(watch, int(number))))
        told["files"], told["ran"] = None, {**told["ran"], "where": ""}
        assert {**kept, "curves": 0} == {**told, "curves": 0}
        for name, (epochs, values) in told["curves"].items():
            assert kept["curves"][name] == [epochs, pytest.approx(values, rel=1e-5)]
    store.close()


def test_a_file_is_opened_as_often_for_many_trials_as_for_few(tmp_path, monkeypatch):
    opened = []
    really = reader.open_to_read
    monkeypatch.setattr(reader, "open_to_read", lambda file: opened.append(file) or really(file))
    counts = []
    for trials in (10, 60):
        search(tmp_path / str(trials), trials, Random(seed=0)).close()
        opened.clear()
        assert len(data_of(tmp_path / str(trials), tmp_path)["trials"]) == trials
        counts.append(len(opened))
    assert counts[0] == counts[1] > 0


def test_facts_without_curves_are_those_with_them(folder):
    whole = read_facts(folder)
    watch = Watch(store := open_store(folder), "halving")
    watch.refresh()
    light = facts_of_watch(watch)
    assert {**about(light), "volumes": 0} == {**about(whole), "volumes": 0}
    assert light.course == whole.course
    store.close()


@pytest.mark.parametrize("kind", ["folder", "store", "facts"])
def test_a_report_is_written_from_a_folder_a_store_or_facts(kind, folder, tmp_path):
    store = open_store(folder)
    source = {"folder": folder, "store": store, "facts": read_facts(folder)}[kind]
    data = data_of(source, tmp_path, **({"name": "mine"} if kind == "store" else {}))
    assert data["state"]["search"]["name"] == ("mine" if kind == "store" else "halving")
    assert data["about"]["best"]["number"] == read_facts(folder).best.number
    store.close()


def test_facts_from_nowhere_are_refused_with_a_sentence(folder, tmp_path):
    import dataclasses

    facts = dataclasses.replace(read_facts(folder), source=None)
    with pytest.raises(ArgumentError, match="must know where its facts were read"):
        write_report(facts, tmp_path / "r.html")


def test_only_the_script_of_the_page_may_run(folder, tmp_path):
    found = written(folder, tmp_path)
    for kind in ("script", "style"):
        mark = hashlib.sha256(found.found[kind].encode("utf-8")).digest()
        assert f"{kind}-src 'sha256-{base64.b64encode(mark).decode()}'" in found.policy
    assert "default-src 'none'" in found.policy
    assert "unsafe" not in found.policy


def test_nothing_in_a_search_ends_the_data_that_hold_it(tmp_path):
    odd = "</script><script>alert(1)</script><!--\u2028\u2029"
    study = hostile(MemoryStore())
    study.store.set_note("remarks", {"1": odd})
    found = written(study.store, tmp_path, name=odd)
    assert sorted(found.found) == ["script", "snapshot", "style"]
    data = json.loads(found.found["snapshot"])
    assert data["state"]["search"]["name"] == odd
    assert data["state"]["live"]["remarks"]["1"] == odd
    assert data["state"]["search"]["hyperparameters"][0]["name"] == HOSTILE
    assert not re.search("[<\u2028\u2029]", found.found["snapshot"])
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<img src=x" not in text


def test_a_search_that_has_not_begun_has_a_page_too(tmp_path):
    data = data_of(MemoryStore(), tmp_path)
    assert (data["about"], data["trials"], data["state"]["rows"]) == (None, {}, [])


def test_a_report_names_no_worker_and_offers_no_action(tmp_path):
    study = Study(build, objective="val_accuracy", algorithm=Random(0), store=tmp_path / "s")
    train(study, study.ask())
    trial = study.ask()
    study.report(trial, {"val_accuracy": 0.25}, step=0)
    found = written(study.store, tmp_path)
    live = json.loads(found.found["snapshot"])["state"]["live"]
    [running] = live["running"]
    assert (running["number"], running["owner"]) == (trial.number, None)
    assert running["curve"] == [[1], [0.25]]
    kept = json.loads(found.found["snapshot"])["trials"]["0"]["ran"]
    where = read_ran(study.store.trials()[0].notes[RAN])["where"]
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert where
    assert kept["began"]
    assert where not in text
    assert str(tmp_path) not in text
    assert (live["cannot"], live["asked"]) == ({}, {"pause": [], "queue": []})
    assert 'data-actions="no"' in (tmp_path / "report.html").read_text(encoding="utf-8")
    study.close()


def test_what_does_not_fit_is_left_out_in_a_stated_order(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(snapshots, "MOST_BYTES", 3000)
    monkeypatch.setattr(snapshots, "MOST_POINTS", 4)
    data = data_of(folder, tmp_path)
    kept = {int(number) for number in data["trials"]}
    facts = read_facts(folder)
    assert 0 < len(kept) < len(facts.trials)
    assert kept == {trial.number for trial in facts.completed[: len(kept)]}  # the best
    assert len(data["state"]["rows"]) == len(facts.trials)
    [epochs, _] = data["trials"][str(facts.best.number)]["curves"]["val_accuracy"]
    assert (epochs[0], epochs[-1], len(epochs)) == (1, facts.best.end_epoch, 4)
    assert data["blank"]["curves"] == {}
    assert f"curves and notes are kept of {len(kept)} of {len(facts.trials)} trials" in (
        tmp_path / "report.html"
    ).read_text(encoding="utf-8")


def test_constraints_that_a_project_cannot_apply_are_named(tmp_path):
    def bound(hp):
        a, b = hp.Int("a", 1, 9), hp.Int("b", 1, 9)
        hp.constraint(lambda values: values["a"] < values["b"], name="a < b")
        return a + b

    study = afina.Study(bound, objective="loss", algorithm=Random(0), storage=tmp_path / "p")
    study.tell(study.ask(), 1.0)
    study.close()
    [rule] = data_of(tmp_path / "p", tmp_path)["about"]["rules"]
    assert "a < b" in rule


def test_modules_that_cannot_be_put_together_are_refused(monkeypatch):
    texts = {
        "app.js": 'import { b } from "./other.js";\nexport const a = b;\n',
        "other.js": 'import { a } from "./app.js";\nexport const b = a;\n',
    }
    monkeypatch.setattr(bundle, "_read", lambda name: texts.get(name, ""))
    with pytest.raises(ValueError, match="must not import in a circle"):
        bundle.script.__wrapped__()
    texts["other.js"] = "export default 3;\n"
    with pytest.raises(ValueError, match="must import and export names"):
        bundle.script.__wrapped__()
    texts["other.js"] = 'export const b = "</script>";\n'
    with pytest.raises(ValueError, match="must not hold"):
        bundle.script.__wrapped__()


def test_the_script_holds_each_module_of_the_page_once():
    text = bundle.script()
    modules = {file.stem for file in BROWSER.glob("*.js")} - {"theme"}
    assert {name: text.count(f"const page_{name} = ") for name in modules} == dict.fromkeys(
        modules, 1
    )
