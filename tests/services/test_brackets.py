"""The table of brackets on the page about Hyperband, in a browser, beside the code that plans."""

import re
from pathlib import Path

import pytest

from afina.search.fidelity.brackets import plan
from tests.browsing import CHROMIUM, chromium

pytest.importorskip("playwright.sync_api", reason="needs pip install playwright")

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "website" / "brackets.js"
VALUES = [(1, 2), (2, 2), (5, 4), (10, 3), (27, 3), (50, 2), (81, 3), (99, 7), (243, 3), (1000, 10)]


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(params=["en", "es"])
def page(request, browser, tmp_path):
    """The page's own place for the table, and its script; there is no network."""
    folder = ROOT / "docs" / ("" if request.param == "en" else "es")
    [place] = re.findall(r"<div class=.brackets.*", (folder / "hyperband.md").read_text("utf-8"))
    file = tmp_path / "page.html"
    head = f'<html lang="{request.param}"><meta charset="utf-8">'
    file.write_text(f'{head}{place}<script src="{SCRIPT}"></script>')
    errors = []
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(file.as_uri())
    yield page
    context.close()
    assert errors == []


def test_the_table_shows_what_a_search_plans_whatever_the_values(page) -> None:
    fields = page.locator("input")
    for epochs, factor in VALUES:
        fields.nth(0).fill(str(epochs))
        fields.nth(1).fill(str(factor))
        rows = page.locator("tbody tr").all()
        shown = [row.locator("td").all_inner_texts() for row in rows]
        planned = [
            [
                str(bracket.number),
                ", ".join(f"{rung.size} → {rung.end_epoch}" for rung in bracket.rungs),
                str(bracket.trials),
                str(bracket.epochs),
            ]
            for bracket in plan(epochs, factor)
        ]
        assert shown == planned, (epochs, factor)
        said = page.locator("[aria-live]").inner_text()
        whole = [len(planned), *(sum(int(row[at]) for row in planned) for at in (2, 3))]
        assert [int(number) for number in re.findall(r"\d+", said)] == whole


@pytest.mark.parametrize("wrong", ["0", "2.5", ""])
def test_a_wrong_value_is_answered_with_the_rule(page, wrong: str) -> None:
    page.locator("input").nth(0).fill(wrong)
    assert page.locator("table").is_hidden()
    assert "10000" in page.locator("[aria-live]").inner_text()
