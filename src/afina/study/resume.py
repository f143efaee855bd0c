"""May a search go on in the project that it finds? Says what differs, changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from afina.errors import AfinaError, ProjectMismatchError, StoreError
from afina.space import HyperParameters
from afina.store import Header

_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, IndexError)

_ADVICE = (
    "Nothing was changed. Pass overwrite=True to start anew (the old trials are deleted), or "
    "another project_name to keep both."
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


def check_same_search(old: Header, new: Header, fixed_settings: frozenset[str]) -> None:
    """Compares the project's header with the search that wants to go on in it.

    Args:
        old: What the project holds.
        new: What the tuner would have written.
        fixed_settings: The algorithm's settings that must be equal.

    Raises:
        ProjectMismatchError: They differ; the message names every difference.
    """
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
    differences += space_differences(old.space, new.space)
    if differences:
        raise ProjectMismatchError(
            "The project was made by another search: " + "; ".join(differences) + ". " + _ADVICE
        )


def space_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Sentences on what differs between two configs of `HyperParameters`; none where equal."""
    was, now = _by_name(old), _by_name(new)
    sentences = [f"hyperparameter {name!r} is gone" for name in was if name not in now]
    sentences += [f"hyperparameter {name!r} is new" for name in now if name not in was]
    for name in was:
        if name in now and was[name] != now[name]:
            sentences.append(f"hyperparameter {name!r}: " + _changes(was[name], now[name]))
    return sentences


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
