"""Which backend Keras takes where nobody has chosen one, and what is said of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from afina import backend

pytestmark = pytest.mark.service

BEFORE = """
import importlib.abc, sys

class Hides(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in {hidden}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

class Has(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in {shown}:
            return importlib.machinery.ModuleSpec(name, None)

sys.meta_path[:0] = [Hides(), Has()]
"""


def run(
    code: str,
    home: Path,
    *,
    installed: tuple[str, ...] = ("jax",),
    command: tuple[str, ...] = (),
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """Runs code in a fresh interpreter, in which these backends seem to be installed."""
    hidden = sorted({"jax", "tensorflow", "torch"} - set(installed))
    shown = sorted({"tensorflow", "torch"} & set(installed))
    before = BEFORE.format(hidden=hidden, shown=shown)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("KERAS_")}
    return subprocess.run(
        [sys.executable, *(command or ("-c", before + code))],
        env={**kept, "HOME": str(home), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


TELL = "\nimport os\nprint(os.environ.get('KERAS_BACKEND'))"


def write(home: Path, **settings: object) -> Path:
    """Keras' settings."""
    path = home / ".keras" / "keras.json"
    path.parent.mkdir()
    path.write_text(json.dumps(settings))
    return path


@pytest.mark.parametrize(
    ("installed", "chosen"),
    [
        (("jax",), "jax"),
        (("tensorflow",), "tensorflow"),
        (("torch",), "torch"),
        (("tensorflow", "torch"), "tensorflow"),
        (("jax", "tensorflow", "torch"), "jax"),
    ],
)
def test_an_installed_backend_is_taken_and_said_once(
    installed: tuple[str, ...], chosen: str, tmp_path: Path
) -> None:
    done = run("import afina; import afina.errors" + TELL, tmp_path, installed=installed)
    assert done.stdout == f"{chosen}\n"
    [line] = done.stderr.splitlines()
    assert line.startswith(f"Afina: Keras runs on {backend.NAMES[chosen]}, as neither ")


def test_with_none_installed_one_sentence_says_what_to_install(tmp_path: Path) -> None:
    done = run("import afina; from afina import Study; print('on')", tmp_path, installed=())
    assert done.stdout == "on\n"  # what needs no Keras works
    assert done.stderr == f"Afina: {backend.NONE}\n"
    assert "pip install 'afina[jax]'" in backend.NONE
    done = run("import afina as kt; kt.Hyperband", tmp_path, installed=())
    assert done.stderr.splitlines()[-1] == f"ModuleNotFoundError: {backend.NONE}"


def test_a_backend_that_the_environment_names_is_kept(tmp_path: Path) -> None:
    done = run("import afina" + TELL, tmp_path, KERAS_BACKEND="torch")
    assert (done.stdout, done.stderr) == ("torch\n", "")


def test_an_empty_variable_says_nothing_as_it_does_to_keras(tmp_path: Path) -> None:
    assert run("import afina" + TELL, tmp_path, KERAS_BACKEND="").stdout == "jax\n"


@pytest.mark.parametrize(
    ("written", "installed"),
    [
        ("tensorflow", ("jax", "tensorflow")),
        ("torch", ("jax", "torch")),
        ("jax", ("jax", "tensorflow")),
        ("torch", ("jax",)),  # which then fails in Keras, as it should: somebody wrote it
        ("openvino", ("jax",)),
    ],
)
def test_a_backend_that_keras_json_names_is_kept(
    written: str, installed: tuple[str, ...], tmp_path: Path
) -> None:
    write(tmp_path, backend=written)
    done = run("import afina" + TELL, tmp_path, installed=installed)
    assert (done.stdout, done.stderr) == ("None\n", "")


def test_tensorflow_in_keras_json_was_no_choice_where_it_is_not_installed(tmp_path: Path) -> None:
    path = write(tmp_path, backend="tensorflow", floatx="float32")
    before = path.read_text()
    done = run("import afina" + TELL, tmp_path)
    assert done.stdout == "jax\n"
    assert done.stderr.count("Afina: Keras runs on JAX") == 1
    assert path.read_text() == before


@pytest.mark.parametrize("settings", [{}, {"floatx": "float32"}, {"backend": None}])
def test_a_keras_json_without_a_backend_says_nothing(
    settings: dict[str, object], tmp_path: Path
) -> None:
    write(tmp_path, **settings)
    assert run("import afina" + TELL, tmp_path).stdout == "jax\n"


@pytest.mark.parametrize("text", ["", "not JSON", "[]", "\x00"])
def test_a_keras_json_that_cannot_be_read_says_nothing(text: str, tmp_path: Path) -> None:
    write(tmp_path).write_text(text)
    assert run("import afina" + TELL, tmp_path).stdout == "jax\n"


def test_keras_json_is_looked_for_where_keras_looks(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "keras.json").write_text('{"backend": "torch"}')
    both = ("jax", "torch")
    done = run("import afina" + TELL, tmp_path, installed=both, KERAS_HOME=str(elsewhere))
    assert done.stdout == "None\n"


@pytest.mark.parametrize("name", ["keras", "tensorflow"])
def test_what_is_imported_already_is_left_alone(name: str, tmp_path: Path) -> None:
    code = f"import sys, types; sys.modules[{name!r}] = types.ModuleType({name!r}); import afina"
    done = run(code + TELL, tmp_path, installed=("jax", "tensorflow"))
    assert (done.stdout, done.stderr) == ("None\n", "")


def test_keras_runs_on_it_and_the_next_process_takes_the_same(tmp_path: Path) -> None:
    code = "import afina, keras; print(keras.backend.backend())"
    for _ in range(2):  # the first lets Keras write a keras.json that names TensorFlow
        done = run(code, tmp_path)
        assert done.stdout == "jax\n", done.stderr
    assert "tensorflow" in (tmp_path / ".keras" / "keras.json").read_text()


def test_the_next_process_takes_the_same_also_where_tensorflow_is_installed(tmp_path: Path) -> None:
    code = "import afina, keras; print(keras.backend.backend())"
    for _ in range(2):
        done = run(code, tmp_path, installed=("jax", "torch"))
        assert done.stdout == "jax\n", done.stderr
    both = ("jax", "tensorflow")
    other = tmp_path / "other"
    other.mkdir()
    assert run("import afina" + TELL, other, installed=both).stdout == "jax\n"
    assert json.loads((other / ".keras" / "keras.json").read_text()) == {}
    assert run("import afina" + TELL, other, installed=both).stdout == "jax\n"


def test_the_command_says_nothing_of_backends(tmp_path: Path) -> None:
    for command in (("-m", "afina", "--version"), ("-m", "afina", "trials", "--help")):
        done = run("", tmp_path, command=command)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "is_command"),
    [
        (["python", "-m", "afina", "trials"], True),
        (["python", "/usr/bin/afina", "trials"], True),
        (["python", "-m", "pytest", "afina"], False),
        (["python", "search.py", "afina"], False),
        (["python", "-c", "import afina"], False),
        (["python"], False),
    ],
)
def test_the_command_is_told_from_scripts(arguments: list[str], is_command: bool) -> None:
    assert backend.is_command(arguments) is is_command
