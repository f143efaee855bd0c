"""The report in a real browser: Chromium, driven by Playwright, from a file and offline."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from tests.browsing import CHROMIUM, VIEWS, accessible, chromium, view
from tests.dashboard.searches import hostile, search

import afina
from afina.advice.classification import ClassScore
from afina.advice.judgement import Judgement
from afina.report import read_facts, write_report
from afina.report import snapshot as snapshots
from afina.search import Hyperband, ParetoSearch, Random
from afina.store import MemoryStore

pytest.importorskip("playwright.sync_api", reason="needs pip install playwright")

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture
def show(browser, tmp_path):
    """Writes a report and opens it; fails at the end if the page has reported an error."""
    errors, asked, close = [], [], []

    def make(source, *, width=1280, scheme="light", scripts=True, **given):
        file = write_report(source, tmp_path / f"report{len(close)}.html", **given)
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            offline=True,
            java_script_enabled=scripts,
        )
        close.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        if scripts:
            page.wait_for_selector("#facts .fact")
        return page

    yield make
    for context in close:
        context.close()
    assert errors == []
    assert {url.partition(":")[0] for url in asked} <= {"file", "data", "blob"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    place = tmp_path_factory.mktemp("browser") / "halving"
    search(place, None, Hyperband(max_epochs=9)).close()
    return place


@pytest.fixture(scope="module")
def pareto(tmp_path_factory):
    place = tmp_path_factory.mktemp("browser") / "pareto"
    goals = [afina.Objective("val_accuracy", "max"), afina.Objective("seconds", "min")]
    search(place, 14, ParetoSearch(seed=0), goals).close()
    return place


def test_the_report_is_the_dashboards_page_with_its_data_inside(show, finished):
    page = show(finished)
    facts = read_facts(finished)
    best = page.locator(".fact", has_text="Best val_accuracy").locator(".big").inner_text()
    assert float(best) == pytest.approx(facts.best.score, rel=1e-3)
    assert page.locator("#state").inner_text() == "ended"
    assert "The best val_accuracy is" in page.locator("#overview").inner_text()
    assert page.locator("[data-curves]").get_attribute("data-curves") == "17"
    view(page, "rungs")
    assert page.locator("#rungs .card").get_attribute("data-brackets") == "3"
    view(page, "space")
    assert page.locator("[data-axes]").get_attribute("data-axes") == "5"
    assert page.locator("#space .shares").count() == 1
    view(page, "trials")
    assert page.locator("#trials tr[data-n]").count() == len(facts.trials)
    failures = page.locator("#trials .card >> nth=1")
    assert failures.is_visible() == bool(facts.failed)
    view(page, "time")
    assert "train" in page.locator("#time").inner_text()
    view(page, "setup")
    text = page.locator("#setup").inner_text()
    assert "0.0001 to 0.1, log scale" in text
    assert "model = build(hp)" in text
    view(page, "advice")
    assert "configurations tried" in page.locator("#advice").inner_text()
    assert page.locator("#stop").is_hidden()


def test_a_trial_opens_and_chosen_ones_are_compared(show, finished):
    page = show(finished)
    best = read_facts(finished).best.number
    page.click(f"#overview button:has-text('Trial {best}')")
    page.wait_for_selector(f"#panel h2:has-text('Trial {best}')")
    assert page.locator("#panel .plot").count() >= 2
    page.keyboard.press("Escape")
    view(page, "trials")
    for number in (1, 2):
        page.check(f"#trials tr[data-n='{number}'] input")
    page.click("#trials button:has-text('Compare 2')")
    page.wait_for_selector("#panel thead button")
    assert page.locator("#panel thead button").all_inner_texts() == ["Trial 1", "Trial 2"]


def test_a_trial_that_was_left_out_says_so_and_keeps_its_values(show, finished, monkeypatch):
    monkeypatch.setattr(snapshots, "MOST_BYTES", 1)
    page = show(finished)
    facts = read_facts(finished)
    other = next(t for t in reversed(facts.trials) if t.number != facts.best.number)
    view(page, "trials")
    page.click(f"#trials tr[data-n='{other.number}'] button")
    page.wait_for_selector(f"#panel h2:has-text('Trial {other.number}')")
    text = page.locator("#panel").inner_text()
    assert "This report keeps no curves and notes of this trial." in text
    assert str(other.values["optimizer"]) in text


def test_the_table_is_saved_as_csv(show, finished):
    page = show(finished)
    view(page, "trials")
    with page.expect_download() as saved:
        page.click("#trials a:has-text('CSV')")
    rows = list(csv.DictReader(Path(saved.value.path()).read_text(encoding="utf-8").splitlines()))
    trials = read_facts(finished).trials
    assert [int(row["number"]) for row in rows] == [trial.number for trial in trials]
    assert [float(row["values.rate"]) for row in rows] == [t.values["rate"] for t in trials]


def test_paper_shows_all_views_below_one_another_in_light_colours(show, finished):
    page = show(finished, scheme="dark")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.wait_for_timeout(300)
    for name in VIEWS:
        assert page.locator(f"#{name}").is_visible(), name
    drawn = page.evaluate(
        "[...document.querySelectorAll('canvas')].filter(e => e.clientWidth > 100).length"
    )
    assert drawn >= 12
    assert "Comput" not in page.locator("body").inner_text()
    assert page.locator("#trials tr[data-n]").count() == len(read_facts(finished).trials)
    wide = "[...document.querySelectorAll('canvas, table')].map(e => e.getBoundingClientRect())"
    assert page.evaluate(f"Math.max(...{wide}.map(e => e.width))") <= 700
    paper = page.evaluate("getComputedStyle(document.querySelector('.card')).backgroundColor")
    assert paper == "rgb(255, 255, 255)"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert not page.locator("#time").is_visible()
    assert page.pdf(format="A4")[:4] == b"%PDF"


def test_without_scripts_the_findings_are_plain_text(show, finished):
    page = show(finished, scripts=False)
    text = page.locator("noscript").inner_text()
    best = read_facts(finished).best
    assert "need JavaScript" in text
    assert f"The best configuration: trial {best.number}" in text
    assert "model = build(hp)" in text
    assert page.locator("noscript table").count() == 2


def test_several_objectives_show_their_front_and_its_hypervolume(show, pareto):
    page = show(pareto)
    facts = read_facts(pareto)
    assert page.locator("[data-front]").get_attribute("data-front") == str(len(facts.front))
    labels = page.locator("#overview [role=img]").evaluate_all("all => all.map(e => e.ariaLabel)")
    assert "Hypervolume after each of 14 trials" in labels
    text = page.locator("#overview").inner_text()
    assert "The best configuration\n" not in text
    assert "multi_objective" not in text


@pytest.mark.parametrize("trials", [0, 3])
def test_a_search_that_has_hardly_begun_is_shown(show, trials):
    store = MemoryStore()
    if trials:
        search(store, trials)
    page = show(store)
    for name in VIEWS:
        view(page, name)
    view(page, "overview")
    text = page.locator("#overview").inner_text()
    assert ("3 trials were completed" in text) == bool(trials)
    assert ("has not begun" in text) == (not trials)


def test_hostile_names_values_and_tracebacks_stay_text(show, tmp_path):
    hostile(tmp_path / "it").close()
    page = show(tmp_path / "it", name="</title><img src=x onerror=alert(1)>\u202e")
    for name in VIEWS:
        view(page, name)
        assert "\u202e" not in page.locator("body").inner_text()
    view(page, "trials")
    assert "Error: <img src=x" in page.locator("#trials .card >> nth=1").inner_text()
    page.click("#trials tr[data-n='1'] button")
    page.wait_for_selector("#panel h2:has-text('Trial 1')")
    assert "<img src=x onerror=alert(1)>" in page.locator("#panel").inner_text()
    assert page.locator("img[src=x]").count() == 0


def test_a_range_that_belongs_on_a_log_scale_is_drawn_on_one(show, tmp_path):
    hp = afina.HyperParameters()
    hp.Float("learning_rate", 1e-5, 1e-1)
    hp.Int("units", 16, 256)
    settings = {"algorithm": Random(seed=0), "storage": tmp_path / "linear", "max_trials": 40}
    study = afina.Study(hp, objective=afina.Objective("loss", "min"), **settings)
    while (trial := study.ask()) is not None:
        study.tell(trial, {"loss": (math.log10(trial.values["learning_rate"]) + 3.0) ** 2})
    study.close()
    page = show(tmp_path / "linear")
    view(page, "advice")
    line = page.locator('.range[data-verdict="log scale"]')
    assert "search on a log scale" in line.inner_text()
    left = line.locator(".track u").evaluate("mark => parseFloat(mark.style.left)")
    assert 25 < left < 75  # the best rate, near 0.001: at 1 % on a linear scale


def test_the_final_model_is_judged_on_its_page(show, finished):
    verdict = Judgement(
        metrics={"accuracy": 0.75},
        metric="accuracy",
        test=0.75,
        searched=0.875,
        optimism=0.125,
        learning=None,
        classes=(
            ClassScore(name="<b>cat", precision=0.5, recall=1.0, f1=0.667, count=4),
            ClassScore(name="dog", precision=1.0, recall=0.5, f1=0.667, count=8),
        ),
        confusion=np.array([[4, 0], [4, 4]]),
        baselines={},
        direction="max",
    )
    page = show(finished, judgement=verdict)
    text = page.locator("#overview").inner_text()
    assert "On the test data: accuracy 0.75." in text
    matrix = page.locator("[aria-label='Confusion matrix'] tbody tr").all_inner_texts()
    assert [row.split() for row in matrix] == [["<b>cat", "4", "0"], ["dog", "4", "4"]]


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(show, tmp_path, width):
    hp = afina.HyperParameters()
    for number in range(30):
        hp.Float(f"<b>a long name of a hyperparameter, its number is {number}", 0, 1)
    study = afina.Study(hp, objective="loss", algorithm=Random(0), storage=tmp_path / "wide")
    for value in range(3):
        study.tell(study.ask(), math.exp(value))
    study.close()
    page = show(tmp_path / "wide", width=width)
    for name in VIEWS:
        view(page, name)
        page.wait_for_timeout(150)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_any_view(show, finished, pareto, width, scheme):
    for place in (finished, pareto):
        page = show(place, width=width, scheme=scheme)
        for name in VIEWS:
            view(page, name)
            page.wait_for_timeout(150)
            assert accessible(page) == [], name
        view(page, "trials")
        page.click("#trials tr[data-n='1'] button")
        page.wait_for_selector("#panel h2:has-text('Trial 1')")
        assert accessible(page) == []


def test_the_data_are_readable_by_others(show, finished):
    page = show(finished)
    data = json.loads(page.locator("#snapshot").text_content())
    assert data["state"]["search"]["name"] == "halving"
