"""The state of a search: joins an algorithm, a store and the trials.

It does not train, print or choose. `next` hands out the next trial, `report` keeps an epoch's
metrics, `complete` and `fail` end a trial. Every change of a trial is one transaction of the store.
If the store holds trials already, the algorithm observes them again, in the order in which they
ended, and the search continues as if it had never stopped.
"""

from __future__ import annotations

import bisect
import math
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from afina.advice import Advice, advice
from afina.advice.resize import Limits
from afina.errors import ArgumentError, check_whole, wrong
from afina.search import Algorithm, Done, Situation, Suggestion, Wait
from afina.space import HyperParameters, Space
from afina.store import Header, TrialStore, check_trials
from afina.study.curves import Curves
from afina.study.discovery import found_by, ranges_of
from afina.study.given import read_metrics, read_step
from afina.study.resume import check_same_search, still_wanted
from afina.study.retries import (
    count_death,
    failure_of_deaths,
    kept_notes,
    must_run_alone,
    news_of,
    next_chance,
)
from afina.study.stopping import Budget, StopRules
from afina.trials import (
    Decision,
    Failure,
    FailureKind,
    Objective,
    Report,
    Schedule,
    Status,
    Trial,
    stream_of,
)
from afina.trials.pareto import front_of


class SearchState:
    """One search from its first trial to its last, over any number of processes' lives.

    Args:
        algorithm: Chooses the trials.
        objective: What to make small or large.
        hp: The search space as known before the first trial; it grows with what trials discover.
        store: Keeps the trials.
        seed: The algorithm's seed, kept with the project; see `choose_seed`.
        max_trials: How many trials in all, or None for as many as the algorithm has.
        max_retries: How often a failed trial is run again before it counts as failed.
        max_consecutive_failed: The search stops when so many trials in a row have failed; those
            that were refused (`Failure.is_refusal`) are passed over.
        may_grow: False keeps hyperparameters that trials discover out of the space.
        budget: What else limits the search; see `Budget`.

    Raises:
        ProjectMismatchError: The store holds another search.
        ArgumentError: A number is out of range.
    """

    def __init__(
        self,
        *,
        algorithm: Algorithm[Any],
        objective: Objective,
        hp: HyperParameters,
        store: TrialStore,
        seed: int,
        max_trials: int | None = None,
        max_retries: int = 0,
        max_consecutive_failed: int = 3,
        may_grow: bool = True,
        budget: Budget | None = None,
    ) -> None:
        check_whole("max_retries_per_trial", max_retries, least=0)
        self.stop_rules = StopRules(
            max_trials=max_trials,
            max_consecutive_failed=max_consecutive_failed,
            budget=budget or Budget(),
        )
        self.algorithm = algorithm
        self.objective = objective
        self.hp = hp
        self.store = store
        self.max_retries = max_retries
        self.may_grow = may_grow
        self._lock = threading.RLock()
        self._trials: dict[int, Trial] = {}
        self._open: dict[int, Trial] = {}
        self._ended: list[int] = []
        self._ranked: list[tuple[float, int]] = []  # loss and number, best first
        self._retry: list[int] = []  # last in, first out
        self._interrupted: list[int] = []  # running still when the store was opened
        self._continued = False
        self._started: dict[int, float] = {}
        self._curves = Curves(objective)  # of the open trials
        self._space: Space | None = None
        self._header_to_write: Header | None = None
        self._begun = False
        stored = store.trials()
        check_trials(stored, getattr(store, "folder", None))
        self._header = self._open_header(seed, stored)
        self.seed = self._header.seed
        self._algorithm_state = algorithm.init()
        self._resume(stored)

    # -- opening ------------------------------------------------------------------------------

    def _open_header(self, seed: int, stored: Sequence[Trial]) -> Header:
        old = self.store.header()
        new = Header(
            algorithm=self.algorithm.name,
            settings=dict(self.algorithm.settings()),
            objective=self.objective.describe(),
            seed=seed,
            space=self.hp.get_config(),
        )
        if old is None:
            return new
        check_same_search(
            old,
            new,
            self.algorithm.fixed_settings,
            grown=self.store.space(),
            trials=stored,
            may_grow=self.may_grow,
        )
        header = replace(old, settings=new.settings)
        if header != old:
            self._header_to_write = header
        return header

    def _resume(self, trials: Sequence[Trial]) -> None:
        finished = sorted((t for t in trials if t.ended is not None), key=lambda t: t.ended or 0)
        for trial in self._with_curves(finished):
            self._learn(trial)
        if (grown := self.store.space()) is not None:
            began = self._header.space
            self._absorb(still_wanted(grown, began, self.hp, may_grow=self.may_grow))
        for trial in trials:
            if not trial.status.finished:
                # Its process died, or it was waiting for a retry: its number and values stay.
                waiting = replace(trial, status=Status.WAITING)
                self._trials[trial.number] = self._open[trial.number] = waiting
                self._retry.insert(0, trial.number)
                if trial.status is Status.RUNNING:
                    self._interrupted.append(trial.number)
        self._trials = dict(sorted(self._trials.items()))

    def _with_curves(self, finished: Sequence[Trial]) -> Iterator[Trial]:
        """The trials as they were when they ended: a store keeps metrics, not what follows."""
        curves = Curves(self.objective)
        for report in self.store.history() if finished else ():
            curves.add(report)
        for trial in finished:
            curve = curves.curve(trial)
            curves.forget(trial)
            yield replace(trial, curve=curve, losses=self.objective.losses(trial.metrics))

    def _learn(self, trial: Trial) -> None:
        """Takes a finished trial in, the same way live and in a replay."""
        if (found := found_by(trial, self.space, may_grow=self.may_grow)) is not None:
            self._absorb(found)
        self._trials[trial.number] = trial
        self._open.pop(trial.number, None)
        # It is in the queue still where its result has come from elsewhere.
        self._retry = [number for number in self._retry if number != trial.number]
        self._ended.append(trial.number)
        if trial.loss is not None:
            bisect.insort(self._ranked, (trial.loss, trial.number))
        self.stop_rules.learn(trial)
        self._algorithm_state = self.algorithm.tell(self._algorithm_state, trial, self.space)

    def _absorb(self, hp: HyperParameters) -> bool:
        changed = self.hp.absorb(hp)
        if changed:
            self._space = None
        return changed

    # -- looking ------------------------------------------------------------------------------

    @property
    def space(self) -> Space:
        """The search space as known now."""
        # `hp` may be somebody's own object, in which they define more hyperparameters.
        entries = self.hp.space
        if self._space is None or list(self._space.entries) != entries:
            self._space = self.hp.to_space()
        return self._space

    @property
    def algorithm_state(self) -> Any:
        """The algorithm's state after all finished trials."""
        return self._algorithm_state

    @property
    def max_trials(self) -> int | None:
        """How many trials in all; None for as many as the algorithm has."""
        return self.stop_rules.max_trials

    @max_trials.setter
    def max_trials(self, most: int | None) -> None:
        """People raise it between searches."""
        self.stop_rules.max_trials = most

    @property
    def stop_reason(self) -> str | None:
        """Why there are no more trials to hand out; None before."""
        return self.stop_rules.reason

    @property
    def trials(self) -> Mapping[int, Trial]:
        """All trials by number, finished or not."""
        return self._trials

    @property
    def ended(self) -> tuple[int, ...]:
        """Numbers of the finished trials in the order in which they ended."""
        return tuple(self._ended)

    @property
    def running(self) -> tuple[Trial, ...]:
        """Trials that were handed out and have not finished, by number."""
        return tuple(self._open[number] for number in sorted(self._open))

    def best_trials(self, count: int = 1) -> list[Trial]:
        """The completed trials, best first; fewer than `count` if there are no more."""
        return [self._trials[number] for _, number in self._ranked[:count]]

    def get_pareto_front(self) -> list[Trial]:
        """The completed trials that no other one beats in every objective, by number."""
        return front_of(self._trials.values())

    def advice(self, *, limits: Mapping[str, Limits] | None = None) -> Advice:
        """Says which hyperparameters matter, and what to search next; see `afina.advice.advice`.

        Args:
            limits: The least and largest value that a hyperparameter may ever have, by name.
        """
        trials = self._trials.values()
        return advice(trials, self.space, objective=self.objective, limits=limits, seed=self.seed)

    def history(self, number: int) -> list[Report]:
        """Every epoch of every execution of a trial's last attempt."""
        attempt = self._trials[number].attempt
        return [each for each in self.store.history(number) if each.attempt == attempt]

    def stream(self, number: int) -> tuple[int, int]:
        """What seeds the training of a trial that was handed out; see `stream_of`."""
        with self._lock:
            return stream_of(self._trials[number], self._trials)

    def situation(self) -> Situation:
        """What the algorithm may look at for the next new trial."""
        return Situation(
            number=len(self._trials),
            space=self.space,
            running=self.running,
            max_trials=self.max_trials,
        )

    # -- changing -----------------------------------------------------------------------------

    def begin(self) -> None:
        """Takes the project for this process and writes the header, if that is still to do."""
        if self._begun:
            return
        if self.store.header() is None:
            self.store.begin(self._header)
        elif self._header_to_write is not None:
            self.store.set_header(self._header_to_write)
        self._begun = True
        self._keep_space()  # it may have grown since it was opened, or by another build

    def next(self) -> Trial | Wait | Done:
        """Hands out the next trial: one that waits to be run again, else a new one."""
        with self._lock:
            self.begin()
            self._continue()
            self.stop_rules.reason = None
            answer = self._next()
            if isinstance(answer, Done):
                self.stop_rules.reason = answer.reason
            return answer

    def _next(self) -> Trial | Wait | Done:
        if self._must_wait():
            return Wait()
        if self._retry:
            waiting = self._trials[self._retry.pop()]
            return self._start(replace(waiting, status=Status.RUNNING, attempt=waiting.attempt + 1))
        over = self.stop_rules.why_over(len(self._trials), self.running)
        if over is not None:
            return Wait() if self._open else Done(over)
        answer = self.algorithm.ask(self._algorithm_state, self.situation())
        if not isinstance(answer, Suggestion):
            return answer
        return self._start(
            Trial(
                number=len(self._trials),
                values=dict(answer.values),
                schedule=answer.schedule,
                known=len(self._ended),
            )
        )

    def _continue(self) -> None:
        """Settles what becomes of the trials that another process, now gone, was running."""
        if self._continued:
            return
        died = self.store.predecessor_died()
        self._continued = True
        numbers = [number for number in self._interrupted if number in self._open]
        again, given_up = [], []
        for number in numbers:
            trial = self._trials[number]
            if not died:
                self._keep(trial)  # it waits in the store too: who dies next had not begun it
                continue
            notes = count_death(trial, with_others=len(numbers) > 1)
            trial = replace(trial, notes=notes)
            failure = failure_of_deaths(trial, self._trials.values(), self.max_retries)
            if failure is None:
                self._keep(trial)
                again.append(trial)
            else:
                given_up.append(self._finish(replace(trial, status=Status.FAILED, failure=failure)))
        if died and numbers:
            warnings.warn(news_of(again, given_up), stacklevel=2)
        if given_up:
            self.check_failures()

    def _must_wait(self) -> bool:
        """Whether the next trial, or one that runs now, must run alone; see `study.retries`."""
        running = [trial for trial in self._open.values() if trial.status is Status.RUNNING]
        following = [self._trials[number] for number in self._retry[-1:]]
        return bool(running) and any(map(must_run_alone, [*running, *following]))

    def take(
        self,
        values: Mapping[str, Any],
        notes: Mapping[str, str],
        *,
        schedule: Schedule | None = None,
    ) -> Trial:
        """Takes a trial that somebody else has chosen as if it had been handed out.

        Args:
            values: Of its hyperparameters.
            notes: Facts to keep for people.
            schedule: Its place in a plan of epochs.
        """
        with self._lock:
            self.begin()
            return self._start(
                Trial(
                    number=len(self._trials),
                    values=dict(values),
                    schedule=schedule,
                    notes=dict(notes),
                    known=len(self._ended),
                )
            )

    def _start(self, trial: Trial) -> Trial:
        self._keep(trial)
        self._started[trial.number] = time.monotonic()
        return trial

    def _keep(self, trial: Trial) -> None:
        self.store.put(trial)
        self._trials[trial.number] = self._open[trial.number] = trial

    def report(
        self, trial: Trial, metrics: Mapping[str, float], step: int, execution: int = 0
    ) -> Decision:
        """Keeps the metrics of one epoch of one execution.

        Args:
            trial: As `next` handed it out.
            metrics: By name; the objective should be among them.
            step: The epoch, from 0, counted over all parts of a promoted training.
            execution: Which of several trainings of the same values.

        Returns:
            Whether this training continues: the algorithm may stop it, and so does the end of the
            time.

        Raises:
            ArgumentError: The trial is not open, or the step or a metric is no number.
        """
        step, metrics = read_step(step), read_metrics("report", metrics)
        with self._lock:
            now = self.open_trial("report", trial)
            report = Report(
                trial=now.number,
                step=step,
                metrics=metrics,
                execution=execution,
                attempt=now.attempt,
            )
            self.store.report(report)
            self._curves.add(report)
            if self.stop_rules.out_of_time():
                return Decision.STOP
            curve = self._curves.curve(now, execution)
            if not curve:
                return Decision.CONTINUE
            return self.algorithm.stop_early(self._algorithm_state, now, curve)

    def open_trial(self, what: str, trial: Trial) -> Trial:
        """The trial as it stands now; ArgumentError if it was not handed out or has ended.

        Args:
            what: The method that got it, for the message.
            trial: As `next` handed it out.
        """
        rule = "must get a trial that was handed out and has not ended"
        if not isinstance(trial, Trial):
            raise ArgumentError(wrong(what, rule, trial))
        if trial.number not in self._open:
            known = trial.number in self._trials
            got = f"trial {trial.number}, which has been told already" if known else trial
            raise ArgumentError(wrong(what, rule, got))
        return self._open[trial.number]

    def complete(
        self,
        trial: Trial,
        metrics: Mapping[str, float],
        *,
        score: float | None = None,
        best_step: int | None = None,
        hp: HyperParameters | None = None,
        notes: Mapping[str, str] | None = None,
        retry: bool = True,
    ) -> Trial:
        """Ends a trial that trained to its end.

        Args:
            trial: As `next` handed it out.
            metrics: All metrics at the best step.
            score: The objective's value; None reads it from `metrics`. A score that is not
                finite fails the trial.
            best_step: The epoch of the score.
            hp: What the trial's build was given, with all that the build discovered in it.
            notes: Facts to keep for people.
            retry: False where a score that is not finite is no reason to run it again.

        Returns:
            The trial as it stands now: COMPLETED, or as `fail` leaves it.
        """
        value = self.objective.get_value(metrics) if score is None else float(score)
        if not math.isfinite(value):
            message = f"The objective {self.objective.name!r} came out as {value}."
            failure = Failure(FailureKind.NOT_A_NUMBER, message)
            return self.fail(trial, failure, retry=retry, hp=hp, notes=notes)
        with self._lock:
            return self._finish(
                replace(
                    self._resolved(trial, hp),
                    status=Status.COMPLETED,
                    score=value,
                    loss=self.objective.loss(value),
                    best_step=best_step,
                    metrics=dict(metrics),
                    failure=None,
                    notes={**dict(notes or {}), **kept_notes(self._trials[trial.number])},
                )
            )

    def fail(
        self,
        trial: Trial,
        failure: Failure,
        *,
        retry: bool = True,
        hp: HyperParameters | None = None,
        notes: Mapping[str, str] | None = None,
    ) -> Trial:
        """Ends a trial that has no score, or queues it to be run again.

        Args:
            trial: As `next` handed it out.
            failure: The reason. The first loss of the trial's worker does not count as a retry.
            retry: False where a retry could not help.
            hp: As in `complete`.
            notes: As in `complete`.
        """
        with self._lock:
            kept = {**dict(notes or {}), **kept_notes(self._trials[trial.number])}
            resolved = replace(self._resolved(trial, hp), failure=failure, notes=kept)
            chance = next_chance(self._trials[trial.number], failure, self.max_retries)
            if retry and chance:
                again = {**resolved.notes, **chance}
                waiting = replace(resolved, status=Status.WAITING, notes=again)
                self._keep(waiting)
                self._forget(waiting)
                if trial.number not in self._retry:
                    self._retry.append(trial.number)
                return waiting
            return self._finish(replace(resolved, status=Status.FAILED))

    def check_failures(self) -> None:
        """Ends a search whose trials keep failing.

        Raises:
            SearchFailedError: Too many trials in a row have failed.
        """
        self.stop_rules.check_failures()

    def add_space(self, hp: HyperParameters) -> None:
        """Takes hyperparameters that were found outside of a trial into the space."""
        with self._lock:
            self._absorb(hp)
            if self._begun:
                self._keep_space()

    def replace_space(self, hp: HyperParameters) -> None:
        """Searches in another space from now on.

        Args:
            hp: The space; what is defined in it later counts too.
        """
        with self._lock:
            self.hp, self._space = hp, None
            if self._begun:
                self._keep_space()

    def _keep_space(self) -> None:
        config = self.hp.get_config()
        if (self.store.space() or {}).get("space") != config["space"]:
            self.store.set_space(config)

    def close(self) -> None:
        """Lets go of the project, all written."""
        self.store.close()

    def _resolved(self, trial: Trial, hp: HyperParameters | None) -> Trial:
        """The trial with the values and ranges that its own build came to."""
        now = self._trials[trial.number]
        begun = self._started.get(trial.number)
        seconds = now.seconds + (time.monotonic() - begun if begun is not None else 0.0)
        if hp is None:
            return replace(now, seconds=seconds)
        ranges = ranges_of(hp, self.space, may_grow=self.may_grow)
        return replace(now, values=dict(hp.values), ranges=ranges, seconds=seconds)

    def _finish(self, trial: Trial) -> Trial:
        ended = replace(
            trial,
            ended=len(self._ended),
            curve=self._curves.curve(trial),
            losses=self.objective.losses(trial.metrics),
        )
        grown = None
        if (found := found_by(ended, self.space, may_grow=self.may_grow)) is not None:
            preview = self.hp.copy()
            if preview.absorb(found):
                grown = preview.get_config()
        self.store.finish(ended, grown)  # after an error here, as of a full disk, try again
        self._forget(ended)
        self._learn(ended)
        return ended

    def _forget(self, trial: Trial) -> None:
        """Lets go of what was kept of the training that has ended."""
        self._started.pop(trial.number, None)
        self._curves.forget(trial)
