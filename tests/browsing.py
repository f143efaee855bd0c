"""The page about a search as a browser's tests use it: its views, and what axe-core objects to."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

VIEWS = ("overview", "trials", "rungs", "space", "time", "setup", "advice")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """A browser, closed at the end."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def view(page: Any, name: str) -> None:
    """Opens a view of the page, and waits until it is drawn."""
    page.click(f"#tab-{name}")
    page.wait_for_selector(f"#{name}:not([hidden]) .card")


def accessible(page: Any) -> Any:
    """What axe-core objects to on the page as it is now: its rules, and the elements."""
    packed = pytest.importorskip("axe_playwright_python", reason="needs axe-playwright-python")
    page.evaluate((Path(packed.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))
    return page.evaluate(
        "axe.run(document, {resultTypes: ['violations']}).then(found => "
        "found.violations.map(each => [each.id, each.nodes.map(node => node.target.join(' '))]))"
    )
