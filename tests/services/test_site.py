"""The documentation site is built with warnings as errors, and nothing on it leads nowhere."""

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import afina

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(
        os.environ.get("AFINA_SERVICE") != "site", reason="needs the generator of the site"
    ),
]

ROOT = Path(__file__).resolve().parents[2]


class Page(HTMLParser):
    """What a page leads to, and what can be led to on it."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file, self.targets, self.anchors, self.lang = file, [], set(), ""
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.anchors |= {known[name] for name in ("id", "name") if known.get(name)}
        self.targets += [known[name] for name in ("href", "src") if known.get(name)]
        if tag == "html":
            self.lang = known.get("lang")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Page]:
    output = tmp_path_factory.mktemp("site")
    command = [sys.executable, str(ROOT / "website" / "build.py"), "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert "griffe:" not in told, told  # a docstring that cannot be read
    return {file: Page(file) for file in output.rglob("*.html")}


def test_every_link_and_picture_of_the_site_is_there(site: dict[Path, Page]) -> None:
    dead = []
    for file, page in site.items():
        if file.name == "404.html":  # its links begin at the root of the server
            continue
        for target in page.targets:
            parts = urlsplit(target)
            if parts.scheme:
                continue
            found = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            found = found / "index.html" if found.is_dir() else found
            missing = not found.exists()
            if parts.fragment and found in site:
                missing |= unquote(parts.fragment) not in site[found].anchors
            if missing:
                dead.append(f"{file.name}: {target}")
    assert not dead


def test_no_page_fetches_anything_from_elsewhere(site: dict[Path, Page]) -> None:
    scripts = [
        f"{file.name}: {line.strip()}"
        for file in site
        for line in file.read_text(encoding="utf-8").splitlines()
        if ("<script" in line or 'rel="stylesheet"' in line) and "//" in line.split(">")[0]
    ]
    assert not scripts


def test_the_site_speaks_both_languages_and_leads_from_each_page_to_its_counterpart(site) -> None:
    spanish = {file: page for file, page in site.items() if file.parent.name == "es"}
    assert len(spanish) > 5
    for file, page in spanish.items():
        if file.name != "404.html":
            english = site[file.parent.parent / file.name]
            assert (english.lang, page.lang) == ("en", "es"), file.name
            assert f"../{file.name}" in page.targets, file.name
            assert any(target.endswith(f"es/{file.name}") for target in english.targets), file.name


def test_the_reference_has_every_public_name(site: dict[Path, Page]) -> None:
    anchors = {name.rsplit(".")[-1] for page in site.values() for name in page.anchors}
    classes = {
        name
        for name in afina.__all__
        if name not in ("__version__", "engine", "oracles", "errors", "tuners")
    }
    assert not classes - anchors
