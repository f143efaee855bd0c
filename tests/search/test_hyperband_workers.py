"""Many workers run the trials that one alone would run, whoever of them ends first."""

import heapq
import zlib
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afina.search import Done, Hyperband, Situation, Suggestion, Wait
from afina.search.fidelity.brackets import plan
from afina.space import Boolean, Choice, Space
from afina.testing.toys import conditional_space, sphere_space
from afina.trials import Failure, FailureKind, Status, Trial, stream_of

BROKEN = Failure(FailureKind.ERROR, "it broke")


def content(trial):
    """What a trial is, but for its number."""
    part = (trial.schedule.iteration, trial.schedule.bracket, trial.schedule.rung)
    return *part, tuple(sorted(trial.values.items()))


def draw_of(trial, salt):
    """A number from 0 to 1 that hangs on the content alone."""
    return zlib.crc32(repr((salt, content(trial))).encode()) / 2**32


def end(trial, ended, levels, failing, objectives=1):
    """The trial with its result; few `levels` make many ties."""
    if draw_of(trial, "fails") < failing:
        return replace(trial, status=Status.FAILED, failure=BROKEN, ended=ended)
    loss = int(draw_of(trial, "loss") * levels) / levels
    losses = tuple(int(draw_of(trial, m) * levels) / levels for m in range(objectives))
    losses = losses if objectives > 1 else ()
    return replace(trial, status=Status.COMPLETED, loss=loss, losses=losses, ended=ended)


def simulate(
    search, space, workers, *, seed=0, levels=10**6, failing=0.0, objectives=1, on_wait=None
):
    """All trials by number, and the streams that they would have been trained with.

    Each of the workers asks when it is free, and after a `Wait` when any trial has ended.
    """
    rng = np.random.default_rng(seed)
    state, now, ended = search.init(), 0.0, 0
    trials, running, streams = {}, [], {}
    while True:
        answer = None
        while len(running) < workers and not isinstance(answer, Wait | Done):
            situation = Situation(
                number=len(trials),
                space=space,
                running=tuple(trials[number] for _, number in sorted(running, key=lambda r: r[1])),
            )
            answer = search.ask(state, situation)
            if isinstance(answer, Suggestion):
                trial = Trial(number=len(trials), values=answer.values, schedule=answer.schedule)
                trials[trial.number] = trial
                streams[content(trial)] = stream_of(trial, trials)
                heapq.heappush(running, (now + rng.exponential(), trial.number))
        if isinstance(answer, Wait) and on_wait is not None:
            on_wait(trials)
        if not running:
            assert isinstance(answer, Done), "it waits although nothing runs"
            return trials, streams
        now, number = heapq.heappop(running)
        trials[number] = end(trials[number], ended, levels, failing, objectives)
        ended += 1
        state = search.tell(state, trials[number], space)


def parents(trials):
    return {
        content(trial): content(trials[trial.schedule.parent])
        for trial in trials.values()
        if trial.schedule.parent is not None
    }


def assert_same_trials(search, space, workers, seed, **options):
    alone, streams_alone = simulate(search, space, 1, **options)
    together, streams = simulate(search, space, workers, seed=seed, **options)
    assert Counter(map(content, together.values())) == Counter(map(content, alone.values()))
    assert parents(together) == parents(alone)
    assert streams == streams_alone
    return alone, together


@settings(max_examples=24)
@given(
    workers=st.sampled_from([2, 3, 8, 40]),
    seed=st.integers(0, 2**16),
    levels=st.sampled_from([1, 3, 10**6]),
    failing=st.sampled_from([0.0, 0.2, 0.7]),
    objectives=st.sampled_from([1, 2, 3]),
    shape=st.sampled_from([(9, 3), (10, 3), (8, 2), (20, 2.5)]),
    space=st.sampled_from(
        [
            sphere_space(2),
            conditional_space(),  # 22 combinations: they come again in later brackets
            Space((Choice("a", list(range(5))), Boolean("b"))),  # too small for a first rung
            Space((Boolean("a"),)),
        ]
    ),
)
def test_any_number_of_workers_runs_the_same_trials(
    workers, seed, levels, failing, objectives, shape, space
):
    max_epochs, factor = shape
    search = Hyperband(max_epochs=max_epochs, factor=factor, iterations=2, seed=seed % 7)
    options = {"levels": levels, "failing": failing, "objectives": objectives}
    assert_same_trials(search, space, workers, seed, **options)


@pytest.mark.parametrize("workers", [2, 3, 8])
def test_the_trials_of_a_usual_search_are_the_same_and_in_another_order(workers):
    search = Hyperband(max_epochs=27, factor=3, seed=1)
    alone, together = assert_same_trials(search, sphere_space(3), workers, seed=workers)
    assert len(alone) == sum(bracket.trials for bracket in plan(27, 3))
    assert [content(t) for t in alone.values()] != [content(t) for t in together.values()]


def test_trials_that_score_the_same_go_on_by_what_they_scored_before():
    # On the upper rungs all are equal: the order of the first rung must decide, not who came first.
    search = Hyperband(max_epochs=27, factor=3, seed=1)
    for workers in (3, 8):
        for seed in range(5):
            assert_same_trials(search, sphere_space(1), workers, seed, levels=1)


@pytest.mark.parametrize("workers", [2, 3, 8, 40])
@pytest.mark.parametrize(("max_epochs", "factor"), [(10, 3), (27, 3), (16, 2)])
def test_nobody_waits_while_a_trial_could_start(workers, max_epochs, factor):
    brackets = plan(max_epochs, factor)
    waits = []

    def check(trials):
        waits.append(len(trials))
        rungs = defaultdict(list)
        for trial in trials.values():
            rungs[trial.schedule.bracket, trial.schedule.rung].append(trial)
        for bracket in brackets:
            sizes = bracket.sizes
            assert len(rungs[bracket.number, 0]) == sizes[0], "a fresh trial could start"
            for index in range(1, len(sizes)):
                below = rungs[bracket.number, index - 1]
                promoted = {t.schedule.parent for t in rungs[bracket.number, index]}
                losses = sorted(t.loss for t in below if t.loss is not None)
                unknown = sizes[index - 1] - len(losses)  # may all turn out better
                sure = losses[: max(sizes[index] - unknown, 0)]
                left = [t for t in below if t.loss in sure and t.number not in promoted]
                assert not left, "a promotion is certain"

    for seed in range(3):
        search = Hyperband(max_epochs=max_epochs, factor=factor, seed=1)
        simulate(search, sphere_space(2), workers, seed=seed, on_wait=check)
    assert waits or workers == 2, "the check was never made"


def test_a_space_without_new_configurations_is_no_reason_to_wait_for_a_promoted_trial():
    space = Space((Choice("a", [1, 2, 3]),))
    search = Hyperband(max_epochs=9, factor=3, seed=1)
    state, steps, running = search.init(), [], ()
    for number in range(8):
        answer = search.ask(state, Situation(number=number, space=space, running=running))
        trial = Trial(number=number, values=answer.values, schedule=answer.schedule)
        steps.append((trial.schedule.bracket, trial.schedule.rung))
        if steps[-1] == (2, 1):
            running = (trial,)  # for long: it discovers nothing, for its parent was built alike
        else:
            state = search.tell(state, end(trial, number, 1000, 0.0), space)
    assert steps == [(2, 0)] * 3 + [(2, 1)] + [(1, 0)] * 3 + [(1, 1)]
