"""Where and when a trial ran, what model it trained, and which files it has left."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from afina.store import TrialStore
from afina.study.requests import plan_of
from afina.trials import Trial
from afina.trials.trial import MODEL, RAN, read_ran

MOST_FILES = 50
"""Files of a trial that are listed."""

OWN_ID = "trial_id"
"""The note of a trial whose id is not its number."""


def ran_of(trial: Trial) -> dict[str, str] | None:
    """When a trial began and ended, as ISO texts, and where; None if nobody has noted it."""
    return read_ran(trial.notes.get(RAN, ""))


def model_of(trial: Trial) -> dict[str, Any] | None:
    """The layers of a trial's model; None if nobody has noted them. See `training.structure`."""
    try:
        found = json.loads(trial.notes.get(MODEL, "null"))
        layers = [[str(name), str(kind), shape, int(n)] for name, kind, shape, n in found["layers"]]
        numbers = {key: int(found[key]) for key in ("more", "parameters", "trainable")}
    except (ValueError, TypeError, KeyError):  # a note of the user's own under the same name
        return None
    shown = [[n, k, None if shape is None else str(shape), size] for n, k, shape, size in layers]
    return {"layers": shown, **numbers}


def files_of(store: TrialStore, trial: Trial) -> dict[str, Any] | None:
    """The files in a trial's folder, with their sizes; None if it has no folder here.

    Args:
        store: Of the search.
        trial: The trial.
    """
    width = store.note("trial_id_width")
    number = f"{trial.number:0{width if isinstance(width, int) else 4}d}"
    name = f"trial_{trial.notes.get(OWN_ID, number)}"
    roots = [plan_of(store).get("folder"), getattr(store, "folder", None)]
    folders = [Path(root, name) for root in roots if root is not None]
    folder = next((each for each in folders if each.name == name and each.is_dir()), None)
    if folder is None:
        return None
    found = []
    for place, _, names in os.walk(folder):
        for name in sorted(names):
            try:
                size = os.lstat(os.path.join(place, name)).st_size
            except OSError:  # it was removed meanwhile
                continue
            found.append([os.path.relpath(os.path.join(place, name), folder), size])
    found.sort()
    left = max(len(found) - MOST_FILES, 0)
    return {"folder": str(folder), "files": found[:MOST_FILES], "more": left}


def own_notes(notes: Mapping[str, str]) -> list[list[str]]:
    """The notes that the page does not show in another way."""
    return [[key, text] for key, text in notes.items() if key not in ("seconds", RAN, MODEL)]
