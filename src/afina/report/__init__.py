"""The report of a search: facts, drawn as a self-contained HTML page, pictures or records.

    project folder ──read_facts──> Facts ──┬──> page.py      one HTML file: text (words.py), tables
                                           │                 and figures (figures.py, slices.py)
                                           ├──> pictures.py  single figures as files, by Matplotlib
                                           └──> records.py   all trials as JSON or CSV

`canvas.py` and `style.py` hold what all figures share, `look.py` the page's CSS and script, and
`reproduce.py` the code that builds the best model again. A figure is a function from `Facts`.
"""

from __future__ import annotations

from afina.report.facts import Facts, Point, facts_of, read_facts
from afina.report.page import render, write_report
from afina.report.pictures import draw

__all__ = ["Facts", "Point", "draw", "facts_of", "read_facts", "render", "write_report"]
