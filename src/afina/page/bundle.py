"""The page's scripts and styles as one text each, for a page in one file.

There is no build step: a module becomes a function, and what it exports becomes the object that the
function returns. So modules must not import each other in a circle.
"""

from __future__ import annotations

import functools
import re

from afina.page import BROWSER

FIRST = "app"
"""The module that starts the page."""

_IMPORT = re.compile(r'^import \{ ([^}]*) \} from "\./(\w+)\.js";$', re.MULTILINE)
_EXPORTED = re.compile(r"^export (?=(?:async )?(?:function|class|const) (\w+))", re.MULTILINE)
_LISTED = re.compile(r"^export \{ ([^}]*) \};$", re.MULTILINE)
_LEFT = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


def _read(name: str) -> str:
    return (BROWSER / name).read_text(encoding="utf-8")


@functools.cache
def script() -> str:
    """All scripts of the page, to run after its elements."""
    texts: dict[str, str] = {}
    _add(FIRST, texts, ())
    library = f"/* {_read('vendor/uPlot.LICENSE')} */\n{_read('vendor/uPlot.iife.min.js')}"
    parts = [_read("theme.js"), library, *texts.values()]
    return _for_html("\n".join(parts))


@functools.cache
def style() -> str:
    """All styles of the page."""
    return _for_html("\n".join(map(_read, ("vendor/uPlot.min.css", "style.css"))))


def _for_html(text: str) -> str:
    """The same text, where nothing in it may end the element that it stands in."""
    if re.search(r"</(script|style)|<!--", text, re.IGNORECASE):
        raise ValueError("page: its scripts and styles must not hold </script>, </style> or <!--")
    return text.replace("\r\n", "\n")


def _add(name: str, texts: dict[str, str], above: tuple[str, ...]) -> None:
    """Adds a module after those that it imports."""
    if name in texts:
        return
    if name in above:
        raise ValueError(f"page: modules must not import in a circle, but {name}.js does")
    text = _read(f"{name}.js")
    for _, other in _IMPORT.findall(text):
        _add(other, texts, (*above, name))
    names: list[str] = _EXPORTED.findall(text)
    for listed in _LISTED.findall(text):
        names += listed.split(", ")
    text = _LISTED.sub("", _EXPORTED.sub("", text))
    text = _IMPORT.sub(r"const { \1 } = page_\2;", text)
    if left := _LEFT.search(text):
        raise ValueError(f"page: {name}.js must import and export names, but got {left[0][:60]}")
    body = f'"use strict";\n{text}\nreturn {{ {", ".join(names)} }};'
    texts[name] = f"const page_{name} = (() => {{\n{body}\n}})();"
