"""What trials and the report say of priors that moved a search."""

import afina
from afina.report import read_facts, write_report
from afina.search import BayesianOptimization


def build(hp):
    hp.Float("rate", 1e-4, 1e-1, sampling="log", prior=1e-3)
    hp.Float("share", 0.0, 1.0)


def searched(folder, prior):
    study = afina.Study(
        build, objective="val_loss", algorithm=BayesianOptimization(prior=prior), storage=folder
    )
    for _ in range(4):
        trial = study.ask()
        if trial.number == 3:
            study.tell(trial, failed="ValueError: too fast")
        else:
            study.tell(trial, trial.values["share"], notes={"mine": "kept too"})
    study.close()


def test_trials_and_the_report_say_which_prior_moved_them(tmp_path):
    searched(tmp_path / "told", "given")
    notes = [trial.notes.get("prior") for trial in read_facts(tmp_path / "told").trials]
    assert notes[:2] == [None, "rate (given): counts 100%"]
    moved = sum(note is not None for note in notes)
    page = write_report(tmp_path / "told", tmp_path / "r.html").read_text(encoding="utf-8")
    assert f"A prior moved {moved} of 4 trials: rate (given)." in page


def test_a_search_without_a_prior_says_nothing_of_it(tmp_path):
    searched(tmp_path / "silent", None)
    assert not any("prior" in trial.notes for trial in read_facts(tmp_path / "silent").trials)
    assert "A prior moved" not in write_report(tmp_path / "silent", tmp_path / "r.html").read_text(
        encoding="utf-8"
    )
