"""Whether a search may continue a project, and what it takes from it; changes nothing."""

from __future__ import annotations

import random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from afina.errors import AfinaError, ProjectMismatchError, StoreError
from afina.search import Algorithm
from afina.space import HyperParameter, HyperParameters, deserialize
from afina.space.definitions import hull
from afina.store import Header, TrialStore
from afina.trials import Objective, Trial

_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, IndexError)

_ADVICE = (
    "Nothing was changed. Pass overwrite=True to start anew (the old trials are deleted), or "
    "another project_name to keep both."
)


class BegunElsewhereError(StoreError):
    """Another worker began the search at the same moment, with another seed."""

    def __init__(self, theirs: int, ours: int) -> None:
        super().__init__(
            f"The search was begun by another worker with seed {theirs}, and here with {ours}. "
            "Nothing was changed. Start this one again to join it."
        )


def read_space(config: Mapping[str, Any]) -> HyperParameters:
    """The search space that a project keeps.

    Raises:
        StoreError: It cannot be read.
    """
    try:
        return HyperParameters.from_config(dict(config))
    except (AfinaError, *_UNREADABLE) as error:
        raise StoreError(
            f"The project is damaged: its search space cannot be read ({error!r:.200}). Nothing "
            "was changed. Restore the database from a backup. To search anew, use another "
            "project_name, or pass overwrite=True, which deletes the project."
        ) from error


def choose_seed(store: TrialStore, seed: int | None) -> int:
    """The project's own seed where it has begun, else the one given, else a drawn one.

    Args:
        store: Where the search is kept.
        seed: As the user gave it; 0 is a seed.

    Returns:
        The seed to use. A drawn one comes from Python's own stream, so that a script that seeds
        that stream gets the same search again.
    """
    header = store.header()
    if header is None:
        return random.randrange(2**31) if seed is None else seed
    if seed is not None and seed != header.seed:
        warnings.warn(
            f"The project was begun with seed {header.seed} and keeps it; seed={seed} is "
            "ignored. Pass overwrite=True to start anew.",
            stacklevel=4,
        )
    return header.seed


def new_header(
    algorithm: Algorithm[Any], objective: Objective, seed: int, hp: HyperParameters
) -> Header:
    """What a search writes that begins.

    Args:
        algorithm: Chooses the trials.
        objective: What is optimized.
        seed: The algorithm's.
        hp: The space as known before the first trial.
    """
    return Header(
        algorithm=algorithm.name,
        settings=dict(algorithm.settings()),
        objective=objective.describe(),
        seed=seed,
        space=hp.get_config(),
    )


def continued_header(
    store: TrialStore,
    new: Header,
    fixed_settings: frozenset[str],
    *,
    trials: Sequence[Trial],
    may_grow: bool,
) -> tuple[Header, bool]:
    """The header with which a search begins in a store, or continues the one that it holds.

    Args:
        store: Where the search is kept.
        new: What the tuner would write.
        fixed_settings: See `check_same_search`.
        trials: See `check_same_search`.
        may_grow: See `check_same_search`.

    Returns:
        The header, and whether it must replace the one in the store.

    Raises:
        ProjectMismatchError: The store holds another search.
        BegunElsewhereError: Another worker has begun the search since, with another seed.
    """
    old = store.header()
    if old is None:
        return new, False
    check_same_search(
        old, new, fixed_settings, grown=store.space(), trials=trials, may_grow=may_grow
    )
    if old.seed != new.seed:
        raise BegunElsewhereError(old.seed, new.seed)
    header = replace(old, settings=new.settings)
    return header, header != old


def check_same_search(
    old: Header,
    new: Header,
    fixed_settings: frozenset[str],
    *,
    grown: Mapping[str, Any] | None = None,
    trials: Sequence[Trial] = (),
    may_grow: bool = True,
) -> None:
    """Compares the project's header with the search that wants to continue it.

    The space may have grown or changed since, as long as the project's trials keep their meaning:
    each of their values must still be one of the hyperparameter's values.

    Args:
        old: What the project holds.
        new: What the tuner would have written.
        fixed_settings: The algorithm's settings that must be equal.
        grown: The project's space with all that its trials have discovered; None for `old`'s.
        trials: The project's trials.
        may_grow: False where hyperparameters that the search does not name stay at their defaults.

    Raises:
        ProjectMismatchError: They differ; the message names every difference.
        StoreError: The project's space cannot be read.
    """
    for kept in (old.space, grown):
        if kept is not None:
            read_space(kept)
    differences = []
    if old.algorithm != new.algorithm:
        differences.append(f"algorithm: was {old.algorithm!r}, is now {new.algorithm!r}")
    else:
        differences += [
            f"{name}: was {old.settings.get(name)!r}, is now {new.settings.get(name)!r}"
            for name in sorted(fixed_settings)
            if old.settings.get(name) != new.settings.get(name)
        ]
    if old.objective != new.objective:
        differences.append(f"objective: was {old.objective!r}, is now {new.objective!r}")
    differences += space_differences(
        old.space, new.space, grown=grown, trials=trials, may_grow=may_grow
    )
    if differences:
        raise ProjectMismatchError(
            "The project was made by another search: " + "; ".join(differences) + ". " + _ADVICE
        )


def space_differences(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    *,
    grown: Mapping[str, Any] | None = None,
    trials: Sequence[Trial] = (),
    may_grow: bool = True,
) -> list[str]:
    """Sentences on changes of a space that take a trial's meaning from it; none where all is well.

    Args:
        old: The config of the project's `HyperParameters` when it began.
        new: That of the search that wants to continue it.
        grown: See `check_same_search`.
        trials: See `check_same_search`.
        may_grow: See `check_same_search`.
    """
    was, now, found = _by_name(old), _by_name(new), _by_name(grown or old)
    sentences = []
    if may_grow:
        for name in was:
            if name not in now and (owner := _first(trials, name, ())) is not None:
                sentences.append(
                    f"hyperparameter {name!r} is gone, but trial {owner.number} was made with it"
                )
    for name, entries in now.items():
        before = was.get(name) or found.get(name)
        if before is None or before == entries:
            continue
        allowed = [deserialize(entry) for entry in entries]
        if name not in was:  # met in a trial: the space holds what both of them allow
            others = [deserialize(entry) for entry in before]
            allowed = [hull(mine, other) for mine in allowed for other in others]
        if (owner := _first(trials, name, allowed)) is not None:
            sentences.append(
                f"hyperparameter {name!r}: {_changes(before, entries)}, "
                f"but trial {owner.number} has {owner.values[name]!r}"
            )
    return sentences


def _first(trials: Sequence[Trial], name: str, allowed: Sequence[HyperParameter]) -> Trial | None:
    """The first trial with a value under this name that none of the definitions has."""
    for trial in trials:
        if name in trial.values:
            value = trial.values[name]
            if not any(entry.contains(value) for entry in allowed):
                return trial
    return None


def still_wanted(
    grown: Mapping[str, Any], old: Mapping[str, Any], new: HyperParameters, *, may_grow: bool
) -> HyperParameters:
    """What a project's space adds to that of the search that continues it.

    Definitions that the project began with count no longer: the search gives its own.

    Args:
        grown: The config of the project's space.
        old: The one that the project began with.
        new: The space of the search.
        may_grow: False leaves out hyperparameters that `new` does not name.
    """
    began = old.get("space", [])
    names = {entry.name for entry in new.space}
    entries = [
        entry
        for entry in grown.get("space", [])
        if entry not in began and (may_grow or entry["config"]["name"] in names)
    ]
    return HyperParameters.from_config({"space": entries, "values": grown.get("values", {})})


def _by_name(config: Mapping[str, Any]) -> dict[str, list[Any]]:
    entries: dict[str, list[Any]] = {}
    for entry in config.get("space", []):
        entries.setdefault(entry["config"]["name"], []).append(entry)
    return entries


def _changes(old: list[Any], new: list[Any]) -> str:
    if len(old) == len(new) == 1 and old[0]["class_name"] == new[0]["class_name"]:
        was, now = old[0]["config"], new[0]["config"]
        return ", ".join(
            f"{key} was {was.get(key)!r}, is now {now.get(key)!r}"
            for key in sorted({*was, *now})
            if was.get(key) != now.get(key)
        )
    kinds = [entry["class_name"] for entry in old], [entry["class_name"] for entry in new]
    return f"was {kinds[0]}, is now {kinds[1]}" if kinds[0] != kinds[1] else "conditions changed"
