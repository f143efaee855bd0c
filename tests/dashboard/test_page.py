"""The page in a real browser: what is drawn, live changes, actions, hostile names, keyboard, phone.

Debian's Chromium is driven by Playwright.
"""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import afina
from afina.dashboard import start_dashboard
from afina.search import Hyperband, ParetoSearch, Random
from afina.store import MemoryStore, open_store
from afina.study import Study
from afina.study.requests import Requests
from afina.trials import Failure, FailureKind
from tests.browsing import CHROMIUM, VIEWS, accessible, chromium, view
from tests.dashboard.searches import HOSTILE, build, hostile, search, train

pytest.importorskip("playwright.sync_api", reason="needs pip install playwright")

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]


def script(name):
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


CONTRAST = script("low_contrast.js")


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture
def show(browser):
    """Opens the page of a place; fails at the end if the page has reported an error."""
    errors, close = [], []

    def make(place, *, width=1280, scheme="light", actions=False):
        dashboard = start_dashboard(place, port=0, allow_actions=actions, background=True)
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        page.on("dialog", lambda dialog: dialog.accept())
        close.append((context, dashboard))
        page.goto(dashboard.url)
        page.wait_for_selector("#facts .fact")
        return page

    yield make
    for context, dashboard in close:
        context.close()
        dashboard.stop()
    assert errors == []


def until(page, condition, seconds=30):
    """Waits until a condition in JavaScript holds; the page's policy forbids it to look itself."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(50)


def fact(page, name):
    return page.locator(".fact", has_text=name).locator(".big").inner_text()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    place = tmp_path_factory.mktemp("page") / "halving"
    search(place, None, Hyperband(max_epochs=9)).close()
    return place


def test_the_numbers_at_the_top_are_those_of_the_search(show, finished):
    page = show(finished)
    trials = open_store(finished).trials()
    best = max(t.score for t in trials if t.score is not None)
    assert float(fact(page, "Best val_accuracy")) == pytest.approx(best, rel=1e-3)
    assert fact(page, "Trials finished") == f"{len(trials)} of {len(trials)}"
    failed = sum(trial.failure is not None for trial in trials)
    assert fact(page, "Failed") == str(failed)
    assert page.locator("#state").inner_text() == "ended"


def test_each_view_is_drawn(show, finished):
    page = show(finished)
    for name in VIEWS:
        view(page, name)
    view(page, "overview")
    until(page, "[...document.querySelectorAll('[data-curves]')].some(e => e.dataset.curves > 5)")
    assert page.locator("#overview canvas").count() >= 2
    view(page, "rungs")
    assert page.locator("#rungs .card").get_attribute("data-brackets") == "3"
    labels = page.locator("#rungs [role=img]").evaluate_all("all => all.map(e => e.ariaLabel)")
    assert "9 trials until epoch 1, 3 trials until epoch 3, 1 trials until epoch 9" in labels[0]
    view(page, "space")
    axes = page.locator("[data-axes]").get_attribute("data-axes")
    assert axes == "5"


def test_a_trial_opens_with_its_values_curves_and_traceback(show, folder):
    page = show(folder)
    failed = next(t for t in open_store(folder).trials() if t.failure is not None)
    view(page, "trials")
    page.select_option("#trials select", "failed")
    page.click(f"#trials tr[data-n='{failed.number}'] button")
    panel = page.locator("#panel")
    assert panel.locator("h2").inner_text() == f"Trial {failed.number}"
    assert "ValueError: too fast <b>" in panel.locator("pre").inner_text()
    page.keyboard.press("Escape")
    assert panel.is_hidden()


def test_the_table_sorts_filters_and_saves(show, finished):
    page = show(finished)
    view(page, "trials")
    page.fill("#trials input[type=search]", "layers = 2 status=completed")
    trials = open_store(finished).trials()
    wanted = [t for t in trials if t.values["layers"] == 2 and t.score is not None]
    assert page.locator("#trials tr[data-n]").count() == len(wanted)
    page.click("#trials th button:has-text('val_accuracy')")
    first = page.locator("#trials tr[data-n]").first.get_attribute("data-n")
    assert int(first) == min(wanted, key=lambda t: t.score).number
    with page.expect_download() as saved:
        page.click("#trials a:has-text('CSV')")
    assert saved.value.suggested_filename == "trials.csv"


def test_chosen_trials_are_compared(show, finished):
    page = show(finished)
    view(page, "trials")
    for number in (1, 2):
        page.check(f"#trials tr[data-n='{number}'] input")
    page.click("#trials button:has-text('Compare 2')")
    page.wait_for_selector("#panel table")
    assert page.locator("#panel thead button").all_inner_texts() == ["Trial 1", "Trial 2"]
    assert page.locator("#panel tr.differs").count() >= 1


def test_brushing_an_axis_chooses_trials_for_the_table(show, finished):
    page = show(finished)
    view(page, "space")
    canvas = page.locator("[data-axes] canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    x, top = box["x"] + 54, box["y"] + 46  # the first axis, the rate
    page.mouse.move(x, top + 2)
    page.mouse.down()
    page.mouse.move(x, top + 150, steps=5)
    page.mouse.up()
    page.click("text=Show in the table")
    rates = [t.values["rate"] for t in open_store(finished).trials() if t.score is not None]
    shown = page.locator("#trials tr[data-n]").count()
    assert 0 < shown < len(rates)
    kept = [
        int(n)
        for n in page.locator("#trials tr[data-n]").evaluate_all("a => a.map(e => e.dataset.n)")
    ]
    trials = open_store(finished).trials()
    least = min(trials[n].values["rate"] for n in kept)
    assert sum(rate >= least for rate in rates) == shown


def test_figures_about_values_compare_trainings_of_one_length(show, tmp_path):
    search(tmp_path, None, Hyperband(max_epochs=27)).close()
    page = show(tmp_path)
    assert page.locator("#length").is_hidden()
    view(page, "space")
    ends = [t.end_epoch for t in open_store(tmp_path).trials() if t.score is not None]
    longest = max(end for end in ends if ends.count(end) >= 10)
    assert page.locator("#length").input_value() == str(longest)
    until(page, f"document.querySelector('[data-lines]').dataset.lines === '{ends.count(longest)}'")
    page.select_option("#length", "1")
    until(page, f"document.querySelector('[data-lines]').dataset.lines === '{ends.count(1)}'")
    page.select_option("#length", "all")
    until(page, f"document.querySelector('[data-lines]').dataset.lines === '{len(ends)}'")


def test_the_pareto_front_is_drawn(show, tmp_path):
    goals = [afina.Objective("val_accuracy", "max"), afina.Objective("seconds", "min")]
    study = search(tmp_path, 14, ParetoSearch(seed=0), goals)
    front = len(study.get_pareto_front())
    study.close()
    page = show(tmp_path)
    assert page.locator("[data-front]").get_attribute("data-front") == str(front)
    assert page.locator("#aim").is_visible()


def test_the_page_follows_a_search_in_another_process(show, tmp_path):
    code = [sys.executable, "-m", "tests.dashboard.searches", str(tmp_path / "s"), "400", "0.05"]
    worker = subprocess.Popen(code)
    try:
        for _ in range(600):
            if (tmp_path / "s" / "afina.sqlite3").exists():
                break
            assert worker.poll() is None
            time.sleep(0.1)
        page = show(tmp_path / "s", actions=True)
        until(page, "document.getElementById('state').textContent === 'running'")
        count = (
            "parseInt([...document.querySelectorAll('.fact')][1].querySelector('.big').textContent)"
        )
        before = page.evaluate(count)
        until(page, f"{count} > {before} + 1", seconds=60)
        assert "process" in page.locator(".run .foot").first.inner_text()
        page.click("#stop")
        until(page, "document.getElementById('state').textContent === 'ended'", seconds=60)
        assert worker.wait(60) == 0
        assert "stopped from outside" in page.locator("#facts").inner_text()
    finally:
        worker.kill()
        worker.wait()


def test_a_running_trial_is_ended_and_a_configuration_asked_for(show, tmp_path):
    study = Study(
        build, objective="val_accuracy", algorithm=Random(0), store=tmp_path, max_trials=9
    )
    train(study, study.ask())
    trial = study.ask()
    study.report(trial, {"val_accuracy": 0.1}, step=0)
    page = show(tmp_path, actions=True)
    page.click(".run")
    page.click("#panel button:has-text('End this trial')")
    page.wait_for_selector("#panel button:has-text('Ends after this epoch')")
    page.fill("#panel textarea", "odd <b>")
    page.click("#panel button:has-text('Keep the note')")
    until(page, "document.getElementById('said').textContent.includes('is kept')")
    page.keyboard.press("Escape")
    view(page, "trials")
    page.click("text=Try a configuration")
    page.fill("#panel input >> nth=0", "0.01")
    page.click("#panel button[type=submit]")
    until(page, "document.getElementById('said').textContent.includes('tries these')")
    study.tell(trial)
    assert study.ask().values["rate"] == 0.01
    study.close()


def test_a_trial_is_paused_and_resumed_and_another_trained_longer(show, tmp_path):
    study = Study(
        build, objective="val_accuracy", algorithm=Random(0), store=tmp_path, max_trials=9
    )
    study.by_hand.requests.cannot.clear()
    train(study, study.ask())
    trial = study.ask()
    study.report(trial, {"val_accuracy": 0.1}, step=0)
    page = show(tmp_path, actions=True)
    page.click(".run")
    page.click("#panel button:has-text('Pause after its epoch')")
    page.wait_for_selector("#panel button:has-text('Do not pause')")
    study.by_hand.look(study.space, 2)
    assert study.report(trial, {"val_accuracy": 0.2}, step=1) is afina.Decision.PAUSE
    study.fail(trial, Failure(FailureKind.PAUSED, ""))
    page.wait_for_selector("#panel .chip.paused")
    page.click("#panel button:has-text('Resume')")
    page.wait_for_selector("#panel .chip.waiting")
    page.keyboard.press("Escape")
    view(page, "trials")
    page.click("#trials tr[data-n='0'] button")
    page.fill("#panel input[type=number]", "3")
    page.click("#panel button:has-text('Train longer')")
    page.wait_for_selector("#panel .hint:has-text('3 more epochs')")
    assert study.ask().number == trial.number
    assert study.ask().end_epoch == 4 + 3
    study.close()


def test_ranges_are_changed_and_what_the_search_refuses_is_said(show, tmp_path):
    study = search(tmp_path, 3)
    page = show(tmp_path, actions=True)
    view(page, "space")
    page.click("text=Change the ranges")
    page.fill("[aria-label='Lowest value of rate']", "0.01")
    page.click("[aria-label='Apply the range of rate']")
    until(page, "document.getElementById('said').textContent.includes('draw rate')")
    page.keyboard.press("Escape")
    until(page, "document.querySelector('#space .notice').textContent.includes('from 0.01')")
    Requests(study.store).ask_range("momentum", {"low": 2})
    study.by_hand.look(study.space, 3)
    page.wait_for_selector("#answer:not([hidden])")
    assert "'momentum' has no value" in page.locator("#answer").inner_text()
    page.click("#answer button")
    until(page, "document.getElementById('answer').hidden")
    study.close()


def test_what_a_search_cannot_do_is_said_on_its_page(show, tmp_path):
    study = Study(
        build, objective="val_accuracy", algorithm=Random(0), store=tmp_path, max_trials=9
    )
    study.report(study.ask(), {"val_accuracy": 0.1}, step=0)
    page = show(tmp_path, actions=True)
    page.click(".run")
    assert page.locator("#panel button:has-text('Pause after its epoch')").is_disabled()
    assert "the script trains the models itself" in page.locator("#panel").inner_text()
    study.close()


def test_hostile_names_values_and_tracebacks_stay_text(show, tmp_path):
    hostile(tmp_path).close()
    page = show(tmp_path)
    for name in VIEWS:
        view(page, name)
        assert "\u202e" not in page.locator("body").inner_text()  # it would turn texts around
    view(page, "trials")
    for number in (0, 1):
        page.click(f"#trials tr[data-n='{number}'] button")
        page.wait_for_selector(f"#panel h2:has-text('Trial {number}')")
        page.wait_for_timeout(200)
        shown = page.locator("#panel").inner_text()
        assert "<img src=x onerror=alert(1)>" in shown
        assert "\u202e" not in page.locator("#panel .list").first.inner_text()
        page.keyboard.press("Escape")
    assert page.locator("img[src=x]").count() == 0
    assert HOSTILE[:10] in page.locator("#facts").inner_text()


def test_the_page_can_be_used_by_keyboard_alone(show, finished):
    page = show(finished)
    page.focus("#tab-overview")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "tab-trials"
    assert page.locator("#trials").is_visible()
    page.keyboard.press("End")
    assert page.locator("#advice").is_visible()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.locator("#trials tr[data-n] button").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#panel:not([hidden])")
    assert page.evaluate("document.activeElement.closest('#panel') !== null")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.closest('#trials') !== null")


@pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")], ids=str
)
def test_axe_finds_nothing_on_any_view(show, finished, width, scheme):
    page = show(finished, width=width, scheme=scheme, actions=True)
    for name in VIEWS:
        view(page, name)
        until(page, "![...document.querySelectorAll('.empty')].some(e => /Comp/.test(e.innerText))")
        assert accessible(page) == [], name
    for number in (0, 1):
        page.evaluate(f"import('/static/trial.js').then(all => all.showTrial({number}))")
        page.wait_for_selector(f"#panel h2:has-text('Trial {number}')")
        assert accessible(page) == []
    for file, call in (
        ("trial", "compare([0, 1])"), ("trial", "propose()"), ("ranges", "changeRanges()"),
    ):  # fmt: skip
        page.evaluate(f"import('/static/{file}.js').then(all => all.{call})")
        page.wait_for_timeout(400)
        assert accessible(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_enough_contrast(show, finished, scheme):
    page = show(finished, scheme=scheme, actions=True)
    for name in VIEWS:
        view(page, name)
        assert page.evaluate(CONTRAST) == []
    view(page, "trials")
    page.click("#trials tr[data-n] button >> nth=0")
    page.wait_for_selector("#panel:not([hidden]) table")
    assert page.evaluate(CONTRAST) == []


def test_each_control_has_a_name(show, finished):
    page = show(finished, actions=True)
    for name in VIEWS:
        view(page, name)
    nameless = page.evaluate(script("nameless.js"))
    assert nameless == []


def test_a_phone_shows_every_view_without_scrolling_sideways(show, finished):
    page = show(finished, width=390)
    for name in VIEWS:
        view(page, name)
        page.wait_for_timeout(150)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
    view(page, "trials")
    page.click("#trials tr[data-n] button >> nth=0")
    page.wait_for_selector("#panel:not([hidden]) table")
    assert page.locator("#panel").bounding_box()["width"] <= 390


def test_a_search_that_has_not_begun_shows_an_empty_page_and_then_its_trials(show):
    store = MemoryStore()
    page = show(store)
    for name in VIEWS:
        view(page, name)
    assert "Waiting" in page.locator("#name").inner_text()
    view(page, "overview")
    search(store, 3)
    until(page, "document.querySelectorAll('.fact .big')[1].textContent.startsWith('3')")
    assert re.fullmatch(r"search", page.locator("#name").inner_text())
