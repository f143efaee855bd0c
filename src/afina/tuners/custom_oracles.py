"""What oracles that people write for Keras Tuner find here: its lock, its hashes, its own state.

Afina's own oracles need none of this; `Oracle` offers it to subclasses.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from afina.store import TrialStore
from afina.store.codec import to_json, trial_to_row
from afina.study import SearchState
from afina.tuners.trial import Trial

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
                args, kwargs = _with_trial(self, *args, **kwargs)
            return method(self, *args, **kwargs)

    return locked  # type: ignore[return-value]


def _with_trial(
    oracle: Any, trial: Any = None, status: str = "COMPLETED", *, trial_id: str | None = None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if trial is None or isinstance(trial, str):
        trial = oracle.trials[trial_id if trial is None else trial]
        trial.status = status
    return (trial,), {}


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
        """The seeds and the additions in a project; None for what `keep` has not written."""
        return store.note(SEEDS), store.note(STATE)

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
