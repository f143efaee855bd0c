"""What oracles that people write for Keras Tuner find here: its lock, its hashes, its own state.

Afina's own oracles need none of this; `Oracle` offers it to subclasses.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import hashlib
import inspect
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from afina.space import HyperParameters
from afina.store import TrialStore
from afina.store.codec import row_to_trial, to_json, trial_to_row
from afina.study import SearchState
from afina.tuners.trial import Trial, TrialStatus

Method = TypeVar("Method", bound=Callable[..., Any])

STATE, SEEDS = "oracle_state", "oracle_seeds"
"""Notes of the project: what a subclass adds to `get_state`, and the seeds that it counts up."""


def synchronized(method: Method) -> Method:
    """Lets one thread at a time into the decorated methods of one oracle; they may nest.

    An `end_trial(self, trial)` may also be called with an id and a status, as in Keras Tuner's
    first versions: it gets the trial.
    """
    takes_id = method.__name__ != "end_trial" or "status" in inspect.signature(method).parameters

    @functools.wraps(method)
    def locked(self: Any, *args: Any, **kwargs: Any) -> Any:
        lock = self.__dict__.setdefault("_lock", threading.RLock())
        with lock:
            if not takes_id:
                args, kwargs = (named_trial(self, *args, **kwargs),), {}
            return method(self, *args, **kwargs)

    return locked  # type: ignore[return-value]


def named_trial(
    oracle: Any,
    trial: Trial | str | None = None,
    status: str | None = None,
    *,
    trial_id: str | None = None,
) -> Trial:
    """The trial that `end_trial` ends, also where it gets an id and a status in place of it.

    Args:
        oracle: Has the trial.
        trial: The trial, or its id.
        status: With an id: the status that the trial gets; None for COMPLETED.
        trial_id: The id, as Keras Tuner's old form names it.
    """
    if trial is not None and not isinstance(trial, str):
        return trial
    named: Trial = oracle.trials[str(trial_id if trial is None else trial)]
    named.status = status or TrialStatus.COMPLETED
    return named


class TriedHashes:
    """The hashes of the values that trials have, and those that an oracle adds itself.

    Args:
        trials: Those that there are already.
    """

    def __init__(self, trials: Iterable[Trial] = ()) -> None:
        self.hashes: set[str] = set()
        self._of: dict[str, str] = {}
        for trial in trials:
            self.record(trial)

    def record(self, trial: Trial) -> None:
        """Adds the hash of the trial's values, in place of its former one."""
        new = values_hash(trial.hyperparameters.values)
        old = self._of.get(trial.trial_id)
        if old is not None and old != new:
            self.hashes.discard(old)
        self._of[trial.trial_id] = new
        self.hashes.add(new)


class OracleDisplay:
    """An oracle's `_display`, for code that reads or calls that of Keras Tuner; it prints nothing.

    What Afina prints comes from a tuner's display, in `afina.progress`.

    Attributes:
        trial_start: When each trial was begun by this oracle, by its id.
        search_start: When the first of them was; None before.
        trial_number: Which place in their order each has, from 1, by its id.
    """

    def __init__(self) -> None:
        self.verbose = 0
        self.trial_start: dict[str, datetime.datetime] = {}
        self.search_start: datetime.datetime | None = None
        self.trial_number: dict[str, int] = {}

    def on_trial_begin(self, trial: Trial) -> None:
        """Keeps the time."""
        now = datetime.datetime.now()
        self.search_start = self.search_start or now
        self.trial_start[trial.trial_id] = now
        self.trial_number.setdefault(trial.trial_id, len(self.trial_number) + 1)

    def on_trial_end(self, trial: Trial) -> None:
        """Does nothing."""

    def get_state(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Does nothing."""


def warn_renamed(old: str, new: str) -> None:
    """Warns the caller of an oracle's method that it is called otherwise now."""
    warnings.warn(f"{old} is deprecated: call {new}.", DeprecationWarning, stacklevel=3)


def values_hash(values: Mapping[str, Any]) -> str:
    """32 hexadecimal digits that equal values share."""
    pairs = sorted((str(name), str(value)) for name, value in values.items())
    return hashlib.sha256(repr(pairs).encode()).hexdigest()[:32]


def made_folder(*parts: str | Path) -> str:
    """A folder's path; the folder is made if it is not there."""
    folder = Path(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)


def whole_state(oracle: Any) -> dict[str, Any]:
    """The search of an oracle, as JSON values."""
    return {
        "hyperparameters": oracle.hyperparameters.get_config(),
        "start_order": oracle.start_order,
        "end_order": oracle.end_order,
        "ongoing_trials": {who: trial.trial_id for who, trial in oracle.ongoing_trials.items()},
        "trials": [trial_to_row(trial) for trial in oracle.search_state.trials.values()],
    }


def restore_state(oracle: Any, state: Mapping[str, Any]) -> None:
    """Puts what `whole_state` and the oracle's seeds say into an oracle that has no trials."""
    oracle.seed = state["seed"]
    oracle.hyperparameters = HyperParameters.from_config(state["hyperparameters"])
    oracle.open()
    if oracle.trials:
        return
    oracle.search_state.begin()
    for row in state["trials"]:
        oracle.search_state.store.put(row_to_trial(row))
    oracle.open(oracle.search_state.store)


class Picture(dict[str, Any]):
    """The state that `Oracle.get_state` returns while the search saves: made when it is read.

    The search keeps its trials itself, so only what a subclass adds must be written. Writing all
    trials again after each of them would take time that grows with their square.

    Args:
        whole: Makes the state without a subclass's additions.
    """

    def __init__(self, whole: Callable[[], dict[str, Any]]) -> None:
        super().__init__()
        self._whole = whole

    def __missing__(self, key: str) -> Any:
        return self._whole()[key]


class OwnState:
    """Keeps a subclass's seeds and its additions to the state with the project.

    Args:
        seeds: Those that follow from the project's own seed, and so need not be written.
    """

    def __init__(self, seeds: Mapping[str, Any] | None = None) -> None:
        self.moving = False
        """Whether the search itself is calling `get_state` or `set_state`."""
        self._written = {} if seeds is None else {SEEDS: to_json(seeds, SEEDS)}

    @contextlib.contextmanager
    def move(self) -> Iterator[None]:
        """Inside, the search itself calls `get_state` or `set_state`."""
        self.moving = True
        try:
            yield
        finally:
            self.moving = False

    def read(self, store: TrialStore) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """The seeds and the additions in a project; None for what is not new to this oracle."""
        new: dict[str, Any] = {}
        for note in (SEEDS, STATE):
            part = store.note(note)
            if part is not None and (text := to_json(part, note)) != self._written.get(note):
                new[note], self._written[note] = part, text
        return new.get(SEEDS), new.get(STATE)

    def keep(
        self, state: SearchState, seeds: Mapping[str, Any], added: Mapping[str, Any] | None
    ) -> None:
        """Writes what has changed.

        Args:
            state: The search, whose store keeps it.
            seeds: Numbers by name.
            added: What the subclass adds to the state, as JSON values; None for nothing.
        """
        parts = {SEEDS: seeds} if added is None else {SEEDS: seeds, STATE: added}
        texts = {note: to_json(part, note) for note, part in parts.items()}
        for note, part in parts.items():
            if texts[note] != self._written.get(note):
                state.begin()
                state.store.set_note(note, part)
        self._written = texts
