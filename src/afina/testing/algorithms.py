"""What every search algorithm must keep, as checks that anybody can run on their own.

    from afina.testing import check_algorithm

    def test_my_search_keeps_what_algorithms_promise():
        check_algorithm(lambda seed: MySearch(seed=seed))

Each check is a function of its own that fails with a sentence; `check_algorithm` runs them all.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np

from afina.search import Algorithm, Done, Random, Situation, Suggestion, Wait
from afina.space import Space, Value
from afina.testing.toys import (
    Loss,
    Run,
    conditional_loss,
    conditional_space,
    finite_loss,
    finite_space,
    meet_layers,
    run,
    sphere,
    sphere_space,
)
from afina.trials import Trial

Make = Callable[[int], Algorithm[Any]]
"""Makes the algorithm for a seed."""

_SEED = 7


def check_algorithm(
    make: Make,
    *,
    trials: int = 24,
    draws: bool = True,
    exhausts: bool = True,
    beats_random: bool = False,
) -> None:
    """Runs every check of this file.

    Args:
        make: Makes the algorithm for a seed, from 0 up.
        trials: How many trials a check runs at most; cheap ones, without training.
        draws: Whether the seed matters.
        exhausts: Whether it tries a finite space in full, without repeats, and then ends.
        beats_random: Whether it must find a better point of a sphere than random search.

    Raises:
        AssertionError: A promise is broken; the message says which.
    """
    check_settings(make)
    recorded = _record(make, trials)
    check_proposals(make, trials, recorded)
    check_ask_is_pure(make, trials, recorded)
    check_same_seed_same_trials(make, trials, recorded)
    if draws:
        check_seeds_differ(make)
    check_replay(make, trials, recorded)
    check_parallel(make)
    check_failures(make, trials)
    check_growing_space(make, exhausts=exhausts)
    if exhausts:
        check_exhausts(make)
    if beats_random:
        check_beats_random(make)


def check_settings(make: Make) -> None:
    """The name and the settings are JSON values; `fixed_settings` names some of the settings."""
    algorithm = make(_SEED)
    settings = dict(algorithm.settings())
    assert isinstance(algorithm.name, str), f"the name {algorithm.name!r} is not a string"
    assert algorithm.name, "the name is empty"
    assert json.loads(json.dumps(settings)) == settings, f"not JSON values: {settings}"
    unknown = algorithm.fixed_settings - settings.keys()
    assert not unknown, f"fixed_settings names {sorted(unknown)}, which settings() lacks"
    assert make(_SEED) == algorithm, "two algorithms with equal settings are not equal"


@dataclass(frozen=True)
class _Question:
    """What an algorithm was asked in a run, and what it answered."""

    state: Any
    before: Hashable
    """A snapshot of the state when it was asked."""

    situation: Situation
    answer: Suggestion | Wait | Done


@dataclass(frozen=True)
class _Recorded:
    """A run of three workers with all its questions, which several checks look at."""

    space: Space
    loss: Loss
    algorithm: Algorithm[Any]
    done: Run
    questions: tuple[_Question, ...]


def _record(make: Make, trials: int) -> list[_Recorded]:
    return [_recorded(make(_SEED), loss, space, trials, 3) for space, loss in _problems()]


def _recorded(
    algorithm: Algorithm[Any], loss: Loss, space: Space, trials: int, workers: int
) -> _Recorded:
    asked: list[_Question] = []

    def watch(state: Any, situation: Situation, answer: Suggestion | Wait | Done) -> None:
        asked.append(_Question(state, snapshot(state), situation, answer))

    done = run(algorithm, loss, space, trials, workers, watch=watch)
    return _Recorded(space, loss, algorithm, done, tuple(asked))


def check_proposals(
    make: Make, trials: int = 24, recorded: Sequence[_Recorded] | None = None
) -> None:
    """Every proposal has a value in range for every active entry, and no other values."""
    alone = [_recorded(make(_SEED), loss, space, trials, 1) for space, loss in _problems()]
    for each in [*alone, *(recorded or _record(make, trials))]:
        known: dict[int, Trial] = {}
        for question in each.questions:
            answer, situation = question.answer, question.situation
            if isinstance(answer, Suggestion):
                assert_valid(answer.values, situation.space)
                known[situation.number] = Trial(
                    number=situation.number, values=answer.values, schedule=answer.schedule
                )
                _assert_promotion(known, situation.number)


def _assert_promotion(known: Mapping[int, Trial], number: int) -> None:
    trial = known[number]
    if trial.schedule is None or trial.schedule.parent is None:
        return
    parent = known[trial.schedule.parent]
    assert trial.values == parent.values, f"trial {number} is a promotion, but has other values"
    begun = parent.schedule.end_epoch if parent.schedule else None
    assert trial.schedule.start_epoch == begun, (
        f"trial {number} does not start at its parent's last epoch"
    )


def assert_valid(values: Mapping[str, Value], space: Space) -> None:
    """Fails unless `values` hold a value in range for each active entry, and nothing else."""
    active = space.active(values)
    names = {entry.name for entry in active}
    assert set(values) == names, f"proposed {dict(values)}, but active are {sorted(names)}"
    for entry in active:
        value = values[entry.name]
        assert not isinstance(value, np.generic), f"{entry.name}: {value!r} is a numpy scalar"
        assert entry.contains(value), f"{entry.name}: {value!r} is out of range"


def check_ask_is_pure(
    make: Make, trials: int = 24, recorded: Sequence[_Recorded] | None = None
) -> None:
    """`ask` twice gives one answer, and neither `ask` nor `tell` changes a state."""
    for each in recorded or _record(make, trials):
        for question in each.questions:
            again = each.algorithm.ask(question.state, question.situation)
            same = snapshot(again) == snapshot(question.answer)
            assert same, f"asked twice: {question.answer}, then {again}"
        for number, question in enumerate(each.questions):
            same = snapshot(question.state) == question.before
            assert same, f"the state of question {number} has changed since"


def check_same_seed_same_trials(
    make: Make, trials: int = 24, recorded: Sequence[_Recorded] | None = None
) -> None:
    """Two runs with one seed are equal."""
    for each in recorded or _record(make, trials):
        second = run(make(_SEED), each.loss, each.space, trials, 3)
        assert _values(each.done) == _values(second), "the same seed gave other trials"


def check_seeds_differ(make: Make) -> None:
    """Another seed gives other trials, and not the same ones shifted; 0 is a seed like others."""
    space = sphere_space(3)
    runs = {seed: run(make(seed), sphere, space, 8) for seed in (0, 1, 3, _SEED)}
    # Algorithms may begin with the same point for every seed, such as the defaults.
    skip = 1 if len({_key(_values(done)[0]) for done in runs.values()}) == 1 else 0
    for one in runs:
        for other in runs:
            if one < other:
                common = [v for v in _values(runs[one])[skip:] if v in _values(runs[other])[skip:]]
                assert not common, f"seeds {one} and {other} both gave {common[0]}"


def check_replay(make: Make, trials: int = 24, recorded: Sequence[_Recorded] | None = None) -> None:
    """A replay of the finished trials rebuilds every state and every answer."""
    for each in recorded or _record(make, trials):
        asked: dict[int, list[_Question]] = {}
        for question in each.questions:
            ended = question.situation.number - len(question.situation.running)
            asked.setdefault(ended, []).append(question)
        done, fresh = each.done, make(_SEED)
        state = fresh.init()
        for ended in range(len(done.trials) + 1):
            for question in asked.get(ended, []):
                same = snapshot(state) == question.before
                assert same, f"the state after {ended} trials differs"
                again = fresh.ask(state, question.situation)
                same = snapshot(again) == snapshot(question.answer)
                assert same, f"after {ended}: {question.answer}, now {again}"
            if ended < len(done.trials):
                copied = replace(done.trials[ended], values=dict(done.trials[ended].values))
                state = fresh.tell(state, copied, done.spaces[ended])


def check_parallel(make: Make) -> None:
    """New trials that are open at the same time have different values; none waits for ever."""

    def watch(state: Any, situation: Situation, answer: Suggestion | Wait | Done) -> None:
        if isinstance(answer, Wait):
            assert situation.running, "Wait was answered while nothing runs"
        if not isinstance(answer, Suggestion) or _is_promotion(answer):
            return
        rivals = [t for t in situation.running if t.schedule == answer.schedule]
        for rival in rivals:
            assert dict(rival.values) != dict(answer.values), (
                f"trials {rival.number} and {situation.number} are open with the same values"
            )

    for space, loss in ((finite_space(), finite_loss), (conditional_space(), conditional_loss)):
        run(make(_SEED), loss, space, 12, 4, watch=watch)


def _is_promotion(answer: Suggestion) -> bool:
    return answer.schedule is not None and answer.schedule.parent is not None


def check_failures(make: Make, trials: int = 24) -> None:
    """The search goes on when some trials fail, and when all do."""

    def sometimes(values: Mapping[str, Value]) -> float:
        if values["depth"] == 2:
            raise RuntimeError("depth 2 never works")
        return float("nan") if values["bias"] else finite_loss(values)

    def always(values: Mapping[str, Value]) -> float:
        raise RuntimeError("nothing works")

    for loss in (sometimes, always):
        for workers in (1, 3):
            done = run(make(_SEED), loss, finite_space(), trials, workers)
            ended = len(done.trials)
            assert done.done is not None or ended == trials, f"stopped after {ended} trials"
            assert ended >= 2, "one failure ended the search"


def check_growing_space(make: Make, *, exhausts: bool = True) -> None:
    """Entries that trials discover are tuned: starting from an empty space, their values vary.

    With `exhausts`, all 14 combinations of `meet_layers` are found, each once.
    """

    def loss(values: Mapping[str, Value]) -> float:
        return sum(float(v or 0) for v in values.values())

    for workers in (1, 3):
        done = run(make(_SEED), loss, Space(()), 40, workers, discover=meet_layers)
        layers = {trial.values.get("layers") for trial in done.trials}
        assert len(layers) > 1, "an entry that the first trial discovered was never changed"
        if exhausts:
            keys = {_key(trial.values) for trial in done.trials}
            assert len(keys) == 14, f"{len(keys)} of the 14 combinations of a growing space"
            assert done.done is not None, "all combinations are tried, but the search goes on"


def check_exhausts(make: Make) -> None:
    """All 18 combinations of a finite space are tried, each once, and then the search ends."""
    for workers in (1, 4):
        done = run(make(_SEED), finite_loss, finite_space(), 30, workers)
        keys = [_key(trial.values) for trial in done.trials]
        assert len(keys) == len(set(keys)), f"{len(keys) - len(set(keys))} repeats"
        assert len(keys) == 18, f"{len(keys)} of 18 combinations were tried"
        assert done.done is not None, "nothing is left, but the search goes on"
        assert done.done.reason, "Done has no reason"


def check_beats_random(make: Make, *, trials: int = 40, dim: int = 4, runs: int = 5) -> None:
    """On a sphere it finds a lower loss than random search: the median of some runs against its.

    An algorithm that equals random search passes half the time; one that searches well hardly ever
    fails. The seeds are fixed, so that the verdict never changes.
    """
    space = sphere_space(dim)
    makes: Sequence[Make] = (make, lambda seed: Random(seed=seed))
    mine, chance = (
        statistics.median(run(m(seed), sphere, space, trials).best for seed in range(runs))
        for m in makes
    )
    assert mine < chance, f"median best loss {mine:.3g}, random search {chance:.3g}"


# -- what checks share ---------------------------------------------------------------------------


def snapshot(value: Any) -> Hashable:
    """A deep copy that compares dataclasses, arrays and collections by their content."""
    if isinstance(value, np.ndarray):
        return value.shape, str(value.dtype), value.tobytes()
    if is_dataclass(value) and not isinstance(value, type):
        inner = tuple((f.name, snapshot(getattr(value, f.name))) for f in fields(value))
        return type(value).__name__, inner
    if isinstance(value, Mapping):
        return frozenset((snapshot(k), snapshot(v)) for k, v in value.items())
    if isinstance(value, list | tuple):
        return tuple(snapshot(part) for part in value)
    if isinstance(value, set | frozenset):
        return frozenset(snapshot(part) for part in value)
    if isinstance(value, float | int | str | bytes | None):
        return type(value).__name__, repr(value)  # NaN equals NaN, 1 is not True
    return value if isinstance(value, Hashable) else repr(value)


def _problems() -> list[tuple[Space, Loss]]:
    return [
        (sphere_space(3), sphere),
        (finite_space(), finite_loss),
        (conditional_space(), conditional_loss),
    ]


def _values(done: Run) -> list[dict[str, Value]]:
    return [dict(t.values) for t in sorted(done.trials, key=lambda t: t.number)]


def _key(values: Mapping[str, Value]) -> Hashable:
    return frozenset((name, type(value).__name__, value) for name, value in values.items())
