"""Names, values, metrics, notes and reasons that a terminal or a browser would obey."""

import html.parser
import json
import re
import unicodedata
from pathlib import Path

import pytest
from click.testing import CliRunner

import afina
from afina.cli import main
from afina.search import Random

pytestmark = pytest.mark.service  # fits models of results for each page

MARKUP = "<script>alert(1)</script>&\"'"
HIDDEN = "x\x1b[31m\x07\x00\u202ey\nz\u2028"
NAMES = [MARKUP, HIDDEN, "</script><img src=x onerror=alert(2)>", "`rm`${1}", "'''\"\"\"\\"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    hp = afina.HyperParameters()
    hp.Float("x", 0.0, 1.0)
    for name in NAMES:
        hp.Choice(name, [MARKUP, HIDDEN, "'''\"\"\"\\n"])
    place = tmp_path_factory.mktemp("odd") / "project"
    goal = afina.Objective("loss", "min")
    study = afina.Study(hp, objective=goal, algorithm=Random(seed=0), storage=place, max_trials=25)
    for number in range(25):
        trial = study.ask()
        metrics = {"loss": trial.values["x"], MARKUP: 1.0}
        study.report(trial, metrics, 0)
        if number % 5 == 4:
            study.tell(trial, failed=f"bad {MARKUP}{HIDDEN}")
        else:
            study.tell(trial, metrics, notes={MARKUP: HIDDEN})
    study.close()
    return place


def printed(*command: object) -> str:
    result = CliRunner().invoke(main, [str(each) for each in command])
    assert result.exit_code == 0, result.output
    return result.output


def hidden_in(text: str) -> set[str]:
    return {each for each in text if each != "\n" and unicodedata.category(each) in ("Cc", "Cf")}


@pytest.mark.parametrize("command", ["trials", "best", "advice"])
def test_a_terminal_obeys_nothing_of_them(command: str, folder: Path) -> None:
    assert hidden_in(printed(command, folder)) == set()
    shown = printed(command, folder, "--json")
    assert hidden_in(shown) == set()
    text = json.dumps(json.loads(shown))
    assert json.dumps(HIDDEN)[1:-1] in text  # and a program reads them as they are


def test_the_advised_code_defines_them_as_they_are(folder: Path) -> None:
    code = printed("advice", folder, "--code")
    assert hidden_in(code) == set()
    hp = afina.HyperParameters()
    exec(code, {"hp": hp})
    assert {entry.name for entry in hp.space} >= {MARKUP, HIDDEN}


class Tags(html.parser.HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


def test_a_browser_shows_them_and_runs_nothing(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    printed("report", folder, "--output", file)
    page = file.read_text(encoding="utf-8")
    structure = Tags(page)
    assert "img" not in structure.tags
    assert structure.handlers == []
    assert "&lt;script&gt;alert(1)" in page
    ours = page[page.index("<body") :]
    assert hidden_in(ours) == set()
    assert not re.search(r"<script>alert", ours)
