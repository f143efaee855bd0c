"""How to choose what to try next: pure algorithms, one file each."""

from afina.search.base import Algorithm, Done, Situation, Suggestion, Wait

__all__ = ["Algorithm", "Done", "Situation", "Suggestion", "Wait"]
