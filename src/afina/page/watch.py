"""Follows a search that other processes run: reads what is new, and keeps it as rows.

A change of a trial raises the store's revision, so `news` brings only what changed. Reports of
epochs do not: they are read for the trials that run, each time.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from afina.errors import StoreError
from afina.page.curves import line_of, series_of, thinned
from afina.page.pace import counts_of, seconds_left, total_of
from afina.page.rows import objective_of, parts_of, row_of, search_of
from afina.store import Changes, Header, SharedStore, TrialStore
from afina.store.reported import epochs_reported
from afina.study import is_queued
from afina.study.by_hand import is_boosted
from afina.study.requests import plan_of, waiting_in
from afina.trials import MultiObjective, Objective, Status, Trial
from afina.trials.pareto import front_of

PAUSE = 0.7
"""Seconds between two looks at the store, however many pages are open."""

LIVE_POINTS = 120
"""Points of the curve of a trial that runs."""

MOST_LIVE = 40
"""Trials that run of which the curves are followed: those that began last."""

MOST_KEPT = 2000
"""Curves of finished trials that are kept in memory."""

REMARKS = "remarks"
"""The note of the store that keeps people's remarks on trials, by number."""


class Watch:
    """One search, as it is now. Many threads may use it.

    Args:
        store: Of the search.
        name: What to call it.
        own: Whether the store is this watch's own, and not that of a search in this process.
    """

    def __init__(self, store: TrialStore, name: str, *, own: bool = False) -> None:
        self.store = store
        self._own = own
        self.name = name
        self.lock = threading.RLock()
        self.version = 0
        """Counts what has changed since this watch began."""
        self._looked = float("-inf")
        self._whole: tuple[Any, bytes] | None = None
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.generation = secrets.token_hex(6)
        """Another one, where the search was begun anew in the same place."""
        self.header: Header | None = None
        self.objective: Objective | None = None
        self.search: dict[str, Any] = {}
        self.trials: dict[int, Trial] = {}
        self.children: dict[int, list[int]] = {}
        """The trials that continue another one, by its number."""
        self.epochs: dict[int, int] = {}
        self.live: dict[str, Any] = {}
        self.trouble: str | None = None
        """Why the store cannot be read now; None while it can."""
        self._revision: int | None = None
        self.config: Mapping[str, Any] = {}
        """Of the space, as known now."""
        self._stamps: dict[int, int] = {}
        self._shaped = 0  # the version at which the columns last changed
        self._live_stamp = 0
        self._kept: dict[tuple[int, str], list[tuple[int, float]]] = {}

    @property
    def names(self) -> list[str]:
        """The hyperparameters, in the order of the rows' last columns."""
        return [each["name"] for each in self.search.get("hyperparameters", ())]

    def leave(self) -> None:
        """Gives back the right to write a folder, so that a search elsewhere may have it alone."""
        if self._own and hasattr(self.store, "folder"):
            self.store.close()

    # -- reading ------------------------------------------------------------------------------

    def refresh(self, *, at_once: bool = False) -> None:
        """Takes in what is new.

        Args:
            at_once: Even if somebody looked a moment ago.
        """
        with self.lock:
            now = time.monotonic()
            if not at_once and now - self._looked < PAUSE:
                return
            try:
                self._look()
                trouble = None
            except StoreError as error:
                trouble = str(error)
            self._looked = time.monotonic()
            if trouble != self.trouble:
                self.trouble = trouble
                self._live_stamp = self._next()

    def _next(self) -> int:
        self.version += 1
        return self.version

    def _look(self) -> None:
        header = self.store.header()
        if header is None:
            if self.header is not None:
                self._begin_anew()
                self._shaped = self._next()
            return
        changes = self._changes()
        if self.header is not None and self._is_another(header, changes):
            self._begin_anew()
            changes = self._changes()
        self._revision = changes.revision
        self._take_shape(header, changes.space)
        self._take_trials(changes.trials)
        self._take_live()

    def _changes(self) -> Changes:
        if isinstance(self.store, SharedStore):
            return self.store.news(self._revision)
        trials = self.store.trials()  # a store for one worker: compare
        new = [trial for trial in trials if self.trials.get(trial.number) != trial]
        return Changes(revision=0, trials=new, space=self.store.space())

    def _is_another(self, header: Header, changes: Changes) -> bool:
        """Whether the search was deleted and begun anew since the last look."""
        assert self.header is not None
        if (header.seed, header.algorithm) != (self.header.seed, self.header.algorithm):
            return True
        return self._revision is not None and changes.revision < self._revision

    def _take_shape(self, header: Header, config: Mapping[str, Any] | None) -> None:
        """Takes in the header and the space; the columns depend on both."""
        if header == self.header and (config is None or config == self.config):
            return
        self.config = config or self.config or header.space
        if header != self.header:
            self.header, self.objective = header, objective_of(header)
        search = search_of(self.name, header, self.config)
        if search != self.search:
            self.search = search
            self._shaped = self._next()

    def _take_trials(self, trials: Iterable[Trial]) -> None:
        changed = [self._with_losses(trial) for trial in trials]
        if not changed:
            return
        numbers = None if not self.trials else [trial.number for trial in changed]
        self.epochs |= epochs_reported(self.store, numbers)
        stamp = self._next()
        for trial in changed:
            if trial.parent is not None and trial.number not in self.trials:
                self.children.setdefault(trial.parent, []).append(trial.number)
            self.trials[trial.number] = trial
            self._stamps[trial.number] = stamp

    def _with_losses(self, trial: Trial) -> Trial:
        if not isinstance(self.objective, MultiObjective) or trial.status is not Status.COMPLETED:
            return trial
        return replace(trial, losses=self.objective.losses(trial.metrics))

    def _take_live(self) -> None:
        live = self._live()
        if live != self.live:
            self.live = live
            self._live_stamp = self._next()

    # -- what goes on -------------------------------------------------------------------------

    def _live(self) -> dict[str, Any]:
        assert self.header is not None
        known = list(self.trials.values())
        running = [trial for trial in known if trial.status is Status.RUNNING]
        claims = self.store.claims() if isinstance(self.store, SharedStore) else {}
        held = [t for t in running if (claim := claims.get(t.number)) and not claim.lost]
        plan = plan_of(self.store)
        total = total_of(self.header, plan)
        if total is not None:
            total += sum(map(is_boosted, known))
        left = seconds_left(plan, total, known, self.epochs, len(held))
        several = isinstance(self.objective, MultiObjective)
        return {
            "counts": counts_of(known),
            "state": "running" if held else "ended" if plan.get("reason") else "idle",
            "reason": plan.get("reason"),
            "began": plan.get("began"),
            "total": total,
            "limits": {
                name: plan[name]
                for name in ("max_trials", "max_total_epochs", "time_budget")
                if plan.get(name) is not None
            },
            "left": None if left is None or not held else round(left),
            "trained": sum(self._trained(trial) for trial in known),
            "seconds": round(sum(trial.seconds for trial in known), 1),
            "running": [self._running(trial, claims.get(trial.number)) for trial in running],
            "front": [t.number for t in front_of(t for t in known if t.losses)] if several else [],
            "asked": self._asked(),
            "cannot": plan.get("cannot", {}),
            "remarks": self.store.note(REMARKS) or {},
        }

    def _trained(self, trial: Trial) -> int:
        return max(self.epochs.get(trial.number, trial.start_epoch) - trial.start_epoch, 0)

    def _asked(self) -> dict[str, Any]:
        waiting = waiting_in(self.store)
        queue = sorted(number for number, trial in self.trials.items() if is_queued(trial))
        return {
            "end": list(waiting.get("end", ())),
            "try": len(waiting.get("try") or ()) + len(queue),
            "queue": queue,
            "pause": list(waiting.get("pause", ())),
            "boost": list(waiting.get("boost") or ()),
            "ranges": waiting.get("ranges") or {},
            "refused": list(waiting.get("refused") or ()),
        }

    def _running(self, trial: Trial, claim: Any) -> dict[str, Any]:
        curve: list[list[Any]] = [[], []]
        assert self.objective is not None
        newest = sorted(t.number for t in self.trials.values() if t.status is Status.RUNNING)
        if trial.number in newest[-MOST_LIVE:]:
            reports = self.store.history(trial.number)
            series = series_of(reports, trial.attempt, parts_of(self.objective)[0])
            curve = thinned(series, LIVE_POINTS)
            if reports:
                self.epochs[trial.number] = max(report.step for report in reports) + 1
        return {
            "number": trial.number,
            "owner": None if claim is None else claim.owner,
            "lost": claim is None or claim.lost,
            "epoch": self.epochs.get(trial.number, trial.start_epoch),
            "curve": curve,
        }

    # -- for the page -------------------------------------------------------------------------

    def rows(self, since: int = 0) -> list[list[Any]]:
        """The trials that changed after a version, as rows by number.

        Args:
            since: The version.
        """
        with self.lock:
            assert self.objective is not None or not self.trials
            names, found = self.names, []
            for number in sorted(self.trials):
                if self._stamps[number] > since and self.objective is not None:
                    epochs = self.epochs.get(number)
                    found.append(row_of(self.trials[number], epochs, self.objective, names))
            return found

    def whole(self) -> bytes:
        """Everything, as the page begins with; JSON."""
        with self.lock:
            if self._whole is None or self._whole[0] != (self.generation, self.version):
                state = {
                    "generation": self.generation,
                    "version": self.version,
                    "search": self.search,
                    "rows": self.rows(),
                    "live": self.live,
                    "trouble": self.trouble,
                }
                self._whole = ((self.generation, self.version), to_json(state))
            return self._whole[1]

    def since(self, generation: str, version: int) -> bytes | None:
        """What a page that knows a version lacks; None if it lacks nothing. JSON.

        Args:
            generation: The page's.
            version: The page's.
        """
        with self.lock:
            if generation != self.generation or self._shaped > version:
                return self.whole() if (generation, version) != self._seen() else None
            if version >= self.version:
                return None
            news: dict[str, Any] = {"generation": generation, "version": self.version}
            if rows := self.rows(version):
                news["rows"] = rows
            if self._live_stamp > version:
                news["live"], news["trouble"] = self.live, self.trouble
            return to_json(news)

    def _seen(self) -> tuple[str, int]:
        return self.generation, self.version

    def curves(self, numbers: Iterable[int], metric: str | None = None) -> dict[str, Any]:
        """The learning curves of trials, each with those that it continues.

        Args:
            numbers: The trials; unknown ones are left out.
            metric: What to draw; None for the first objective.
        """
        with self.lock:
            if self.objective is None:
                return {}
            part = parts_of(self.objective)[0]
            drawn = part if metric is None else Objective(metric, part.direction)
            return {
                str(number): thinned(self._line(self.trials[number], drawn))
                for number in dict.fromkeys(numbers)
                if number in self.trials
            }

    def _line(self, trial: Trial, drawn: Objective) -> list[tuple[int, float]]:
        points: dict[int, float] = {}
        for each in line_of(trial, self.trials):
            points.update(self._series(each, drawn))
        return sorted(points.items())

    def _series(self, trial: Trial, drawn: Objective) -> list[tuple[int, float]]:
        """The curve of one trial; those of finished ones are kept, as they never change."""
        key = (trial.number, drawn.name)
        kept = self._kept.get(key)
        if kept is not None:
            return kept
        series = series_of(self.store.history(trial.number), trial.attempt, drawn)
        if trial.status.finished:
            if len(self._kept) > MOST_KEPT:
                self._kept.clear()
            self._kept[key] = series
        return series


def to_json(value: Any) -> bytes:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode(
        "utf-8", "backslashreplace"
    )
