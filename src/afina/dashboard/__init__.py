"""The dashboard: the page of `afina.page`, served while other processes run the search.

    `Watch` (afina.page) ──JSON──> app.py ──> a browser
    page ──POST──> guard.py ──> actions.py ──> `study.requests` ──> the search

`searches.py` finds the searches in a folder. `guard.py` decides who may read and who may act.
`serve.py` starts the server. Nothing here is needed for a search.
"""

from __future__ import annotations

from afina.dashboard.serve import Dashboard, start_dashboard

__all__ = ["Dashboard", "start_dashboard"]
