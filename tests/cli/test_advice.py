"""`afina advice` on a terminal."""

import os
import sys

import pytest

import afina
from afina.cli.report import fitted
from afina.search import Random

TEXT = """Go on with a model-based search (tuner.search_again): better results are likely.

What matters:
  learning_rate   89 %  (74 to 100 %)  matters, and more than all others together
"""


def test_long_lines_are_broken_between_words_and_go_on_indented():
    lines = fitted(TEXT, 50).splitlines()
    assert max(map(len, lines)) <= 50
    assert " ".join(" ".join(lines).split()) == " ".join(TEXT.split())
    assert lines[2:4] == ["", "What matters:"]
    assert lines[4].startswith("  learning_rate   89 %  (74")
    assert lines[5].startswith("      ")
    assert fitted(TEXT, 500) == TEXT.rstrip()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX terminal")
def test_a_terminal_gets_lines_that_fit_and_a_file_gets_whole_ones(tmp_path):
    import pty
    import subprocess

    hp = afina.HyperParameters()
    hp.Float("x", 0.0, 1.0)
    settings = {"algorithm": Random(seed=0), "storage": tmp_path / "p", "max_trials": 3}
    study = afina.Study(hp, objective=afina.Objective("loss", "min"), **settings)
    study.optimize(lambda trial: trial.values["x"])
    study.close()
    command = [sys.executable, "-m", "afina", "advice", str(tmp_path / "p")]
    plain = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert max(map(len, plain.splitlines())) > 60
    ours, theirs = pty.openpty()
    subprocess.run(command, stdout=theirs, env={**os.environ, "COLUMNS": "60"}, check=True)
    os.close(theirs)
    shown = os.read(ours, 100_000).decode().replace("\r\n", "\n")
    os.close(ours)
    assert max(map(len, shown.splitlines())) <= 60
    assert " ".join(shown.split()) == " ".join(plain.split())
