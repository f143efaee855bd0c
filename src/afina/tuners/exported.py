"""Writes a project in the files of Keras Tuner 1.4, for scripts that read those.

    oracle.json                   the state of the search
    tuner0.json                   tells Keras Tuner to continue the project
    trial_<id>/trial.json         one for each trial; checkpoints lie beside it already

Keras Tuner opens the folder with all trials and models. Its random and Bayesian search continue
where this one stood; its Hyperband begins new brackets; its grid search ends, as after each reload.
What it cannot hold is written as the nearest thing: None in a choice as the text "None" and the
other values as texts, whole numbers among floats as floats.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from afina.errors import StoreError, wrong
from afina.report.facts import Facts, read_facts
from afina.space import Choice, HyperParameters
from afina.store import open_store
from afina.trials import Status
from afina.trials import Trial as StoredTrial
from afina.tuners.face_trials import refresh
from afina.tuners.reserved_keys import with_schedule
from afina.tuners.trial import Trial

MARK = "exported_by"
"""A key of `oracle.json` that Keras Tuner passes over: tells our file from its own."""


def export_keras_tuner(folder: Path, output: Path | None = None) -> Path:
    """Writes the search in a project folder as Keras Tuner's files.

    Args:
        folder: A tuner's `directory/project_name`.
        output: Where to; None writes beside the project's own files, which stay as they are.

    Returns:
        The folder that was written.

    Raises:
        StoreError: There is no search in `folder`, or `output` holds a search that Keras Tuner
            itself has made.
    """
    facts, output = read_facts(folder), output or folder
    _check_output(output / "oracle.json")
    translate = _Translation(facts.hp, [trial.values for trial in facts.trials])
    name = _ids(folder)
    states = [translate.trial(_face(facts, trial, name)) for trial in facts.trials]
    for state in states:
        _write(output / f"trial_{state['trial_id']}" / "trial.json", state)
    _write(output / "tuner0.json", {})
    _write(output / "oracle.json", _oracle_state(facts, states, translate, name))
    return output


def _check_output(path: Path) -> None:
    if not path.is_file():
        return
    try:
        ours = MARK in json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        ours = False
    if not ours:
        rule = "must not hold a search that Keras Tuner has made"
        raise StoreError(wrong("output", rule, str(path), "Give another --output."))


def _ids(folder: Path) -> Callable[[int], str]:
    """The ids of trials as the tuner gave them, which name their folders."""
    store = open_store(folder)
    try:
        width = store.note("trial_id_width") or 4
    finally:
        store.close()
    return lambda number: f"{number:0{width}d}"


def _face(facts: Facts, trial: StoredTrial, name: Callable[[int], str]) -> Trial:
    hp = HyperParameters.for_trial(facts.hp, trial.values, trial.ranges)
    hp.values = with_schedule(hp.values, trial.schedule, name)
    face = Trial(hp, trial_id=name(trial.number))
    refresh(face, trial, facts.objective)
    return face


class _Translation:
    """What Keras Tuner cannot hold, in what it can.

    Args:
        hp: The search space.
        values: Those of all trials.
    """

    def __init__(self, hp: HyperParameters, values: Sequence[Mapping[str, Any]]) -> None:
        choices = [entry for entry in hp.space if isinstance(entry, Choice)]
        found: dict[str, list[Any]] = {}
        for entry in choices:
            found.setdefault(entry.name, []).extend(entry.values)
            found[entry.name] += [each[entry.name] for each in values if entry.name in each]
        self._with_none = {name for name, known in found.items() if None in known}
        self._as_floats = {
            name
            for name, known in found.items()
            if {float, int} <= {type(value) for value in known} - {type(None)}
        }

    def value(self, name: str, value: Any) -> Any:
        """One value of a hyperparameter."""
        if name in self._with_none:  # all texts: a choice of Keras Tuner is of one type
            return str(value)
        is_number = isinstance(value, int) and not isinstance(value, bool)
        return float(value) if name in self._as_floats and is_number else value

    def space(self, hp: HyperParameters) -> dict[str, Any]:
        """The config of a search space."""
        config = hp.get_config()
        for entry in (entry["config"] for entry in config["space"]):
            name = entry["name"]
            if "values" in entry:
                entry["values"] = [self.value(name, value) for value in entry["values"]]
                entry["default"] = self.value(name, entry["default"])
                entry["ordered"] = entry["ordered"] and name not in self._with_none
            for parent in (condition["config"] for condition in entry["conditions"]):
                parent["values"] = [self.value(parent["name"], v) for v in parent["values"]]
        values = {name: self.value(name, value) for name, value in config["values"].items()}
        return {"space": config["space"], "values": values}

    def trial(self, face: Trial) -> dict[str, Any]:
        """The state of a trial."""
        return {**face.get_state(), "hyperparameters": self.space(face.hyperparameters)}


def _oracle_state(
    facts: Facts,
    states: Sequence[Mapping[str, Any]],
    translate: _Translation,
    name: Callable[[int], str],
) -> dict[str, Any]:
    settings = facts.header.settings
    hashes = {each["trial_id"]: _hash(each["hyperparameters"]["values"]) for each in states}
    ended = [trial.number for trial in facts.finished]
    again = [t.number for t in facts.trials if t.status in (Status.WAITING, Status.RUNNING)]
    draws = len(facts.trials) * len(facts.hp.space)
    max_epochs = settings.get("max_epochs") or 100
    factor = settings.get("factor") or 3
    top = 0
    while factor ** (top + 1) <= max_epochs:
        top += 1
    return {
        MARK: "afina",
        "ongoing_trials": {},
        "hyperparameters": translate.space(facts.hp),
        "start_order": [name(trial.number) for trial in facts.trials],
        "end_order": [name(number) for number in ended],
        "run_times": {name(trial.number): trial.retries + 1 for trial in facts.trials},
        "retry_queue": [name(number) for number in again],
        "seed": facts.header.seed,
        "seed_state": facts.header.seed + draws,
        "tried_so_far": sorted(set(hashes.values())),
        "id_to_hash": hashes,
        "display": {"search_start": None, "trial_start": {}, "trial_number": {}},
        # Of Keras Tuner's algorithms: each reads its own, and looks at no others.
        "num_initial_points": settings.get("num_initial_points"),
        "alpha": settings.get("alpha", 1e-4),
        "beta": settings.get("beta", 2.6),
        "hyperband_iterations": settings.get("iterations") or 1,
        "max_epochs": max_epochs,
        "min_epochs": 1,
        "factor": factor,
        "brackets": [],
        "current_bracket": top,
        "current_iteration": 0,
    }


def _hash(values: Mapping[str, Any]) -> str:
    """What Keras Tuner knows tried values by."""
    text = "".join(f"{name}={values[name]}" for name in sorted(values))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """A file is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content), encoding="utf-8")
    os.replace(part, path)
