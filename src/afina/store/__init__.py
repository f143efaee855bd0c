"""Where trials are kept."""

from afina.store.base import Header, TrialStore

__all__ = ["Header", "TrialStore"]
