"""The page about a search: what it shows, and how it is drawn. It has two homes.

    store ──news──> Watch ──rows.py, pace.py──> JSON ──> browser/, drawn in a browser
                      │                           ▲
                      ├── curves.py, detail.py ───┤  curves, and one trial
                      └── lessons.py ─────────────┘  importance and advice

`afina.dashboard` serves the page while a search runs. `afina.report` writes it into one file, with
its data inside. The page needs no network: its shell, scripts, styles and the charting library
uPlot are in `browser/`.
"""

from __future__ import annotations

from pathlib import Path

BROWSER = Path(__file__).parent / "browser"
"""The folder of the page's shell, scripts and styles."""
