"""The method `dashboard` of all tuners."""

from __future__ import annotations

from typing import Any

from afina.dashboard import Dashboard, start_dashboard


def dashboard_of(
    self: Any,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    allow_actions: bool = False,
    token: str | None = None,
) -> Dashboard:
    """Shows the search as a live page, from a thread of this process.

    Call it before `search` to watch the search, or afterwards to look at it. Searches of other
    processes are shown by the command `afina dashboard`.

    Args:
        host: The address to listen on. Any other than this machine's own demands the token.
        port: The port; None for 8642, or the next one that is free.
        allow_actions: Whether those who open the address with its token may act on the search.
        token: The token; None draws one where it is needed.

    Returns:
        The dashboard: `url` says where to open it, `stop()` ends it.

    Raises:
        ArgumentError: Starlette, uvicorn or Jinja2 is not installed; or the address cannot be used.
    """
    state = self.oracle.search_state
    state.begin()
    return start_dashboard(
        state.store,
        name=self.project_name,
        host=host,
        port=port,
        allow_actions=allow_actions,
        token=token,
        background=True,
    )
