"""The loop that joins search, store and run: budget, retries, replay."""

from afina.study.budget import Budget
from afina.study.curves import Curves
from afina.study.discovery import discover
from afina.study.ledger import Ledger
from afina.study.retries import ENDED_AS
from afina.study.seeds import choose_seed
from afina.study.study import Study, default_algorithm
from afina.trials.pareto import front_of

__all__ = [
    "ENDED_AS",
    "Budget",
    "Curves",
    "Ledger",
    "Study",
    "choose_seed",
    "default_algorithm",
    "discover",
    "front_of",
]
