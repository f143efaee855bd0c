"""What a notebook shows of tuners, trials, spaces, advice and verdicts: tables, all escaped."""

import html.parser

import numpy as np
import pytest

import afina
from afina.advice import advice
from afina.advice.judgement import Contender, compare, judge
from afina.search import Random
from afina.tuners.trial import Trial

EVIL = "<script>\x1b[31m & 'x'"


class Checker(html.parser.HTMLParser):
    """Fails at tags that are not closed, and at any script."""

    def __init__(self, text):
        super().__init__()
        self.open, self.text = [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert tag in ("p", "b", "table", "thead", "tbody", "tr", "th", "td", "pre")
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data + " "


def shown(thing):
    text = thing._repr_html_()
    assert "\x1b" not in text
    return Checker(text).text


@pytest.fixture
def tuner(tmp_path):
    class Mine(afina.tuners.BaseTuner):
        def run_trial(self, trial, **kwargs):
            hp = trial.hyperparameters
            hp.Choice(EVIL, [EVIL, "other"])
            if hp.Float("rate", 1e-4, 1e-1, sampling="log") > 0.05:
                raise ValueError(EVIL)
            return {"accuracy": hp.get("rate")}

    oracle = afina.oracles.RandomSearchOracle(
        afina.Objective("accuracy", "max"), max_trials=30, seed=0, max_consecutive_failed_trials=9
    )
    return Mine(oracle, directory=tmp_path, project_name=EVIL.replace("/", ""))


def test_a_tuner_shows_where_its_search_stands_and_its_best_configurations(tuner):
    assert "No trial has a score yet" in shown(tuner) or "not begun" in shown(tuner)
    tuner.search(verbose=0)
    text = shown(tuner)
    [best] = tuner.oracle.get_best_trials(1)
    assert f"The best accuracy is {best.score:.4g} (trial {int(best.trial_id)})." in text
    assert "<script>\\x1b[31m" in text


def test_a_trial_shows_its_values_and_why_it_failed(tuner):
    tuner.search(verbose=0)
    state = tuner.oracle.search_state
    failed = next(trial for trial in state.trials.values() if trial.failure is not None)
    face = tuner.oracle.get_trial(tuner.oracle.ids.id_of(failed.number))
    for each in (failed, face):
        text = shown(each)
        assert "ValueError: <script>" in text
        assert f"{failed.values['rate']:.5g}" in text


def test_a_trial_that_nobody_has_run_is_shown_too():
    assert "Trial <b> : RUNNING" in shown(Trial(afina.HyperParameters(), trial_id="<b>"))


def test_a_space_is_a_table_of_its_entries():
    hp = afina.HyperParameters()
    assert "no hyperparameters yet" in shown(hp)
    hp.Int("units", 16, 64, step=16)
    hp.Choice("kind", ["a", EVIL])
    with hp.conditional_scope("kind", ["a"]):
        hp.Float("rate", 1e-4, 1e-1, sampling="log")
    for each in (hp, hp.to_space()):
        text = shown(each)
        assert "16 to 64, step 16" in text
        assert "0.0001 to 0.1, log scale" in text
        assert "kind is a" in text


def test_advice_shows_its_sentences_and_the_code_to_paste():
    hp = afina.HyperParameters()
    hp.Float(EVIL, 0, 1)
    study = afina.Study(hp, objective="loss", algorithm=Random(0))
    for _ in range(40):
        trial = study.ask()
        study.tell(trial, (trial.values[EVIL] - 0.2) ** 2)
    found = advice(study.trials.values(), hp)
    text = shown(found)
    assert "40 configurations tried" in text
    assert ("hp.Float(" in text) == bool(found.changes)


def test_verdicts_are_paragraphs_of_their_sentences():
    true = np.array([0, 1, 1])
    accuracy = afina.Objective("val_accuracy", "max")
    verdict = judge({"accuracy": 0.75}, accuracy, searched=0.8, true=true, predicted=1 - true)
    assert all(sentence in shown(verdict) for sentence in verdict.sentences())
    many = [Contender(number=n, values={}, scores=(0.1 * n, 0.2)) for n in (1, 2)]
    found = compare(many, afina.Objective("loss", "min"))
    assert str(found).splitlines()[0] in shown(found)


@pytest.mark.parametrize("several", [False, True])
def test_a_study_shows_where_it_stands_and_its_best_trials(several):
    hp = afina.HyperParameters()
    hp.Choice(EVIL, [EVIL, "other"])
    hp.Float("x", 0.0, 1.0)
    names = ["loss", "cost"] if several else ["loss"]
    objective = [afina.Objective(name, "min") for name in names]
    study = afina.Study(hp, objective=objective if several else objective[0], max_trials=4, seed=0)
    assert "has not begun" in shown(study)
    while (trial := study.ask()) is not None:
        x = trial.values["x"]
        study.tell(trial, {"loss": x, "cost": 1 - x})
    text = shown(study)
    assert "4 completed." in text
    assert "max_trials=4 trials have been run" in text
    best = study.get_pareto_front()[-1] if several else study.best_trials()[0]
    assert f"{best.values['x']:.5g}" in text
    assert ("The Pareto front" in text) == several
