"""Trains some configurations of a job in full and keeps their curves, for `recorded.py`.

    python benchmarks/time_to_target/record_curves.py TABULAR --thin 20
    python benchmarks/time_to_target/record_curves.py GRU --thin 10 --single 36 --repeated 8

Some configurations are trained several times, to know by how much trainings differ by luck.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from jobs import JOBS, arrays, fit_arguments

import afina
from afina.search import Random
from afina.search.sobol import configuration
from afina.space import HyperParameters, Space
from afina.surrogates.geometry import geometry_of

RECORDINGS = Path(__file__).with_name("recordings")
SPREAD = 7
"""The seed of the configurations."""


def configurations(space: Space, count: int) -> list[dict[str, Any]]:
    """An even spread; no configuration twice."""
    found: dict[str, dict[str, Any]] = {}
    for index in range(100 * count):
        values = configuration(geometry_of(space), index, SPREAD)
        found.setdefault(repr(sorted(values.items())), values)
        if len(found) == count:
            break
    return list(found.values())


def recorded(name: str, thin: int, single: int, repeated: int, times: int) -> dict[str, Any]:
    """The curves as losses, lower is better."""
    job, data = JOBS[name], arrays(name, thin)
    hp = HyperParameters()
    job.build(hp)
    space = Space(tuple(hp.space))

    def build(hp: Any) -> keras.Model:
        hp.Int("repeat", 0, 63)
        return job.build(hp)

    every = configurations(space, single + repeated)
    plan = [
        {**values, "repeat": repeat}
        for place, values in enumerate(every)
        for repeat in range(times if place < repeated else 1)
    ]
    with tempfile.TemporaryDirectory() as folder:
        tuner = afina.AutoTuner(
            build,
            afina.Objective(job.objective, job.direction),
            max_epochs=job.max_epochs,
            max_trials=len(plan),
            start_from=plan,
            algorithm=Random(seed=1),
            stop_when_unlikely=False,
            seed=3,
            directory=folder,
            workers=1,
        )
        tuner.search(data["x"], data["y"], **fit_arguments(name, data))
        trials = tuner.oracle.search_state.trials.values()
    rows = []
    for trial in trials:
        values = {key: value for key, value in trial.values.items() if key != "repeat"}
        rows.append([values, np.round(trial.curve, 4).tolist()])
    return {"job": name, "thin": thin, "space": space.get_config(), "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("job", choices=list(JOBS))
    parser.add_argument("--thin", type=int, default=20, help="keep one row in so many")
    parser.add_argument("--single", type=int, default=40, help="configurations trained once")
    parser.add_argument("--repeated", type=int, default=10, help="configurations trained again")
    parser.add_argument("--times", type=int, default=4, help="how often")
    options = parser.parse_args()
    found = recorded(options.job, options.thin, options.single, options.repeated, options.times)
    RECORDINGS.mkdir(exist_ok=True)
    path = RECORDINGS / f"{options.job}.json"
    path.write_text(json.dumps(found, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
