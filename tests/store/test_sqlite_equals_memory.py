"""Whatever is done in whatever order, the SQLite store and the store in memory tell the same."""

import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from afina.errors import StoreError
from afina.store import Header, MemoryStore, SqliteStore, TrialStore
from afina.trials import Failure, FailureKind, Report, Schedule, Status, Trial

small = st.integers(0, 3)
names = st.text(max_size=4) | st.just("$float")  # which the codec itself uses
numbers = st.floats() | st.integers()
values = st.dictionaries(names, numbers | st.text() | st.booleans() | st.none(), max_size=3)
json_values = st.recursive(
    numbers | st.text() | st.booleans() | st.none(),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(names, part, max_size=3),
    max_leaves=6,
)
configs = st.dictionaries(names, json_values, max_size=2)
metrics = st.dictionaries(names, st.floats(), max_size=3)
scores = st.none() | st.floats(allow_nan=False)
schedules = st.builds(
    Schedule,
    bracket=small,
    rung=small,
    start_epoch=small,
    end_epoch=small,
    parent=st.none() | small,
    iteration=small,
)
trials = st.builds(
    Trial,
    number=small,
    values=values,
    status=st.sampled_from(Status),
    schedule=st.none() | schedules,
    ranges=st.lists(configs, max_size=2).map(tuple),
    known=small,
    attempt=small,
    score=scores,
    loss=scores,
    best_step=st.none() | small,
    metrics=metrics,
    failure=st.none() | st.builds(Failure, st.sampled_from(FailureKind), st.text()),
    ended=st.none() | small,
    seconds=st.floats(0, 1e9),
    notes=st.dictionaries(names, st.text(), max_size=2),
)
reports = st.builds(
    Report, trial=small, step=small, execution=small, attempt=small, metrics=metrics
)
headers = st.builds(
    Header,
    algorithm=names,
    settings=configs,
    objective=configs | st.lists(configs, max_size=2),
    seed=small,
    space=configs,
)


# In memory where there is such a place: this is about what stores tell, not about slow disks.
MEMORY_DISK = Path("/dev/shm")


class TwoStores(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(
            dir=MEMORY_DISK if os.access(MEMORY_DISK, os.W_OK) else None
        )
        self.memory: TrialStore = MemoryStore()
        self.sqlite: TrialStore = self.open()

    def open(self) -> TrialStore:
        return SqliteStore(Path(self.folder.name, "project"), report_delay=math.inf)

    def both(self, do: Callable[[TrialStore], Any]) -> None:
        outcomes = []
        for store in (self.memory, self.sqlite):
            try:
                outcomes.append(do(store))
            except StoreError as error:
                outcomes.append(str(error))
        assert outcomes[0] == outcomes[1]

    @rule(header=headers)
    def begin(self, header: Header) -> None:
        self.both(lambda store: store.begin(header))

    @rule(header=headers)
    def set_header(self, header: Header) -> None:
        self.both(lambda store: store.set_header(header))

    @rule(config=configs)
    def set_space(self, config: dict[str, Any]) -> None:
        self.both(lambda store: store.set_space(config))

    @rule(trial=trials)
    def put(self, trial: Trial) -> None:
        self.both(lambda store: store.put(trial))

    @rule(trial=trials, space=st.none() | configs)
    def finish(self, trial: Trial, space: dict[str, Any] | None) -> None:
        self.both(lambda store: store.finish(trial, space))

    @rule(report=reports)
    def report(self, report: Report) -> None:
        self.both(lambda store: store.report(report))

    @rule(key=st.sampled_from(["a", "b"]), value=json_values)
    def set_note(self, key: str, value: Any) -> None:
        self.both(lambda store: store.set_note(key, value))

    @rule()
    def close_and_go_on(self) -> None:
        self.sqlite.close()

    @rule()
    def close_and_open_anew(self) -> None:
        self.sqlite.close()
        self.sqlite = self.open()

    @rule(key=st.sampled_from(["a", "b"]))
    def take_over(self, key: str) -> None:
        self.sqlite, first = self.open(), self.sqlite
        self.set_note(key, 1)
        del first

    @invariant()
    def tell_the_same(self) -> None:
        for look in (
            lambda store: store.header(),
            lambda store: store.space(),
            lambda store: store.trials(),
            lambda store: [store.history(number) for number in range(4)],
            lambda store: [store.note("a"), store.note("b")],
        ):
            # repr tells 1 from 1.0 and True, and finds NaN equal to itself.
            assert repr(look(self.memory)) == repr(look(self.sqlite))

    def teardown(self) -> None:
        self.sqlite.close()
        self.folder.cleanup()


TestTwoStores = TwoStores.TestCase
TestTwoStores.settings = settings(max_examples=20, stateful_step_count=15, derandomize=True)
