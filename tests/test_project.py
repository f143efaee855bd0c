"""What is true of the project as a whole: versions, commands, and what its files must not name."""

import re
import subprocess
import tomllib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import afina
from afina.cli import main
from tests.services.known import KNOWN
from tests.services.run import SERVICES, dependencies
from tests.services.test_package import PYTHONS

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

# A checkout names no package index and no place of the machine it was made on. Written so that
# this file does not match itself.
FORBIDDEN = {
    "a package index": re.compile(
        r"index[-]url|find[-]links|trusted[-]host|pypi[.]org|/[s]imple/|https?://\S+[.]whl"
    ),
    "a folder of one machine": re.compile(
        r"(?<![\w.~$}])/(?:" + "|".join(["home", "root", "Users", "work", "tmp", "opt"]) + r")/\w"
    ),
}


def tracked_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:  # not a git checkout, an unpacked source archive say
        return [file for file in (ROOT / "src").rglob("*") if file.suffix in {".py", ".md"}]
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_names(what: str) -> None:
    found = []
    for file in tracked_files():
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        found += [f"{file.relative_to(ROOT)}: {m.group()}" for m in FORBIDDEN[what].finditer(text)]
    assert not found


def test_no_search_and_no_model_is_part_of_the_project() -> None:
    kinds = {".sqlite3", ".h5", ".keras", ".npz", ".lock", ".db"}
    assert not [file for file in tracked_files() if file.suffix in kinds]


def test_the_version_is_one_everywhere() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[?(\d+\.\d+\.\d+)", changelog, re.MULTILINE)
    assert newest is not None
    assert newest[1] == afina.__version__ == PROJECT["project"]["version"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {afina.__version__}\n" in citation


def test_each_declared_python_is_one_that_the_package_is_tried_on() -> None:
    named = re.findall(r"Python :: (3\.\d+)\"", (ROOT / "pyproject.toml").read_text("utf-8"))
    assert named
    assert set(named) <= set(PYTHONS)


def required(names: list[str]) -> set[str]:
    """Distributions that requirements name, in the spelling that indexes use."""
    found = {re.split(r"[\[<>=!~; ]", name)[0] for name in names}
    return {re.sub(r"[-_.]+", "-", name).lower() for name in found} - {"afina"}


def test_everything_that_make_installs_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert not [pin for pin in pins if not re.fullmatch(r"[\w.-]+==[\w.]+", pin)]
    project = PROJECT["project"]
    extras = project["optional-dependencies"]
    wanted = required(PROJECT["build-system"]["requires"] + project["dependencies"])
    for extra in ("dev", "jax", "plot", "sklearn", "web"):
        wanted |= required(extras[extra])
    assert not wanted - required(pins)


def commands(group: click.Group, *path: str) -> list[tuple[str, ...]]:
    found = []
    for name, command in group.commands.items():
        found.append((*path, name))
        if isinstance(command, click.Group):
            found += commands(command, *path, name)
    return found


@pytest.mark.parametrize("command", commands(main), ids=" ".join)
def test_every_command_has_help_and_stands_in_the_docs(command: tuple[str, ...]) -> None:
    helped = CliRunner().invoke(main, [*command, "--help"])
    assert helped.exit_code == 0
    assert len(helped.output.splitlines()) > 5
    guides = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    text = "\n".join(guide.read_text(encoding="utf-8") for guide in guides)
    assert "afina " + " ".join(command) in text


def test_every_make_target_in_the_guides_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for guide in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        named = set(re.findall(r"`make ([a-z]+)`|^make ([a-z]+)", guide.read_text(), re.MULTILINE))
        assert {name for pair in named for name in pair if name} <= targets


def test_the_services_run_tests_that_are_there() -> None:
    for name, service in SERVICES.items():
        assert service.tests or service.wheel, name
        assert [test for test in service.tests if not (ROOT / test).exists()] == []
    assert KNOWN.keys() <= SERVICES.keys()


def test_a_service_with_a_keras_of_its_own_installs_no_other() -> None:
    assert any(need.startswith("keras") for need in dependencies(keras=True))
    assert not any(need.startswith("keras") for need in dependencies(keras=False))
    assert len(dependencies(keras=False)) == len(PROJECT["project"]["dependencies"]) - 1
