"""Several workers do what they like, in any order: a folder shows what a store in memory shows."""

import os
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from afina.search import Random
from afina.space import HyperParameters
from afina.store import MemoryStore, SqliteStore
from afina.study.state import SearchState
from afina.trials import Failure, FailureKind, Objective, Status, Trial
from afina.trials.trial import RAN

pytestmark = pytest.mark.service

WORKERS = 3
MOST = 8
EXAMPLES = int(os.environ.get("AFINA_FAULTS_EXAMPLES", "8"))
which = st.integers(0, WORKERS - 1)


def search(store: Any) -> SearchState:
    hp = HyperParameters()
    hp.Float("x", 0.0, 1.0)
    return SearchState(
        algorithm=Random(seed=0),
        objective=Objective("loss", "min"),
        hp=hp,
        store=store,
        seed=0,
        max_trials=MOST,
        max_consecutive_failed=100,
    )


class Workers(RuleBasedStateMachine):
    """Each step is done by a worker on the folder, and by its double on the store in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.first = MemoryStore()
        self.pairs = [self.joined(number) for number in range(WORKERS)]
        self.held: list[dict[int, tuple[Trial, Trial]]] = [{} for _ in range(WORKERS)]
        self.ended: dict[int, float | None] = {}

    def joined(self, number: int) -> tuple[SearchState, SearchState]:
        store = SqliteStore(self.folder / "p", worker=f"w{number}-")
        return search(store), search(MemoryStore(beside=self.first))

    @rule(who=which)
    def ask(self, who: int) -> None:
        answers = [state.next() for state in self.pairs[who]]
        assert type(answers[0]) is type(answers[1])
        if isinstance(answers[0], Trial):
            real, double = answers
            assert plain(real) == plain(double)
            assert real.number not in self.ended, "a finished trial was begun again"
            assert not any(real.number in held for held in self.held), "two workers have it"
            self.held[who][real.number] = real, double

    @rule(who=which, step=st.integers(0, 3))
    def report(self, who: int, step: int) -> None:
        for pair in list(self.held[who].values())[:1]:
            for state, trial in zip(self.pairs[who], pair, strict=True):
                state.report(trial, {"loss": 1.0 + step}, step)

    @rule(who=which, score=st.floats(0.0, 1.0))
    def tell(self, who: int, score: float) -> None:
        for number in list(self.held[who])[:1]:
            for state, trial in zip(self.pairs[who], self.held[who].pop(number), strict=True):
                state.complete(trial, {"loss": score})
            self.ended[number] = score

    @rule(who=which)
    def fail(self, who: int) -> None:
        for number in list(self.held[who])[-1:]:
            for state, trial in zip(self.pairs[who], self.held[who].pop(number), strict=True):
                state.fail(trial, Failure(FailureKind.ERROR, "because"))
            self.ended[number] = None

    @rule(who=which)
    def leave_and_join_again(self, who: int) -> None:
        for state in self.pairs[who]:
            state.close()
        self.held[who].clear()
        self.pairs[who] = self.joined(who)

    @invariant()
    def both_show_the_same(self) -> None:
        real = SqliteStore(self.folder / "p").trials()
        assert [plain(trial) for trial in real] == [plain(trial) for trial in self.first.trials()]
        assert {trial.number for trial in real if trial.status.finished} == set(self.ended)
        for trial in real:
            if trial.status is Status.COMPLETED:
                assert trial.score == self.ended[trial.number]
        places = sorted(trial.ended for trial in real if trial.ended is not None)
        assert places == list(range(len(self.ended)))

    def teardown(self) -> None:
        for pair in self.pairs:
            for state in pair:
                state.close()
        shutil.rmtree(self.folder)


def plain(trial: Trial) -> tuple[object, ...]:
    """All but when it ran and how long it took: the two stores read the clock one after another."""
    return (
        trial.number,
        trial.values,
        trial.status,
        trial.score,
        trial.ended,
        trial.attempt,
        trial.known,
        {key: text for key, text in trial.notes.items() if key != RAN},
    )


def test_workers_in_any_order_do_what_a_store_in_memory_does() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run_state_machine_as_test(
            Workers, settings=settings(max_examples=EXAMPLES, stateful_step_count=25, deadline=None)
        )
