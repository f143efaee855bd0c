"""`--help` speaks Spanish where it is asked to, about every command and every option."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from afina.cli import main
from afina.cli.language import LOCALE, VARIABLE, speaks_spanish
from afina.cli.spanish import FRAME, HELP


def commands(
    command: click.Command = main, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    for name, each in getattr(command, "commands", {}).items():
        yield from commands(each, (*path, name))


EVERY = {" ".join(path): command for path, command in commands()}


def options(command: click.Command) -> list[str]:
    return [each.opts[0] for each in command.params if isinstance(each, click.Option)]


def shown(path: str, **variables: str | None) -> str:
    none = dict.fromkeys((VARIABLE, *LOCALE))
    told = CliRunner().invoke(main, [*path.split(), "--help"], env={**none, **variables})
    assert told.exit_code == 0, told.output
    return " ".join(told.output.split())


@pytest.mark.parametrize("path", EVERY, ids=lambda path: path or "afina")
def test_the_help_of_every_command_and_option_is_there_in_spanish(path: str) -> None:
    texts, command = HELP[path], EVERY[path]
    assert [name for name in options(command) if name not in texts] == []
    assert [name for name in texts if name not in ["help", *options(command)]] == []
    told = shown(path, AFINA_LANG="es")
    unbroken = told.replace(" ", "")  # a line may end within a word, after a hyphen
    for text in texts.values():
        assert "".join(text.replace("\b", "").split()) in unbroken
    assert not re.search(r"Usage:|Options:|Commands:|\[default|\[required|Show this", told)


@pytest.mark.parametrize("page", ["command-line.md", "es/command-line.md"])
def test_the_page_on_the_command_line_names_every_command(page: str) -> None:
    docs = Path(__file__).resolve().parents[2] / "docs"
    text = (docs / page).read_text(encoding="utf-8")
    assert [name for name in main.commands if f"afina {name}" not in text] == []


def test_the_catalog_names_no_command_that_does_not_exist() -> None:
    assert list(HELP) == [path for path in HELP if path in EVERY]


def test_help_is_english_unless_spanish_is_asked_for() -> None:
    english = shown("best")
    assert english.startswith("Usage: ")
    assert shown("best", LANG="de_DE.UTF-8") == english
    assert shown("best", AFINA_LANG="es").startswith(FRAME["Usage: "])
    assert shown("best") == english  # asking in Spanish has changed no command


@pytest.mark.parametrize(
    ("variables", "spanish"),
    [
        ({}, False),
        ({"LANG": "es_ES.UTF-8"}, True),
        ({"LANG": "es"}, True),
        ({"LANG": "est_EE"}, False),
        ({"LANG": "es_MX.UTF-8", "LC_ALL": "C"}, False),
        ({"LANG": "es_MX.UTF-8", "AFINA_LANG": "en"}, False),
        ({"LANG": "C.UTF-8", "AFINA_LANG": "es-AR"}, True),
    ],
)
def test_afina_lang_comes_before_the_locale(variables: dict[str, str], spanish: bool) -> None:
    assert speaks_spanish(variables) is spanish


def test_a_command_without_a_translation_keeps_its_english_help(monkeypatch) -> None:
    monkeypatch.delitem(HELP, "best")
    told = shown("best", AFINA_LANG="es")
    assert "Show the best configurations" in told
    assert told.startswith(FRAME["Usage: "])


def test_spanish_help_does_not_change_what_a_command_does() -> None:
    told = CliRunner().invoke(main, ["completion", "bash"], env={VARIABLE: "es"})
    assert told.exit_code == 0
    assert told.output == CliRunner().invoke(main, ["completion", "bash"]).output
