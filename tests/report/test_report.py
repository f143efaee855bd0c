"""The report: its facts, the texts and tables of its page, and pictures.

`test_in_browser.py` looks at the page, and `test_snapshot.py` at the data in it.
"""

import html
import html.parser
import json
import math
import re

import numpy as np
import pytest
from click.testing import CliRunner

import afina
from afina.cli import main
from afina.errors import ArgumentError, StoreError
from afina.report import draw, figures, read_facts, write_report
from afina.report.parallel import chosen as axes_of
from afina.report.parallel import parallel
from afina.report.slices import slices
from afina.search import Hyperband, Random


def build(hp):
    hp.Float("rate", 1e-4, 1e-1, sampling="log")
    for index in range(hp.Int("layers", 1, 2)):
        hp.Int(f"units_{index}", 16, 64, step=16)
    if hp.Choice("optimizer", ["adam", "sgd"]) == "sgd":
        with hp.conditional_scope("optimizer", "sgd"):
            hp.Float("momentum", 0.0, 0.9)


def search(folder, trials, algorithm):
    study = afina.Study(
        build, objective="val_accuracy", algorithm=algorithm, seed=0, storage=folder
    )
    for _ in range(trials):
        trial = study.ask()
        values, rng = trial.values, np.random.default_rng(trial.number)
        if values["rate"] > 0.07:
            study.tell(trial, failed="Traceback\nValueError: <b>too fast</b>")
            continue
        top = 0.9 - 0.1 * (math.log10(values["rate"]) + 2.5) ** 2
        for epoch in range(trial.start_epoch, trial.end_epoch or 5):
            share = top * (1 - math.exp(-(epoch + 1) / 2)) + 0.01 * rng.normal()
            logs = {"loss": 1.9 - 2 * share, "val_loss": 2 - 2 * share, "val_accuracy": share}
            study.report(trial, {**logs, "accuracy": share + 0.01}, step=epoch)
        notes = {"training": "fused", "seconds": "build 0.250, train 1.500"}
        study.tell(trial, notes=notes)
    study.close()
    return study


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("report") / "mine & yours"
    search(place, 40, Hyperband(max_epochs=9, iterations=None))
    return place


def snapshot_of(page):
    """The data in a page, as its script reads them."""
    return json.loads(re.search(r'id="snapshot">(.*?)</script>', page, re.DOTALL).group(1))


class Structure(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.headings, self.open, self.links, self._heading = [], [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "br", "link", "img"):
            self.open.append(tag)
        self._heading = tag == "h2"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self._heading:
            self.headings.append(data)
            self._heading = False


def test_the_page_stands_alone_and_tells_everything(folder, tmp_path):
    page = write_report(folder, tmp_path / "deep" / "report.html").read_text(encoding="utf-8")
    found = Structure(page)
    assert found.open == []
    # Nothing is fetched from anywhere.
    assert {link.partition(",")[0] for link in found.links} == {
        "#main",
        "data:image/svg+xml;base64",
    }
    # What a browser without scripts shows; test_in_browser.py has the views.
    assert found.headings == [
        "mine & yours",
        f"The best configuration: trial {read_facts(folder).best.number}",
        "The best configurations",
        "Failures",
        "What to do next",
        "How to reproduce it",
    ]
    data = snapshot_of(page)
    assert data["state"]["search"]["name"] == "mine & yours"
    assert all(data["about"][part] for part in ("summary", "space", "failures", "seconds", "code"))
    assert data["advice"]["text"]
    assert "<b>too fast</b>" not in page
    assert "&lt;b&gt;too fast&lt;/b&gt;" in page
    assert "mine &amp; yours" in page


def test_the_facts_are_those_of_the_search(folder):
    facts = read_facts(folder)
    assert facts.best.score == max(t.score for t in facts.trials if t.score is not None)
    assert facts.course[-1].best == facts.best.score
    assert facts.course[-1].epochs == sum(len(trial.curve) for trial in facts.trials)
    best = facts.best
    assert len(facts.history["val_accuracy"]) == best.end_epoch  # its parents' epochs as well
    assert facts.history["val_accuracy"][best.best_step] == best.score
    assert sum(len(numbers) for _, _, numbers in facts.reasons) == len(facts.failed) > 0
    assert facts.seconds["train"] == pytest.approx(1.5 * len(facts.completed))


@pytest.mark.parametrize("trials", [0, 1, 2])
def test_a_search_that_has_hardly_begun_has_a_report_too(trials, tmp_path):
    study = search(tmp_path / "few", trials, Random(seed=0))
    if not trials:
        study.begin()
        study.close()
    page = write_report(tmp_path / "few", tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Summary" in page
    assert ("no best configuration" in page) == (trials == 0)


def test_a_search_of_failures_alone_has_a_report_too(tmp_path):
    study = afina.Study(build, objective="loss", algorithm=Random(seed=0), storage=tmp_path / "p")
    for _ in range(3):
        study.tell(study.ask(), failed="no device")
    study.close()
    page = write_report(tmp_path / "p", tmp_path / "r.html").read_text(encoding="utf-8")
    assert "0 trials were completed, 3 failed" in page
    assert "no device" in page


@pytest.mark.parametrize("what", ["course", "curves", "learning", "importance"])
def test_pictures_are_drawn(what, folder, tmp_path):
    file = draw(read_facts(folder), what, tmp_path / "a" / f"{what}.png")
    assert file.read_bytes()[:4] == b"\x89PNG"


def test_where_there_are_too_many_trials_some_are_drawn_and_it_says_so(folder, monkeypatch):
    facts = read_facts(folder)
    for module, most in (("slices", 12), ("figures", 12)):
        monkeypatch.setattr(f"afina.report.{module}.MOST_POINTS", most)
    drawn = dict(slices(facts))["rate"]
    assert sum(len(part.x) for part in drawn.data if part.name != "the best") == 12
    assert f"12 of {len(facts.configurations)}" in str(drawn.data)
    assert f"12 of {len(facts.completed)}" in figures.course(facts).data[0].name


def test_choices_stand_side_by_side_with_their_advice(folder):
    facts = read_facts(folder)
    drawn = dict(slices(facts, {"optimizer": ("sgd",)}))["optimizer"]
    assert list(drawn.layout.xaxis.ticktext) == ["adam", "sgd"]
    [shade] = drawn.layout.shapes
    assert (shade.x0, shade.x1) == (0.6, 1.4)


@pytest.mark.parametrize("told", [[], [0.5], [None] * 12, [1.0] * 12, [math.nan] * 12])
def test_bad_searches_are_reported_with_a_sentence(told, tmp_path):
    study = afina.Study(build, objective="val_loss", algorithm=Random(0), storage=tmp_path / "it")
    study.begin()
    for value in told:
        trial = study.ask()
        study.tell(trial, value, failed=None if value is not None else "boom")
    study.close()
    runner = CliRunner()
    for command in (["advice"], ["advice", "--code"], ["advice", "--json"]):
        done = runner.invoke(main, [command[0], str(tmp_path / "it"), *command[1:]])
        assert done.exit_code == 0, done.output
    page = tmp_path / "page.html"
    done = runner.invoke(main, ["report", str(tmp_path / "it"), "--output", str(page)])
    assert done.exit_code == 0, done.output
    assert "Summary" in page.read_text(encoding="utf-8")


def test_unknown_pictures_and_folders_are_refused_with_a_sentence(folder, tmp_path):
    with pytest.raises(ArgumentError, match="must be one of course, curves"):
        draw(read_facts(folder), "map", tmp_path / "x.png")
    with pytest.raises(StoreError, match="must hold a search"):
        read_facts(tmp_path)


def test_the_commands_write_and_say_it(folder, tmp_path):
    file = tmp_path / "out.html"
    done = CliRunner().invoke(main, ["report", str(folder), "--output", str(file)])
    assert (done.exit_code, file.exists()) == (0, True)
    told = CliRunner().invoke(main, ["advice", str(folder)])
    assert "rate" in told.output
    facts = json.loads(CliRunner().invoke(main, ["advice", str(folder), "--json"]).output)
    assert facts["direction"] == "max"
    code = CliRunner().invoke(main, ["advice", str(folder), "--code"]).output
    hp = afina.HyperParameters()
    exec(code, {"hp": hp})
    assert {"rate", "optimizer"} <= {entry.name for entry in hp.space}


def code_of(page):
    return html_of_pre(page)[-1]


def html_of_pre(page):
    return [html.unescape(text) for text in re.findall(r"<pre>(.*?)</pre>", page, re.DOTALL)]


def awkward(hp):
    """Every kind of hyperparameter and of value."""
    found = {
        "text": hp.Choice("text", ["it's", 'say "so"', "two\nlines", "back\\slash", "</pre>"]),
        "truth": hp.Boolean("truth"),
        "number": hp.Choice("number", [0.1, 1e-30, math.inf]),
        "rate": hp.Float("rate", 1e-4, 1e-1, sampling="log"),
        "units": hp.Int("units", 16, 64, step=16),
        "fixed": hp.Fixed("fixed's name", "true"),
        "off": hp.Fixed("off", False),
    }
    if found["truth"]:
        with hp.conditional_scope("truth", True):
            found["when"] = hp.Choice("when", [True, False])
    return found


@pytest.mark.first("True")
@pytest.mark.parametrize("several", [False, True])
def test_the_code_to_reproduce_builds_the_best_model_whatever_the_values(several, tmp_path):
    names = ["a", "b"] if several else ["a"]
    objective = [afina.Objective(name, "min") for name in names]
    study = afina.Study(
        awkward,
        objective=objective if several else objective[0],
        algorithm=Random(0),
        storage=tmp_path / "p",
    )
    seen = set()
    for number in range(25):  # each of them is the best, once
        trial = study.ask()
        study.tell(trial, {name: -float(number) for name in names})
        page = write_report(tmp_path / "p", tmp_path / "r.html").read_text(encoding="utf-8")
        known = {"build": awkward}
        exec(code_of(page), known)
        wanted = dict(trial.values)
        built = known["model"]
        assert built["text"] == wanted["text"]
        assert [built[n] for n in ("truth", "number", "rate", "units", "off")] == [
            wanted[n] for n in ("truth", "number", "rate", "units", "off")
        ]
        assert built["fixed"] == "true"
        assert built.get("when") is wanted.get("when")
        seen |= {wanted["text"], wanted["number"]}
        if number > 8 and len(seen) == 8:
            break
    study.close()
    assert len(seen) == 8


def test_before_the_first_result_the_code_builds_the_defaults(tmp_path):
    study = afina.Study(awkward, objective="loss", algorithm=Random(0), storage=tmp_path / "p")
    study.begin()
    study.close()
    page = write_report(tmp_path / "p", tmp_path / "r.html").read_text(encoding="utf-8")
    known = {"build": awkward}
    exec(code_of(page), known)
    assert known["model"]["text"] == "it's"


@pytest.fixture(scope="module")
def pareto(tmp_path_factory):
    place = tmp_path_factory.mktemp("pareto") / "mine"
    objective = [afina.Objective("accuracy", "max"), afina.Objective("metres", "min")]
    study = afina.Study(build, objective=objective, algorithm=Random(0), storage=place)
    for number in range(14):
        values = (trial := study.ask()).values
        study.tell(
            trial,
            {"accuracy": 0.9 - 0.1 * values["layers"] - number / 997, "metres": 1e3 / (number + 1)},
        )
    study.close()
    return place


def test_several_objectives_are_reported_by_their_front_and_never_by_their_sum(pareto, tmp_path):
    page = write_report(pareto, tmp_path / "r.html").read_text(encoding="utf-8")
    body = page[page.index("<body") : page.index("</noscript>")]
    facts, data = read_facts(pareto), snapshot_of(page)
    assert "The Pareto front" in Structure(page).headings
    assert "multi_objective" not in body
    assert "best configuration</h2>" not in body
    assert all(f"<td>{trial.number}</td>" in body for trial in facts.front)
    told = body + json.dumps(data)
    assert "multi_objective" not in told
    assert not [trial for trial in facts.trials if f"{trial.score:.7g}" in told]
    assert data["state"]["live"]["front"] == [trial.number for trial in facts.front]
    assert data["about"]["best"] is None
    [drawn] = figures.fronts(facts)
    assert [part.name for part in drawn.data] == ["other trials", "Pareto front"]
    assert sorted(drawn.data[1].y) == sorted(facts.values_of(trial)[1] for trial in facts.front)


def test_the_hypervolume_grows_from_nothing_to_the_whole(pareto):
    volumes = read_facts(pareto).volumes
    assert len(volumes) == 14
    assert list(volumes) == sorted(volumes)
    assert (volumes[0] < 0.5, volumes[-1]) == (True, pytest.approx(1.0))


def test_points_and_ticks_stand_at_values_that_exist(folder):
    facts = read_facts(folder)
    entries = {entry.name: entry for entry in facts.space}
    for name, drawn in slices(facts):
        entry = entries[name]
        if entry.count is None:
            continue
        many = len(entry.values)
        known = set(range(many)) if name == "optimizer" else set(entry.values)
        for part in drawn.data:
            assert set(part.x) <= known, name
        assert set(drawn.layout.xaxis.tickvals) <= known, name


def test_the_star_stands_on_the_best_trial_or_nowhere(folder):
    facts = read_facts(folder)
    for name, drawn in slices(facts):
        stars = [part for part in drawn.data if part.name == "the best"]
        assert len(stars) == (name in facts.best.values)
        assert all(list(star.y) == [facts.best.score] for star in stars)


def test_an_advised_range_reaches_beyond_the_points_at_its_ends(folder):
    facts = read_facts(folder)
    drawn = dict(slices(facts, {"layers": (1, 1), "units_0": (16, 48), "rate": (0.001, 0.01)}))
    bands = {
        name: figure.layout.shapes[0] for name, figure in drawn.items() if figure.layout.shapes
    }
    assert (bands["layers"].x0, bands["layers"].x1) == (0.5, 1.5)
    assert (bands["units_0"].x0, bands["units_0"].x1) == (8, 56)
    assert bands["rate"].x0 < 0.001 < 0.01 < bands["rate"].x1


def test_the_line_of_a_training_that_goes_on_has_no_gap(folder):
    facts = read_facts(folder)
    drawn = figures.curves(facts).data[0]
    pieces = "".join("." if x is None else "x" for x in drawn.x).split(".")
    continued = [trial for trial in facts.trials if trial.parent is not None and trial.curve]
    whole = sum(len(trial.curve) for trial in facts.trials)
    assert sum(map(len, pieces)) == whole + len(continued)


def told(tmp_path, lengths):
    """Reports a search whose trials trained so many epochs, each better than the one before."""

    study = afina.Study(build, objective="val_loss", algorithm=Random(0), storage=tmp_path / "p")
    for number, epochs in enumerate(lengths):
        trial = study.ask()
        for epoch in range(epochs):
            study.report(trial, {"val_loss": 1.0 - 0.25 * number}, step=epoch)
        study.tell(trial)
    study.close()
    return write_report(tmp_path / "p", tmp_path / "r.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("lengths", "sentence"),
    [
        ([2, 10], None),  # nothing is comparable
        ([2, 10, 10], "configuration trained as long (trial 1) had 0.75: the search gained 0.25."),
        ([10, 10, 10], "configuration (trial 0) had 1: the search gained 0.5."),
        ([10], None),
    ],
)
def test_the_gain_compares_equal_trainings_or_says_nothing(lengths, sentence, tmp_path):
    page = told(tmp_path, lengths)
    assert ("the search gained" in page) == (sentence is not None)
    assert sentence is None or sentence in page
    assert "most often" not in page


@pytest.mark.parametrize("start", [True, False])
def test_the_first_is_called_the_default_only_where_it_is(start, tmp_path):
    hp = afina.HyperParameters()
    hp.Int("units", 1, 100, default=7)
    algorithm = afina.search.BayesianOptimization(seed=0) if start else Random(1)
    study = afina.Study(hp, objective="loss", algorithm=algorithm, storage=tmp_path / "p")
    for value in (1.0, 0.5):
        study.tell(study.ask(), value)
    study.close()
    page = write_report(tmp_path / "p", tmp_path / "r.html").read_text(encoding="utf-8")
    assert ("The default configuration (trial 0) had 1" in page) == start
    assert ("The first configuration (trial 0) had 1" in page) == (not start)


def test_the_table_has_one_row_for_a_configuration_with_its_parts(folder, tmp_path):
    facts = read_facts(folder)
    page = write_report(folder, tmp_path / "r.html").read_text(encoding="utf-8")
    table = page[page.index("The best configurations</h2>") :]
    table = table[: table.index("</table>")]
    rows = facts.configurations[:20]
    assert table.count("<tr>") == len(rows) + 1
    assert table.count(" parts (trial ") == sum(len(row.parts) > 1 for row in rows) > 0
    assert [row.best.score for row in rows] == sorted((r.best.score for r in rows), reverse=True)


def test_the_importance_is_in_percent_as_in_the_sentences(folder):
    found = afina.advice.advice(read_facts(folder).finished, read_facts(folder).space, "max")
    assert figures.importances(found.importances).layout.xaxis.tickformat == ".0%"


def test_axes_of_epochs_and_trials_have_ticks_at_whole_numbers_only(folder):
    facts = read_facts(folder)
    for drawn in (figures.course(facts), figures.curves(facts)):
        assert drawn.layout.xaxis.dtick >= 1
        assert float(drawn.layout.xaxis.dtick).is_integer()
    buttons = {b.label: b.args[1] for b in figures.course(facts).layout.updatemenus[0].buttons}
    assert buttons["epochs"]["xaxis.dtick"] >= 1
    assert buttons["seconds"]["xaxis.dtick"] is None


def test_of_equal_trials_one_is_the_best_everywhere(tmp_path):
    study = afina.Study(build, objective="loss", algorithm=Random(0), storage=tmp_path / "p")
    for value in (2.0, 1.0, 1.0):
        study.tell(study.ask(), value)
    study.close()
    facts = read_facts(tmp_path / "p")
    assert facts.best.number == 1
    for _, drawn in slices(facts):
        stars = [part for part in drawn.data if part.name == "the best"]
        assert all(part.text[0].startswith("trial 1:") and len(part.x) == 1 for part in stars)


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A search of more hyperparameters than fit beside each other, with long names."""
    place = tmp_path_factory.mktemp("wide") / "wide"
    hp = afina.HyperParameters()
    for number in range(30):
        hp.Float(f"<b>a long name of a hyperparameter, its number is {number}", 0, 1)
    study = afina.Study(hp, objective="loss", algorithm=Random(0), storage=place)
    for value in range(3):
        study.tell(study.ask(), float(value))
    study.close()
    return place


def test_the_page_knows_all_of_many_hyperparameters(wide, tmp_path):
    page = write_report(wide, tmp_path / "r.html").read_text(encoding="utf-8")
    assert Structure(page).open == []
    data = snapshot_of(page)
    assert len(data["about"]["space"]) == len(data["state"]["search"]["hyperparameters"]) == 30
    assert len(data["about"]["best"]["values"]) == 30


def test_a_long_name_is_cut_before_it_is_escaped(wide):
    facts = read_facts(wide)
    titles = [drawn.layout.xaxis.title.text for _, drawn in slices(facts)]
    axes = [dimension.label for dimension in parallel(facts).data[0].dimensions]
    assert len(axes) == 13
    for text in [*titles, *axes[:-1]]:
        assert text.startswith("&lt;b&gt;a long")
        assert len(html.unescape(text)) <= 34


def test_the_important_hyperparameters_get_the_axes(wide):
    facts = read_facts(wide)
    last = facts.names[-1]
    chosen = [dimension.label for dimension in parallel(facts, [last]).data[0].dimensions]
    names = [entry.name for entry in axes_of(facts, [last])]
    assert (len(chosen), names[-1]) == (13, last)


def test_ticks_of_parallel_coordinates_are_round(folder):
    [drawn] = parallel(read_facts(folder)).data
    ticks = {each.label: each.ticktext for each in drawn.dimensions if each.ticktext}
    assert {"0.001", "0.01"} <= set(ticks["rate"])
    assert all(len(text) <= 6 for text in ticks["momentum"])


def test_a_search_that_trains_in_parts_shows_which_trainings_went_on(folder, pareto, tmp_path):
    page = write_report(folder, tmp_path / "r.html").read_text(encoding="utf-8")
    assert "some trained in several parts" in page
    state = snapshot_of(page)["state"]
    place = state["search"]["columns"].index("parent")
    parents = {row[0]: row[place] for row in state["rows"]}
    assert parents == {trial.number: trial.parent for trial in read_facts(folder).trials}
    assert any(parent is not None for parent in parents.values())
    other = write_report(pareto, tmp_path / "o.html").read_text(encoding="utf-8")
    assert "in several parts" not in other[other.index("<body") :]
