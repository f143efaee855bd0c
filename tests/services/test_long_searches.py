"""Searches of many trials: what reads them reads all, and says the right thing."""

import json

import pytest
from click.testing import CliRunner

import afina
from afina.cli import main
from afina.search import Random

pytestmark = pytest.mark.service

COUNT = 10_000


def study_of(place):
    hp = afina.HyperParameters()
    hp.Float("x", 0.0, 1.0)
    hp.Float("y", 0.0, 1.0)
    goal = afina.Objective("loss", "min")
    return afina.Study(hp, objective=goal, algorithm=Random(), max_trials=COUNT, store=place)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A search whose loss depends on `x` alone, and is lowest at .3."""
    place = tmp_path_factory.mktemp("long") / "search"
    study = study_of(place)
    study.optimize(lambda trial: (trial.values["x"] - 0.3) ** 2)
    study.close()
    return place


def printed(*command):
    result = CliRunner().invoke(main, [str(each) for each in command])
    assert result.exit_code == 0, result.output
    return result.output


def test_all_trials_are_listed_and_the_best_come_first(folder):
    listed = json.loads(printed("trials", folder, "--json"))
    assert [trial["number"] for trial in listed] == list(range(COUNT))
    best = json.loads(printed("best", folder, "--json", "--count", 3))
    losses = sorted(trial["loss"] for trial in listed)
    assert [trial["loss"] for trial in best] == losses[:3]


def test_advice_finds_what_matters_and_keeps_the_optimum(folder):
    study = study_of(folder)
    found = study.advice()
    study.close()
    entry = next(each for each in found.next_space().space if each.name == "x")
    assert entry.min_value <= 0.3 <= entry.max_value
    assert entry.max_value - entry.min_value < 0.9


def test_the_report_is_written(folder, tmp_path):
    page = tmp_path / "report.html"
    printed("report", folder, "--output", page)
    assert str(COUNT) in page.read_text(encoding="utf-8")
