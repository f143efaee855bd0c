"""Several trials in one turn: `Study.optimize` where many workers wait and trials are cheap.

    ahead ──▶ run, one after the other ──▶ ended ──▶ one turn: ends these, begins as many ──▶ ahead

Workers have their turns one after the other. Where a turn takes longer than a trial, a worker that
ends one trial and begins one in each turn does nothing but wait. So it begins several at once. This
is chunked self-scheduling with a share that shrinks towards the end, as in Polychronopoulos and
Kuck, "Guided self-scheduling", IEEE Transactions on Computers C-36 (1987).

What a chunk keeps to:

- The trials are those of any other number of workers: the algorithm is `order_independent`.
- The results that wait to be written are those of `LONGEST` seconds of training at most. A worker
  that is killed loses no more, and other workers run its trials again.
- A trial that takes longer than expected keeps nobody waiting: a thread writes the results before
  it, and gives the trials behind it back.
- Limits are exact: a turn begins no more trials than may begin, and only one where little time is
  left. After `Study.stop` the function is not called again, and the trials ahead are given back.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType

from afina.errors import AfinaError, LostLeaseError, SearchFailedError, StoreError
from afina.study.given import completed
from afina.study.retries import kept_notes
from afina.study.state import SearchState
from afina.study.stopping import Part
from afina.trials import Status, Trial

LONGEST = 0.02
"""Seconds of training between two turns."""

MOST, GROWTH = 16, 4
"""Trials in a chunk, and by how much a chunk may be larger than the one before."""

SHORT = 0.002
"""Seconds of training that nobody waits for at the end of a search: less than a turn takes."""

NEAR = 1.0
"""Seconds before the end of a time limit from which on a turn begins one trial only."""

PAUSE = 0.1
"""Seconds between two looks at a trial that may take longer than expected."""


@dataclass
class _Turn:
    """What one turn has written."""

    ended: list[Trial] = field(default_factory=list)
    begun: list[Trial] = field(default_factory=list)
    back: list[Trial] = field(default_factory=list)
    """Those that were given back."""
    error: Exception | None = None
    """Why no more have begun: the algorithm's error, which does not undo the rest."""


class TrialChunk:
    """The trials that one call of `optimize` has begun together, and their results.

    As a context manager it writes and gives back at the end what is left.

    Args:
        search: The search.
        part: The call.
        stopped: Whether the user has asked the call to stop.
        follows: Whether nothing of the user's comes between the end of a trial and the start of
            the next one.
    """

    def __init__(
        self, search: SearchState, part: Part, stopped: Callable[[], bool], *, follows: bool
    ) -> None:
        self._search = search
        self._part = part
        self._stopped = stopped
        self.follows = follows
        independent = search.algorithm.order_independent and not search.defined_by_run
        # An epoch counts only once its trial has ended.
        self._allowed = follows and independent and search.stop_rules.budget.epochs is None
        self.ahead: list[Trial] = []
        """Trials that have begun in the store and are run next."""
        self._ended: list[Trial] = []  # with their results, not written yet
        self._size = 1
        self._mean = math.inf  # seconds of a trial
        self._began = self._first = math.inf  # of the running trial, and of the first unwritten one
        self._trained = 0.0  # seconds since the last turn
        self._watch: threading.Thread | None = None
        self._over = threading.Event()
        self._trouble: AfinaError | None = None  # of the thread

    # -- running ------------------------------------------------------------------------------

    def next(self) -> Trial | None:
        """The next trial of the chunk; None if there is none, or no more may begin."""
        with self._search._lock:
            if self._trouble is not None:
                raise self._trouble
            if self.ahead and self._is_over():
                self._take_turn(0, back=True)
            self._began = time.monotonic()
            if not self.ahead:
                return None
            trial = self.ahead.pop(0)
            self._search._known.start_clock(trial.number)
            return trial

    def _is_over(self) -> bool:
        return self._stopped() or self._part.seconds_left() <= 0

    def takes(self, trial: Trial) -> bool:
        """Whether a trial that has run without an error may be ended together with others."""
        return self._allowed and self._search._share.crowded and _is_plain(trial)

    def add(self, trial: Trial, step: int | None, metrics: Mapping[str, float]) -> Trial | None:
        """Ends a trial, at once where that is due, else with those that follow.

        Args:
            trial: As it was handed out.
            step: The epoch of the score.
            metrics: At that epoch.

        Returns:
            None; the trial as it stands now where its score is not finite.
        """
        search = self._search
        with search._lock:
            score = search.objective.get_value(metrics)
            if not math.isfinite(score):
                self.write()
                return search.complete(trial, metrics, best_step=step)
            now = search._resolved(trial, None)
            notes = {**kept_notes(now), **search._known.ran(now)}
            ended = replace(now, best_step=step, notes=notes)
            if not self._ended:
                self._first = self._began
            self._ended.append(completed(ended, search.objective, score, metrics))
            self._began = math.inf
            self._trained += now.seconds
            if not self.ahead or time.monotonic() - self._first >= LONGEST:
                self._take_turn(self._wanted())
            return None

    # -- turns --------------------------------------------------------------------------------

    def write(self) -> None:
        """Writes the results that wait, before a trial that ends by itself."""
        self._began = math.inf
        if self._ended:
            with self._search._lock:
                self._take_turn(0)

    def _wanted(self) -> int:
        """How many trials the next turn begins."""
        search, part = self._search, self._part
        if self._is_over() or search.stop_rules.is_stopped():
            return 0
        if min(part.seconds_left(), search.stop_rules.seconds_left()) < NEAR:
            return 1 - len(self.ahead)
        most = math.inf if search.max_trials is None else search.max_trials
        # Half of an even share of what is left, so that nobody is the last one to have work.
        share = (most - search._known.by_plan) / (2 * search._share.workers)
        share = max(share, SHORT / self._mean, 1)
        return int(min(self._size - len(self.ahead), share, part.left()))

    def _take_turn(self, wanted: int, *, back: bool = False) -> None:
        """One turn: writes all results, and begins new trials or gives those ahead back."""
        search, known = self._search, self._search._known
        ended, ahead = list(self._ended), list(self.ahead) if back else []
        seen, since = len(known.ended), time.monotonic()

        def step() -> _Turn:
            done = _Turn()
            for trial in ended:
                if trial.number not in known.taken:
                    done.ended.append(search._write_end(trial, behind=len(done.ended)))
            for trial in ahead:
                if trial.number not in known.taken:
                    done.back.append(replace(trial, status=Status.WAITING))
                    search.store.put(done.back[-1])
            try:
                self._begin(wanted, done.begun)
            except Exception as error:
                if isinstance(error, StoreError):
                    raise
                done.error = error
            return done

        try:
            with search._share.forgets_if_interrupted():
                done = search._share.turn(step, search._catch_up)
                self._ended, self.ahead = [], [] if back else self.ahead
                self._take_in(done, [*ended, *ahead])
        except LostLeaseError:
            self._each_by_itself()
            return
        self._resize(time.monotonic() - since, len(ended))
        if done.error is not None:
            raise done.error
        if any(search.trials[number].failure for number in known.ended[seen:]):
            search.check_failures()

    def _take_in(self, done: _Turn, before: Sequence[Trial]) -> None:
        """Remembers what a turn has written; the trials that it left out belong to others now."""
        search, part = self._search, self._part
        for trial in done.ended:
            search._curves.forget(trial)
            search._learn(trial)
        for trial in reversed(done.back):  # the last one put back is the first one to be taken
            search._known.put_back(trial)
        for trial in done.begun:
            search._known.take_on(trial)
        self.ahead += done.begun
        part.begun += len(done.begun) - len(done.back)
        written = {trial.number for trial in (*done.ended, *done.back)}
        for trial in before:
            if trial.number not in written:
                search._drop(trial)

    def _each_by_itself(self) -> None:
        """Ends and gives back each trial in a turn of its own: one is another worker's by now."""
        search = self._search
        while self._ended:
            if search._keep(self._ended[0]) is None:
                search._drop(self._ended[0])
            del self._ended[0]  # not before: after an error here, what is left is tried again
        while self.ahead:
            search._put_back(self.ahead[0])
            del self.ahead[0]
            self._part.begun -= 1

    def _begin(self, wanted: int, begun: list[Trial]) -> None:
        """Begins up to so many trials, in a turn; more than one only of new ones."""
        search = self._search
        if wanted < 1:
            return
        answer = search._propose()
        while isinstance(answer, Trial):
            begun.append(answer)
            if len(begun) >= wanted or not _is_plain(answer) or search._known.some_wait:
                return
            answer = search._propose_new(begun)

    def _resize(self, waited: float, count: int) -> None:
        """Enlarges the chunk where a turn takes longer than its trials, and halves it if far less.

        Args:
            waited: Seconds that the turn took.
            count: How many trials it has ended.
        """
        if not count:
            return
        if waited > self._trained:
            self._size *= GROWTH
        elif 2 * waited < self._trained:
            self._size //= 2
        self._mean = max(self._trained / count, 1e-6)
        self._size = max(1, min(self._size, MOST, int(LONGEST / self._mean)))
        self._trained = 0.0
        if self.ahead and self._watch is None:
            watch = threading.Thread(target=self._look, daemon=True, name="afina-chunk")
            watch.start()  # Ctrl-C may come within
            self._watch = watch

    # -- trials that take longer, and the end -----------------------------------------------------

    def _look(self) -> None:
        """Lets go of what waits for a trial that takes long, in a thread."""
        while not self._over.wait(PAUSE):
            with self._search._lock:
                late = time.monotonic() - self._began >= PAUSE and not self._over.is_set()
                if late and (self._ended or self.ahead):
                    try:
                        self._take_turn(0, back=True)
                    except StoreError:
                        pass  # the next turn meets it too
                    except AfinaError as error:
                        self._trouble = error

    def __enter__(self) -> TrialChunk:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        # What ends the search is what its caller must see.
        hidden = (StoreError, SearchFailedError) if error else ()
        with self._search._lock, contextlib.suppress(*hidden):
            if self._ended or self.ahead:
                self._take_turn(0, back=True)
        if self._watch is not None:
            self._watch.join()


def _is_plain(trial: Trial) -> bool:
    """Whether a trial is a new one that the algorithm has chosen, without a plan of epochs."""
    return trial.attempt == 0 and trial.schedule is None and not trial.notes
