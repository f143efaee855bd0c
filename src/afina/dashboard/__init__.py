"""The dashboard: a page that shows a search while other processes run it.

    store ──news──> Watch ──rows.py, pace.py──> JSON ──app.py──> page/, drawn in a browser
                      │                           ▲
                      ├── curves.py, detail.py ───┤  on demand: curves, and one trial
                      └── lessons.py ─────────────┘  importance and advice
    page ──POST──> guard.py ──> actions.py ──> `study.requests` ──> the search

`searches.py` finds the searches in a folder. `guard.py` decides who may read and who may act.
`serve.py` starts the server. The page needs no network: its scripts, styles and the charting
library uPlot are in `page/`. Nothing here is needed for a search.
"""

from __future__ import annotations

from afina.dashboard.serve import Dashboard, start_dashboard

__all__ = ["Dashboard", "start_dashboard"]
