"""Which configurations were tried, and random draws of one that was not."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from afina.errors import check_whole
from afina.search.base import Done, Situation, Suggestion, Wait
from afina.space import HyperParameter, Space, Value, deserialize
from afina.space.conditions import same_value
from afina.space.parameters import all_values
from afina.surrogates.geometry import geometry_of
from afina.surrogates.prior import SEEN, Prior, prior_of
from afina.trials import Trial
from afina.trials.trial import PRIOR

Key = Hashable
Place = tuple[str, Hashable]

# Plain draws before the space is listed: with half of it tried, one ask in 16 million needs more.
QUICK_DRAWS = 24
# Draws from a space too large or too continuous to list, before the search gives up.
PATIENT_DRAWS = 1000
# The largest space that is listed; a list of it takes a few megabytes.
LIST_LIMIT = 20_000
# Proposals that break a constraint and are repaired, if none of the others is allowed.
REPAIRED = 8
# How many configurations one trial may stand for; see `keys_of`.
STAND_IN_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class TriedKeys:
    """An immutable set of keys; `add` returns a larger one.

    Adding copies little: the keys are in frozen sets of decreasing size, and two of about the same
    size are merged. n additions cost O(n log n), a look-up costs O(log n).

    Example:
        >>> one = TriedKeys().add(["a"])
        >>> "a" in one, "b" in one, "b" in one.add(["b"])
        (True, False, True)
    """

    parts: tuple[frozenset[Key], ...] = ()
    """Large ones first."""

    def __contains__(self, key: Key) -> bool:
        return any(key in part for part in self.parts)

    def add(self, keys: Iterable[Key]) -> TriedKeys:
        """The set with `keys` in it."""
        new = frozenset(key for key in keys if key not in self)
        if not new:
            return self
        parts = list(self.parts)
        while parts and len(parts[-1]) <= len(new):
            new = new | parts.pop()
        return TriedKeys((*parts, new))


NOTHING_TRIED = TriedKeys()


@dataclass(frozen=True, slots=True)
class TriedState:
    """The state of an algorithm that learns nothing from results and only avoids repeats."""

    tried: TriedKeys = NOTHING_TRIED
    """Keys of the configurations of all finished trials, failed ones too."""


def place(entry: HyperParameter) -> Place:
    """What identifies an entry within a space: its name and its conditions."""
    return entry.name, tuple(entry.conditions)


def default_of(entry: HyperParameter) -> Value:
    """The entry's default."""
    return entry.default


def key_of(values: Mapping[str, Value], space: Space) -> Key:
    """A key that two sets of values share exactly if they are the same configuration.

    Values equal to their default are left out. So a configuration keeps its key when the space
    grows: an entry that was unknown when the trial ran stands at its default.
    """
    return frozenset(
        (entry.name, type(value).__name__, value)
        for entry in space.active(values)
        if not same_value(value := values[entry.name], entry.default)
    )


def keys_of(trial: Trial, space: Space) -> list[Key]:
    """The keys of all configurations of `space` that `trial` settles.

    That is its own, and where its build came to narrower ranges than the space, also those whose
    values its build would have folded into the trial's: proposing them would run it again.
    """
    complete = space.complete(trial.values, default_of)
    keys = [key_of(complete, space)]
    if not trial.ranges:
        return keys
    own = own_ranges(trial)
    stand_ins: list[list[tuple[str, Value]]] = []
    count = 1
    for entry in space.active(complete):
        narrow, value = own.get(place(entry)), complete[entry.name]
        if narrow is None or narrow == entry or (entry.count or LIST_LIMIT) >= LIST_LIMIT:
            continue
        folded = [
            v
            for v in all_values(entry)
            if same_value(v, value) or same_value(narrow.fold(v), value)
        ]
        stand_ins.append([(entry.name, v) for v in folded])
        count *= len(folded)
    if count <= STAND_IN_LIMIT:
        keys += [
            key_of(space.complete({**complete, **dict(choice)}, default_of), space)
            for choice in itertools.product(*stand_ins)
        ]
    return keys


def own_ranges(trial: Trial) -> dict[Place, HyperParameter]:
    """The trial's own definitions of entries, if its build differs from the space."""
    entries = [deserialize(config) for config in trial.ranges]
    return {place(entry): entry for entry in entries}


@functools.lru_cache(maxsize=4)
def listed(space: Space) -> tuple[tuple[Key, Mapping[str, Value]], ...] | None:
    """All allowed configurations with their keys, in odometer order; None if there are too many."""
    if space.size(LIST_LIMIT) is None:
        return None
    rows: list[dict[str, Any]] = [{}]
    for entry in space:
        values = all_values(entry)
        rows = [
            {**row, entry.name: value} if active else row
            for row in rows
            for active in (entry.name not in row and space.is_active(entry, row),)
            for value in (values if active else (None,))
        ]
    return tuple((key_of(row, space), row) for row in rows if space.allows(row))


def without_priors(situation: Situation) -> Situation:
    """The question about a space of which users have said nothing: for `prior=None`."""
    if not any(entry.prior for entry in situation.space):
        return situation
    return dataclasses.replace(situation, space=_unbelieved(situation.space))


@functools.lru_cache(maxsize=8)
def _unbelieved(space: Space) -> Space:
    """The space without what users have said of its entries."""
    plain = (
        type(entry).from_config({**entry.get_config(), "prior": None}) if entry.prior else entry
        for entry in space
    )
    return dataclasses.replace(space, entries=tuple(plain))


def draw(space: Space, rng: np.random.Generator) -> dict[str, Value]:
    """A random configuration, which may break constraints.

    Entries with a `prior` are drawn from it, a quarter of the time evenly.

    Args:
        space: Where to draw.
        rng: Source of all chance.
    """
    prior = _given(space)
    if prior is None:
        return dict(space.draw(rng))
    geometry = prior.geometry
    units = prior.shaped(rng.random((1, len(geometry.tunable))))
    return geometry.decode(geometry.place(units)[0])


@functools.lru_cache(maxsize=8)
def _given(space: Space) -> Prior | None:
    """What users have said of the entries; None if they have said nothing."""
    return prior_of(geometry_of(space), "given") if any(each.prior for each in space) else None


def draw_untried(
    space: Space, rng: np.random.Generator, is_tried: Callable[[Key], bool]
) -> dict[str, Value] | None:
    """A random allowed configuration that was not tried; None if none can be found.

    Draws from the space's own distribution first. If that finds nothing new and the space can be
    listed, it draws evenly from all configurations that are left.

    Args:
        space: Where to draw.
        rng: Source of all chance.
        is_tried: Whether the configuration of a key must not be proposed.
    """

    def draws(count: int) -> Iterator[dict[str, Value]]:
        return (draw(space, rng) for _ in range(count))

    def is_new(values: Mapping[str, Value]) -> bool:
        return not is_tried(key_of(values, space)) and space.allows(values)

    quick = list(draws(QUICK_DRAWS)) if space.constraints else draws(QUICK_DRAWS)
    for values in quick:
        if is_new(values):
            return values
    rows = listed(space)
    if rows is not None:
        left = [values for key, values in rows if not is_tried(key)]
        return dict(left[int(rng.integers(len(left)))]) if left else None
    found = next((v for v in draws(PATIENT_DRAWS) if is_new(v)), None)
    if found is None and space.constraints:
        return first_repaired(space, list(quick)[:REPAIRED], is_tried)
    return found


def first_repaired(
    space: Space, proposals: Iterable[Mapping[str, Value]], is_tried: Callable[[Key], bool]
) -> dict[str, Value] | None:
    """The first proposal that is new after its repair; None if there is none.

    Args:
        space: With constraints.
        proposals: Configurations that break them.
        is_tried: Whether the configuration of a key must not be proposed.
    """
    for values in proposals:
        allowed = space.repaired(values)
        if allowed is None:
            return None  # nothing in the space is allowed, as far as is known
        if not is_tried(key_of(allowed, space)):
            return allowed
    return None


def running_keys(situation: Situation) -> set[Key]:
    """Keys of the configurations that are running."""
    space, running = situation.space, situation.running
    where, before, known = _LATEST[0]
    if where is not space or running[: len(before)] != before:
        before, known = (), frozenset()
    # In one turn, several trials are chosen one after the other: then only the last one is new.
    keys = set(known)
    for trial in running[len(before) :]:
        keys.update(_remembered_keys(trial, space))
    _LATEST[0] = space, running, frozenset(keys)
    return keys


def _remembered_keys(trial: Trial, space: Space) -> list[Key]:
    """`keys_of`, computed once while a trial runs: with many workers it is asked for often."""
    whose, where, keys = _REMEMBERED.get(id(trial), (None, None, []))
    if whose is not trial or where is not space:
        keys = keys_of(trial, space)
        if len(_REMEMBERED) >= _MOST_REMEMBERED:
            _REMEMBERED.clear()
        _REMEMBERED[id(trial)] = trial, space, keys
    return keys


# The latest answer of `running_keys`, and to what. It is replaced, never changed: threads share it.
_LATEST: list[tuple[Space | None, tuple[Trial, ...], frozenset[Key]]] = [(None, (), frozenset())]

_MOST_REMEMBERED = 4096

# By the trial's identity. Each entry holds its trial, so that no other one gets the same.
_REMEMBERED: dict[int, tuple[Trial, Space, list[Key]]] = {}


def noted(
    found: Suggestion | Wait | Done, prior: Prior | None, weight: float
) -> Suggestion | Wait | Done:
    """The answer; a suggestion that a prior has moved says so in its notes.

    Args:
        found: The answer.
        prior: The prior, if there is one.
        weight: How much it counted, from 0 to 1.
    """
    if prior is None or weight < SEEN or not isinstance(found, Suggestion):
        return found
    note = f"{prior.described}: counts {weight:.0%}"
    return dataclasses.replace(found, notes={**found.notes, PRIOR: note})


def first_new(
    situation: Situation,
    tried: TriedKeys,
    proposals: Iterable[dict[str, Value]],
    rng: np.random.Generator,
) -> dict[str, Value] | None:
    """The first proposal that no finished or running trial has; a random draw if all are known.

    Args:
        situation: The question.
        tried: Keys of the finished trials.
        proposals: Read only as far as needed.
        rng: For the random draw.

    Returns:
        None if nothing new can be found.
    """
    running = running_keys(situation)

    def is_tried(key: Key) -> bool:
        return key in running or key in tried

    space, broken = situation.space, list[dict[str, Value]]()
    for values in proposals:
        if is_tried(key_of(values, space)):
            continue
        if space.allows(values):
            return values
        broken.append(values)
    repaired = first_repaired(space, broken[:REPAIRED], is_tried)
    return draw_untried(space, rng, is_tried) if repaired is None else repaired


def answer(values: Mapping[str, Value] | None, situation: Situation) -> Suggestion | Wait | Done:
    """The values as a suggestion. Without values: `Wait` while a trial runs, then `Done`."""
    if values is not None:
        return Suggestion(values=values)
    # A running trial may still discover entries that make the space larger.
    return Wait() if situation.running else Done(all_tried(situation.space))


def all_tried(space: Space) -> str:
    """Why a search ends whose space has nothing new left."""
    rows = listed(space)
    if not rows and space.constraints and space.repaired(space.defaults()) is None:
        rules = ", ".join(rule.name for rule in space.constraints)
        return f"no combination of values satisfies the constraints ({rules})"
    if rows is None:
        return f"{PATIENT_DRAWS} draws in a row found no combination that has not been tried"
    return count_tried(len(rows))


def count_tried(count: int) -> str:
    """Why a search ends that tried all `count` combinations."""
    if count == 1:
        return "the only combination has been tried"
    return f"all {count} combinations have been tried"


def check_seed(seed: int) -> None:
    """Raises ArgumentError unless `seed` is a whole number from 0 up."""
    check_whole("seed", seed, least=0)
