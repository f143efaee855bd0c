"""Builds the documentation site, in English and in Spanish, with warnings as errors.

    python website/build.py [--output site]

The pages are those of `docs/`, which also read well where they lie. They are copied beside the
other files that they link to, and the reference is written from `site.toml`. Each language is a
site of its own, so that its search finds its own pages only. A link into the other language is
turned into plain HTML, as neither site knows the other's pages.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import unicodedata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
SPANISH = DOCS / "es"
SCRIPT = "brackets.js"
LANGUAGES = {"en": "English", "es": "Español"}
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s#]*)(#[^)\s]*)?\)")


def main() -> int:
    """Builds both languages; the exit code is 0 if there was no warning."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "site")
    output = parser.parse_args().output.resolve()
    shutil.rmtree(output, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        for language in LANGUAGES:
            stage = Path(folder) / language
            stage.mkdir()
            build(language, stage, output if language == "en" else output / language)
    print(f"The site is in {output}; python -m http.server -d {output} shows it.")
    return 0


def build(language: str, stage: Path, output: Path) -> None:
    """Builds one language below `stage`, and moves the site to `output`."""
    settings = tomllib.loads((ROOT / "website" / "site.toml").read_text(encoding="utf-8"))
    pages = stage / "pages"
    shutil.copytree(ROOT / "website" / "overrides", stage / "overrides")
    shutil.copytree(DOCS / "images", pages / "images")
    shutil.copy(ROOT / "website" / SCRIPT, pages / SCRIPT)
    source = DOCS if language == "en" else SPANISH
    for page in sorted(source.glob("*.md")):
        stage_page(page, page.name, pages, language)
    if language == "en":
        for page in settings["reference"]:
            write_reference(page, pages / "reference")
    config = config_of(settings, language, pages)
    (stage / "mkdocs.yml").write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    # Static analysis of this checkout; nothing of it is imported.
    variables = {**os.environ, "PYTHONPATH": "", "NO_COLOR": "1"}
    subprocess.run(command, cwd=stage, env=variables, check=True)
    shutil.copytree(stage / "site", output, dirs_exist_ok=True)


def stage_page(page: Path, name: str, pages: Path, language: str) -> None:
    """Copies a page, and everything outside `docs` that it links to."""
    to = pages / name
    if to.exists():
        return
    to.parent.mkdir(parents=True, exist_ok=True)
    to.touch()

    def moved(match: re.Match[str]) -> str:
        picture, text, target, anchor = match[1], match[2], match[3], slug(match[4] or "")
        if "://" in target or target.startswith("mailto:"):
            return match[0]
        if not target:
            return f"[{text}]({anchor})"
        found = (page.parent / target).resolve()
        up = "../" * name.count("/")
        if found.is_relative_to(DOCS):
            return within(match, found, language, up)
        if found.suffix == ".md":
            outside = found.relative_to(ROOT).as_posix()
            if language == "es":  # the English site has it
                return f'<a href="../{outside.removesuffix(".md")}.html{anchor}">{text}</a>'
            stage_page(found, outside, pages, language)
        elif found.is_file():
            outside = "files/" + found.relative_to(ROOT).as_posix()
            (pages / outside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(found, pages / outside)
        else:  # a folder: there is nothing to open
            return text
        return f"{picture}[{text}]({up}{outside}{anchor})"

    # What is between fences is code; a link may go on in the next line.
    parts = re.split(r"(^```.*?^```$)", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    text = "".join(part if part.startswith("```") else LINK.sub(moved, part) for part in parts)
    to.write_text(text, encoding="utf-8")


def slug(anchor: str) -> str:
    """An anchor as the generator writes it, without accents; repositories keep them."""
    return unicodedata.normalize("NFKD", anchor).encode("ascii", "ignore").decode("ascii")


def within(match: re.Match[str], found: Path, language: str, up: str) -> str:
    """A link from a page, so far `up` below the others, to a page or a picture of `docs`."""
    picture, text, anchor = match[1], match[2], slug(match[4] or "")
    place = found.relative_to(DOCS).as_posix()
    if place.startswith("images/"):
        return f"{picture}[{text}]({up}{place})"
    if place.startswith("es/") and language == "es":
        return f"[{text}]({place.removeprefix('es/')}{anchor})"
    if place.startswith("es/") or language == "es":
        up = up if language == "en" else "../"
        return f'<a href="{up}{place.removesuffix(".md")}.html{anchor}">{text}</a>'
    return f"[{text}]({up}{place}{anchor})"


def write_reference(page: dict[str, Any], folder: Path) -> None:
    """A page with the docstrings of the names that belong on it."""
    folder.mkdir(exist_ok=True)
    lines = [f"# {page['title']}", ""]
    for name in page["names"]:
        lines += [f"::: {name}", "    options:", "      heading_level: 2"]
        if page.get("members"):  # a room: what it offers, not where it keeps it
            lines += ["      show_submodules: false", "      filters: ['!^_']"]
        lines.append("")
    (folder / f"{page['file']}.md").write_text("\n".join(lines), encoding="utf-8")


def config_of(settings: dict[str, Any], language: str, pages: Path) -> dict[str, Any]:
    """The generator's configuration for one language."""
    config = dict(settings["site"])
    config["docs_dir"], config["site_dir"] = "pages", "site"
    config["theme"] = {**config["theme"], "language": language}
    config["theme"]["icon"] = {"alternate": "lucide/languages"}
    translated = sorted(page.stem + ".html" for page in SPANISH.glob("*.md"))
    links = {"en": "./" if language == "en" else "../", "es": "es/" if language == "en" else "./"}
    config["extra"] = {
        "alternate": [
            {"name": name, "link": links[code], "lang": code} for code, name in LANGUAGES.items()
        ],
        "translated": translated,
    }
    config["nav"] = [
        {group[language]: listed}
        for group in settings["navigation"]
        if (listed := [page for page in group["pages"] if (pages / page).is_file()])
    ]
    options = {
        "docstring_style": "google",
        # Options that come by **kwargs are documented where they are passed on.
        "docstring_options": {"warn_unknown_params": False, "warn_missing_types": False},
        "show_source": False,
        "show_root_heading": True,
        "show_root_full_path": False,
        "members_order": "source",
        "inherited_members": False,
        "merge_init_into_class": True,
        "separate_signature": True,
        "show_signature_annotations": False,
    }
    config["extra_javascript"] = [SCRIPT]
    config["plugins"] = ["search"]
    if language == "en":
        handler = {"paths": [str(ROOT / "src")], "options": options}
        config["plugins"].append({"mkdocstrings": {"handlers": {"python": handler}}})
    return config


if __name__ == "__main__":
    sys.exit(main())
