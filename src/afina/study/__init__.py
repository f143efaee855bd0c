"""The loop that joins search, store and run: budget, retries, replay."""

from afina.study.seeds import choose_seed
from afina.study.study import Study

__all__ = ["Study", "choose_seed"]
