"""The state of a search: joins an algorithm, a store and the trials.

It does not train, print or choose. `next` hands out the next trial, `report` keeps an epoch's
metrics, `complete` and `fail` end a trial. Every change of a trial is one transaction of the store.
If the store holds trials already, the algorithm observes them again, in the order in which they
ended, and the search continues as if it had never stopped. In the same way it observes what other
workers have added, at the start of each of its turns; see `study.sharing`.
"""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from afina.advice import Advice, advice
from afina.advice.resize import Limits
from afina.errors import LostLeaseError, check_whole
from afina.search import Algorithm, Done, Situation, Suggestion, Wait
from afina.space import HyperParameters, Space
from afina.store import Changes, Header, TrialStore, check_trials
from afina.study.by_hand import ByHand, is_boosted, paused
from afina.study.curves import Curves, as_they_ended
from afina.study.discovery import found_by, grown_by, ranges_of
from afina.study.given import completed, read_metrics, read_step
from afina.study.known import KnownTrials
from afina.study.lost import settle_lost, write_missing
from afina.study.queue import begin_queued, enqueue, join_queue
from afina.study.requests import Requests
from afina.study.resume import continued_header, new_header, still_wanted
from afina.study.retries import kept_notes, next_chance, run_again
from afina.study.sharing import WorkerShare, is_same_result, news_of_lost_lease
from afina.study.stopping import Budget, StopRules
from afina.trials import Decision, Failure, FailureKind, Objective, Report, Schedule, Status, Trial
from afina.trials.pareto import front_of
from afina.trials.stream import stream_of

R = TypeVar("R")


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

    defined_by_run = False
    """Whether trials may meet hyperparameters that the space does not name yet."""

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
            requests=Requests(store),
        )
        self.algorithm = algorithm
        self.objective = objective
        self.hp = hp
        self.store = store
        self.max_retries = max_retries
        self.may_grow = may_grow
        self.by_hand = ByHand(self.stop_rules.requests, algorithm)
        self._lock = threading.RLock()
        self._known = KnownTrials()
        self.changed_elsewhere: list[int] = []
        """Numbers of the trials that other workers have changed; whoever shows them clears it."""
        self._curves = Curves(objective)  # of the open trials
        self._told: list[Trial] = []  # the trials that the algorithm knows, as they ended
        self._space: Space | None = None
        self._space_elsewhere: Mapping[str, Any] | None = None  # news of it, not taken in yet
        self._begun = False
        self._share = WorkerShare(store)
        stored = self._share.open()
        check_trials(stored, getattr(store, "folder", None))
        new = new_header(algorithm, objective, seed, hp)
        self._header, _ = self._continued(new, stored)
        self.seed = seed
        self._algorithm_state = algorithm.init()
        self._resume(stored)

    # -- opening ------------------------------------------------------------------------------

    def _continued(self, new: Header, trials: Sequence[Trial]) -> tuple[Header, bool]:
        return continued_header(
            self.store, new, self.algorithm.fixed_settings, trials=trials, may_grow=self.may_grow
        )

    def _resume(self, trials: Sequence[Trial]) -> None:
        finished = sorted((t for t in trials if t.ended is not None), key=lambda t: t.ended or 0)
        for trial in as_they_ended(finished, self.store, self.objective):
            self._learn(trial)
        if (grown := self.store.space()) is not None:
            self._take_space(grown)
        held = self._share.held_by_others()
        for trial in trials:
            if trial.status is Status.WAITING:
                self._known.wait(trial)
            elif not trial.status.finished:
                self._known.write(trial)
                if trial.number not in held:  # its process died, or has left it
                    self._known.lose(trial, self._share.loss_of(trial.number))
        self._known.sort()

    def _learn(self, trial: Trial) -> None:
        """Takes a finished trial in, the same way live and in a replay."""
        if trial.ranges and (found := found_by(trial, self.space, may_grow=self.may_grow)):
            self._absorb(found)
        self._known.end(trial)
        self.stop_rules.learn(trial)
        if not is_boosted(trial):
            self._told.append(trial)
            self._algorithm_state = self.algorithm.tell(self._algorithm_state, trial, self.space)

    def _take_space(self, config: Mapping[str, Any]) -> None:
        began = self._header.space
        self._absorb(still_wanted(config, began, self.hp, may_grow=self.may_grow))

    def _absorb(self, hp: HyperParameters) -> bool:
        if changed := self.hp.absorb(hp):
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
        """The algorithm's state after all finished trials, or those in the ranges asked for."""
        return self.by_hand.state(self._algorithm_state, self.space, self._told, len(self.trials))

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
        return self._known.all

    @property
    def ended(self) -> tuple[int, ...]:
        """Numbers of the finished trials in the order in which they ended."""
        return tuple(self._known.ended)

    @property
    def running(self) -> tuple[Trial, ...]:
        """Trials that were handed out and have not finished, by number."""
        return self._known.running

    def best_trials(self, count: int = 1) -> list[Trial]:
        """The completed trials, best first; fewer than `count` if there are no more."""
        return self._known.best(count)

    def get_pareto_front(self) -> list[Trial]:
        """The completed trials that no other one beats in every objective, by number."""
        return front_of(self.trials.values())

    def advice(self, *, limits: Mapping[str, Limits] | None = None) -> Advice:
        """Says which hyperparameters matter, and what to search next; see `afina.advice.advice`.

        Args:
            limits: The least and largest value that a hyperparameter may ever have, by name.
        """
        trials = self.trials.values()
        return advice(trials, self.space, objective=self.objective, limits=limits, seed=self.seed)

    def history(self, number: int) -> list[Report]:
        """Every epoch of every execution of a trial's last attempt."""
        attempt = self.trials[number].attempt
        return [each for each in self.store.history(number) if each.attempt == attempt]

    def stream(self, number: int) -> tuple[int, int]:
        """What seeds the training of a trial that was handed out; see `stream_of`."""
        with self._lock:
            return stream_of(self.trials[number], self.trials)

    def situation(self) -> Situation:
        """What the algorithm may look at for the next new trial."""
        return self._situation_after(())

    def _situation_after(self, begun: Sequence[Trial]) -> Situation:
        number, running = len(self.trials) + len(begun), (*self._known.running_by_plan, *begun)
        return self.by_hand.situation(number, self.space, running, self.max_trials)

    # -- changing -----------------------------------------------------------------------------

    def begin(self) -> None:
        """Joins the project and writes the header, if that is still to do.

        Raises:
            BegunElsewhereError: Another worker has begun the search since, with another seed.
        """
        if self._begun:
            return
        with self._lock:
            self._in_turn(self._write_header)
            self._begun = True
            self._share.keep_alive(self)
            self._keep_space()  # it may have grown since it was opened, or by another build

    def _write_header(self) -> None:
        if self.store.header() is None:
            self.store.begin(self._header)
            return
        header, changed = self._continued(self._header, list(self.trials.values()))
        if changed:
            self.store.set_header(header)

    def _in_turn(self, step: Callable[[], R]) -> R:
        """Does a step while no other worker changes the search, and after learning what others did.

        A step writes to the store, and changes nothing here: its writing may still fail.
        """
        seen = len(self._known.ended)
        result = self._share.turn(step, self._catch_up)
        if any(self.trials[number].failure for number in self._known.ended[seen:]):
            self.check_failures()
        return result

    def _catch_up(self, changes: Changes) -> None:
        """Takes in what other workers have written."""
        new = [trial for trial in changes.trials if not self._known.has_ended(trial.number)]
        finished = [trial for trial in new if trial.status.finished]
        # All reading and writing comes first: where it fails, nothing counts as seen.
        ended = list(as_they_ended(finished, self.store, self.objective, changes.reports))
        if changes.whole:
            write_missing(self._known, changes, self.store.put)
        for trial in sorted(new, key=lambda trial: trial.number):
            if self._known.see(trial, mine=trial.number in changes.mine):
                self.changed_elsewhere.append(trial.number)
        for trial in ended:
            self._learn(trial)
        if changes.trials:
            self._known.sort()
        self._space_elsewhere = changes.space or self._space_elsewhere
        self.by_hand.requests.stale = True
        if self._space_elsewhere and self._begun:
            self._take_space(self._space_elsewhere)
            self._space_elsewhere = None

    def next(self) -> Trial | Wait | Done:
        """Hands out the next trial: one that waits to be run again, else a new one."""
        with self._lock:
            self.begin()
            self.stop_rules.reason = None
            answer = None if self._known.lost else self._in_turn(self._propose)
            if answer is None:
                self._settle()
                answer = self._in_turn(self._propose) or Wait()
            if isinstance(answer, Trial):
                self._known.take_on(answer)
            elif isinstance(answer, Done):
                self.stop_rules.done(answer.reason)
            return answer

    def _propose(self) -> Trial | Wait | Done | None:
        """The next trial, written; None where trials must be settled or join the queue first."""
        for trial, loss in self._share.newly_lost(self._known.others):
            self._known.lose(trial, loss)
        if self.by_hand.requests.stale:
            self.by_hand.look(self.space, len(self.trials))
        if self._known.lost or self.by_hand.requests.tries:
            return None
        if self._known.must_wait():
            return Wait()
        paused = self.by_hand.paused
        if (waiting := self._known.waiting(paused)) is None:
            answer = self._propose_new()
            waiting = None if isinstance(answer, Trial) else self._known.last_chance(paused)
            if waiting is None or self._known.mine:
                return answer if waiting is None else Wait()
        self.store.put(again := run_again(waiting))
        return again

    def _propose_new(self, begun: Sequence[Trial] = ()) -> Trial | Wait | Done:
        """A new trial, written; `begun` are those that the same turn has begun before."""
        stopped = self.stop_rules.is_stopped()
        if not stopped and (longer := self.by_hand.boosted(self.trials)) is not None:
            return self._put_new(*longer)
        count, running = self._known.by_plan + len(begun), (*self.running, *begun)
        over = self.stop_rules.why_over(count, running)
        if over is not None:
            return self._known.over(over, self.by_hand.paused)
        answer = self.algorithm.ask(self.algorithm_state, self._situation_after(begun))
        if (asked := begin_queued(self, answer, len(self._told))) is not None:
            return asked
        if not isinstance(answer, Suggestion):
            return self._known.without_paused(answer, self.by_hand.paused)
        values = self.by_hand.values(answer, self.space)
        return self._put_new(values, answer.schedule, dict(answer.notes), behind=len(begun))

    enqueue = enqueue

    def keep_reports(self) -> None:
        """Writes the reports that wait."""
        with self._lock:
            self._in_turn(lambda: None)

    def _put_new(
        self, values: dict[str, Any], schedule: Any, notes: dict[str, str], behind: int = 0
    ) -> Trial:
        number, known = len(self.trials) + behind, len(self._told)
        trial = Trial(number=number, values=values, schedule=schedule, notes=notes, known=known)
        self.store.put(trial)
        return trial

    def _settle(self) -> None:
        """Decides what becomes of the trials whose worker is gone, and fills the queue."""
        if settle_lost(self._known, self._rewrite, self.max_retries, self.history):
            self.check_failures()
        join_queue(self, self.by_hand.requests)

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
            new = self._in_turn(lambda: self._put_new(dict(values), schedule, dict(notes)))
            return self._known.take_on(new)

    def _keep(self, trial: Trial) -> Trial | None:
        """Writes a trial that runs here in another form; None if another worker has taken it."""
        return self._rewrite(trial, lambda: trial.number not in self._known.taken)

    def _rewrite(self, trial: Trial, still: Callable[[], bool]) -> Trial | None:
        """Writes an open trial anew if `still` says so in the turn; None: another worker has it."""

        def write() -> Trial | None:
            if not still():
                return None
            if trial.status.finished:
                return self._write_end(trial)
            self.store.put(trial)
            return trial

        try:
            written = self._in_turn(write)  # after an error here, as of a full disk, try again
        except LostLeaseError:
            return None
        if written is not None and written.status.finished:
            self._curves.forget(written)
            self._learn(written)
        elif written is not None:
            self._known.write(written)
        return written

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
            if self._is_taken(trial):
                return Decision.STOP  # whoever runs it now reports it
            now = self.open_trial("report", trial)
            where = {"step": step, "execution": execution, "attempt": now.attempt}
            report = Report(trial=now.number, metrics=metrics, **where)
            self.store.report(report)
            self._curves.add(report)
            if self.stop_rules.ends(now):
                return Decision.STOP
            if self.by_hand.pauses(now):
                return Decision.PAUSE
            curve = self._curves.curve(now, execution)
            if not curve or is_boosted(now):
                return Decision.CONTINUE
            return self.algorithm.stop_early(self._algorithm_state, now, curve)

    def open_trial(self, what: str, trial: Trial) -> Trial:
        """The trial as it stands now; ArgumentError if it was not handed out or has ended here.

        Args:
            what: The method that got it, for the message.
            trial: As `next` handed it out.
        """
        if self._is_taken(trial):
            return self.trials[trial.number]  # whoever took it may have ended it
        return self._known.open_trial(what, trial)

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
            if self._is_taken(trial):
                return self._drop(trial)
            kept = {**dict(notes or {}), **kept_notes(self.trials[trial.number])}
            resolved = replace(self._resolved(trial, hp), notes=kept, best_step=best_step)
            ended = completed(resolved, self.objective, value, metrics)
            return self._keep(ended) or self._drop(ended)

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
            if self._is_taken(trial):
                return self._drop(trial)
            now = self.trials[trial.number]
            kept = {**dict(notes or {}), **kept_notes(now)}
            resolved = replace(self._resolved(trial, hp), failure=failure, notes=kept)
            if failure.kind is FailureKind.PAUSED:
                return self._put_back(replace(resolved, failure=None, notes=paused(kept)))
            chance = next_chance(now, failure, self.max_retries, self.history(now.number))
            if retry and chance:
                return self._put_back(replace(resolved, notes={**resolved.notes, **chance}))
            ended = replace(resolved, status=Status.FAILED)
            return self._keep(ended) or self._drop(ended)

    def _put_back(self, trial: Trial) -> Trial:
        """Has a trial wait to be run again."""
        waiting = replace(trial, status=Status.WAITING)
        if self._keep(waiting) is None:
            return self._drop(waiting)
        self._curves.forget(waiting)
        self._known.put_back(waiting)
        return waiting

    def _is_taken(self, trial: Trial) -> bool:
        """Whether a trial was handed out here and then taken over by another worker."""
        return isinstance(trial, Trial) and trial.number in self._known.taken

    def _drop(self, trial: Trial) -> Trial:
        """Leaves the trial to the worker that has taken it over; what it has become there."""
        now = self.trials[trial.number]
        if not is_same_result(now, trial):  # else it was written before the connection was lost
            warnings.warn(news_of_lost_lease(now), stacklevel=4)
        self._known.forget(trial.number)
        self._known.taken.discard(trial.number)
        return now

    def check_failures(self) -> None:
        """Raises SearchFailedError if too many trials in a row have failed."""
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
        """Leaves the project, all written; trials that run still are given back."""
        self._share.rest()
        self.store.close()

    def _resolved(self, trial: Trial, hp: HyperParameters | None) -> Trial:
        """The trial with the values and ranges that its own build came to."""
        now = self.trials[trial.number]
        seconds = now.seconds + self._known.seconds(trial.number)
        if hp is None:
            return replace(now, seconds=seconds)
        ranges = ranges_of(hp, self.space, may_grow=self.may_grow)
        if self.hp.learn_constraints(hp):
            self._space = None
        return replace(now, values=dict(hp.values), ranges=ranges, seconds=seconds)

    def _write_end(self, trial: Trial, behind: int = 0) -> Trial:
        curve, losses = self._curves.curve(trial), self.objective.losses(trial.metrics)
        place, notes = len(self._known.ended) + behind, {**self._known.ran(trial), **trial.notes}
        ended = replace(trial, ended=place, curve=curve, losses=losses, notes=notes)
        grown = grown_by(ended, self.hp, self.space, may_grow=self.may_grow)
        self.store.finish(ended, grown)
        return ended
