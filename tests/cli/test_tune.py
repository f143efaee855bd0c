"""`afina tune`, `afina status`, `afina completion`, and the command lines in the docs."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from afina.cli import main
from afina.cli.tune import KINDS
from afina.errors import ArgumentError, DataError
from afina.tuners.from_names import KINDS as TUNERS
from afina.tuners.from_names import load_object, objective_of, read_data, seconds_of

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = """
import keras
import numpy as np
from beside import WIDTH

class Net:
    def build(self, hp): ...

def build(hp):
    model = keras.Sequential([keras.Input((WIDTH,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(hp.Float("rate\\x1b[31m", 1e-3, 0.1)), "mse")
    return model

def broken(hp):
    print("building")
    if hp.Int("n", 0, 10**6):
        raise ValueError("no such layer")
    return build(hp)

def load():
    x = np.ones((20, WIDTH), "float32")
    return x, x[:, :1]

def both():
    return load(), load()

def nothing():
    return 3
"""


def run(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args], prog_name="afina")


@pytest.fixture
def script(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("train", "beside"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "beside.py").write_text("WIDTH = 2\n")
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    x = np.ones((20, 2), "float32")
    np.savez(tmp_path / "data.npz", x_train=x, y_train=x[:, :1], x_test=x)
    return path


def test_a_search_begins_from_names_is_continued_and_is_read_by_a_program(script):
    given = ("--tuner", "random", "--epochs", 1, "--seed", 0, "--objective", "val_loss", "--json")
    first = run("tune", "train.py:build", "--data", "data.npz", "--trials", 1, *given)
    assert first.exit_code == 0, first.output
    found = json.loads(first.stdout)
    assert (found["trials"], found["completed"], found["objective"]) == (1, 1, "val_loss")
    assert list(found["values"]) == ["rate\x1b[31m"]
    more = run("tune", "train.py:build", "--data", "train.py:both", "--trials", 2, *given)
    assert json.loads(more.stdout)["trials"] == 2
    stands = run("status", "untitled_project", "--json")
    facts = json.loads(stands.stdout)
    assert (facts["trials"], facts["by_status"]) == (2, {"completed": 2})
    assert facts["best"]["score"] == json.loads(more.stdout)["score"]
    for line in (run("status", "untitled_project").output, stands.output, more.output):
        assert "\x1b" not in line


@pytest.mark.parametrize("kind", ["auto", "hyperband", "grid"])
def test_every_kind_of_tuner_can_be_named(script, kind):
    found = run(
        *("tune", "train.py:build", "--data", "train.py:load", "--tuner", kind, "--trials", 2),
        *("--epochs", 2, "--objective", "val_loss", "--seed", 0, "--project", f"here/{kind}"),
        *("--time", "1h", "--batch-size", 4, "--cv", 2),
    )
    assert found.exit_code == 0, found.output
    assert re.search(r"Best val_loss: .* with rate\\x1b", found.output)
    assert "afina advice here/" in found.output


def test_the_names_of_the_command_are_those_of_the_tuners():
    assert set(KINDS) == set(TUNERS)


def test_a_search_without_a_completed_trial_has_an_exit_code_of_its_own(script):
    found = run(
        *("tune", "train.py:broken", "--data", "data.npz", "--tuner", "random"),
        *("--trials", 2, "--objective", "val_loss", "--json"),
    )
    assert found.exit_code == 3
    assert json.loads(found.stdout)["completed"] == 0


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("train.py", "must be FILE.py:NAME or MODULE:NAME"),
        ("missing.py:build", "must name a file that exists"),
        ("train.py:bild", "must define 'bild', but got \\['Net', 'both'"),
        ("no_such_module:build", "must name a module that can be imported"),
    ],
)
def test_what_names_nothing_is_refused_with_a_sentence(script, target, says):
    with pytest.raises(ArgumentError, match=says):
        load_object(target)
    found = run("tune", target, "--data", "data.npz")
    assert (found.exit_code, found.stdout) == (1, "")


def test_a_class_is_called_and_a_module_can_be_named(script):
    assert type(load_object("train.py:Net")).__name__ == "Net"
    assert load_object("math:sqrt")(4) == 2


def test_data_that_cannot_be_used_are_refused_with_a_sentence(script, tmp_path):
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    with pytest.raises(DataError, match="must hold an array x or x_train"):
        read_data("other.npz")
    with pytest.raises(DataError, match=r"must be a file that numpy.savez has written"):
        read_data("missing.npz")
    with pytest.raises(DataError, match="must return"):
        read_data("train.py:nothing")
    assert set(read_data("data.npz")) == {"x", "y"}  # test data are not touched
    np.savez(tmp_path / "v.npz", x=np.ones(3), y=np.ones(3), x_val=np.ones(2), y_val=np.ones(2))
    assert [len(part) for part in read_data("v.npz")["validation_data"]] == [2, 2]


@pytest.mark.parametrize("text", ["", "m", "30x", "-3m", "0", "3 m", "1e3"])
def test_what_is_no_span_of_time_is_refused(text):
    with pytest.raises(ArgumentError, match="must be a span of time"):
        seconds_of(text)


def test_objectives_may_name_their_directions():
    first, second = objective_of("val_accuracy, size:min")
    assert (first, second.name, second.direction) == ("val_accuracy", "size", "min")
    assert objective_of(None) is None


def test_wrong_usage_has_the_exit_code_2(script):
    assert run("tune", "train.py:build").exit_code == 2
    assert run("tune", "train.py:build", "--data", "data.npz", "--nope").exit_code == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_ask_the_command_itself(shell):
    found = run("completion", shell)
    assert found.exit_code == 0
    assert "_AFINA_COMPLETE" in found.output


def test_the_command_completes_its_own_names_and_options():
    words = {"_AFINA_COMPLETE": "bash_complete", "COMP_WORDS": "afina sta", "COMP_CWORD": "1"}
    command = [sys.executable, "-c", "from afina.cli import main; main(prog_name='afina')"]
    done = subprocess.run(command, env={**os.environ, **words}, capture_output=True, text=True)
    assert done.stdout.split() == ["plain,status"]


def lines_of_docs():
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    texts = [page.read_text(encoding="utf-8") for page in pages]
    texts += [command.help or "" for command in main.commands.values()]
    found = re.findall(r"^ *(?:\$ )?afina ([a-z].*)$", "\n".join(texts), re.MULTILINE)
    return sorted(set(found))


@pytest.mark.parametrize("line", lines_of_docs())
def test_every_command_line_in_docs_and_help_names_commands_and_options_that_exist(line):
    words = shlex.split(line.split(" > ")[0].split(" >> ")[0], comments=True)
    command: click.Command = main
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    known = {name for option in command.params for name in option.opts}
    own = words[: words.index("--")] if "--" in words else words
    assert [w for w in own if w.startswith("--") and w.split("=")[0] not in known] == []


def test_best_exits_as_tune_does_where_nothing_was_completed(tmp_path):
    import afina

    hp = afina.HyperParameters()
    hp.Float("x", 0, 1)
    goal = afina.Objective("loss", "min")
    study = afina.Study(hp, objective=goal, store=tmp_path, max_trials=1)
    study.ask()
    for options in ((), ("--json",)):
        assert run("best", tmp_path, *options).exit_code == 3
    study.tell(study.trials[0], 1.0)
    assert run("best", tmp_path).exit_code == 0


def test_advice_and_report_name_the_constraints_that_they_cannot_apply(tmp_path):
    import afina

    def build(hp):
        hp.Int("a", 1, 9)
        hp.Int("b", 1, 9)
        hp.constraint(lambda v: v["a"] <= v["b"], name="order")

    goal = afina.Objective("loss", "min")
    study = afina.Study(build, objective=goal, store=tmp_path / "p", seed=0)
    study.optimize(lambda trial: trial.values["a"], n_trials=4)
    study.close()
    told = 'order: hp.constraint(lambda v: v["a"] <= v["b"], name="order")'
    found = run("advice", tmp_path / "p")
    assert told in found.stderr
    assert told not in found.stdout
    (rule,) = json.loads(run("advice", tmp_path / "p", "--json").stdout)["constraints_not_applied"]
    assert rule == told
    assert told in run("report", tmp_path / "p", "--output", tmp_path / "r.html").stderr


def test_a_search_may_begin_with_given_points_and_name_its_executor(script, tmp_path):
    points = tmp_path / "points.json"
    points.write_text(json.dumps([{"rate\x1b[31m": 0.05}]), encoding="utf-8")
    project = tmp_path / "p"
    line = ["tune", f"{script}:build", "--data", f"{script}:load", "--objective", "val_loss"]
    line += ["--project", project, "--trials", 2, "--epochs", 1, "--json", "--seed", 0]
    found = run(*line, "--start-from", points, "--executor", "serial", "--narrow", "auto")
    assert found.exit_code == 0
    first = json.loads(run("trials", project, "--json").output)[0]
    assert first["values"]["rate\x1b[31m"] == 0.05
    other = run(*line, "--start-from", points, "--tuner", "random")
    assert (other.exit_code, "goes with the tuner" in other.output) == (1, True)
    points.write_text("[3]", encoding="utf-8")
    assert "must hold a list of objects" in run(*line, "--start-from", points).output
    assert "narrow" in run(*line, "--narrow", "much").output
