"""The command `afina dashboard`."""

import re

import pytest
from click.testing import CliRunner

pytest.importorskip("starlette", reason="needs the extra web: pip install 'afina[web]'")

from afina.cli import main
from afina.dashboard import Dashboard


def run(monkeypatch, *arguments):
    """The command's output, and the address of each dashboard that it has served."""
    served = []

    def note(self):
        served.append(self.url)
        self._socket.close()

    monkeypatch.setattr(Dashboard, "run", note)
    done = CliRunner().invoke(main, ["dashboard", *arguments])
    return done, served


def test_it_prints_the_address(monkeypatch, folder):
    done, served = run(monkeypatch, str(folder), "--port", "0")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", served[0])
    assert done.output == f"Dashboard: {served[0]}  (Ctrl-C ends it)\n"


def test_with_actions_the_address_has_the_token(monkeypatch, folder):
    options = ["--port", "0", "--allow-actions", "--token", "hidden"]
    _, served = run(monkeypatch, str(folder), *options)
    assert served[0].endswith("/?token=hidden")


def test_a_folder_without_a_search_is_a_plain_error(monkeypatch, tmp_path):
    done, served = run(monkeypatch, str(tmp_path))
    assert done.exit_code == 1
    assert done.output.startswith("Error: FOLDER: must hold a search, but got ")
    assert not served
