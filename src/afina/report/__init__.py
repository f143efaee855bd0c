"""The report of a search: facts, drawn as a self-contained HTML page, pictures or records.

    project folder ──> Watch ──snapshot.py──> page.py   the page of `afina.page`, data inside
    project folder ──read_facts──> Facts ──┬──> about.py     its sentences (words.py) and tables
                                           ├──> pictures.py  single figures as files, by Matplotlib
                                           └──> figures.py, slices.py and others: figures by Plotly

`canvas.py` and `style.py` hold what all figures share, and `reproduce.py` the code that builds the
best model again. A figure is a function from `Facts`; `afina.visualization` gives them to users.
"""

from __future__ import annotations

from afina.report.facts import Facts, Point, facts_of, read_facts
from afina.report.page import render, write_report
from afina.report.pictures import draw

__all__ = ["Facts", "Point", "draw", "facts_of", "read_facts", "render", "write_report"]
