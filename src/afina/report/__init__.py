"""The self-contained HTML report of a search, and its drawings."""

from __future__ import annotations

from afina.report.facts import Facts, Point, facts_of, read_facts
from afina.report.page import render, write_report
from afina.report.pictures import draw

__all__ = ["Facts", "Point", "draw", "facts_of", "read_facts", "render", "write_report"]
