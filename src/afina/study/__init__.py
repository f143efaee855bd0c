"""The search loop: joins algorithm, store and trials; budget, retries, stopping, resuming.

    ask for a trial                                 end it
          │                                            │
          ▼                                            ▼
    SearchState.next ─▶ StopRules: any limit?     SearchState.complete, fail
          │                                            │  retries: run it again?
          ▼                                            ▼
    Algorithm.ask(state, situation)               store.finish: one transaction
          │                                            │
          ▼                                            ▼
    store.put ─▶ Trial, to whoever trains it      Algorithm.tell, StopRules.learn

`Study` is a `SearchState` for people who run their own loop; a tuner's oracle has one inside. A
state that opens a store with trials observes them again (`resume` checks that they fit), so there
is nothing else to save. `queue` keeps the configurations that people ask for. `retries` decides
whether a trial that failed, or whose process died, is run again; `discovery` finds the search space
that a builder draws from. `sharing` and `chunks` are about several processes that share a search,
`interrupted` about a trial in which the whole loop came to its end.
"""

from afina.study.curves import Curves
from afina.study.discovery import discover
from afina.study.known import is_queued
from afina.study.listeners import SearchInfo, SearchListener
from afina.study.planned import planned
from afina.study.resume import BegunElsewhereError, choose_seed
from afina.study.retries import ENDED_AS
from afina.study.state import SearchState
from afina.study.stopping import Budget
from afina.study.study import Study, default_algorithm
from afina.trials.pareto import front_of

__all__ = [
    "ENDED_AS",
    "BegunElsewhereError",
    "Budget",
    "Curves",
    "SearchInfo",
    "SearchListener",
    "SearchState",
    "Study",
    "choose_seed",
    "default_algorithm",
    "discover",
    "front_of",
    "is_queued",
    "planned",
]
