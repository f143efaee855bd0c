"""A search on data that come batch by batch, on TensorFlow, beside Keras Tuner on the same stream.

    python benchmarks/speed/streams.py [--kinds shuffled generator] [--thin 4] [--trials 4]
        [--python /path/to/bin/python] [--alone] [--before ../other/src]

The first trials of job F (Fashion-MNIST, one hidden layer) are replayed on each kind of stream,
each in a fresh process. Seconds are those of the search; processor seconds leave the imports out.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROWS = 32
"""Samples in a batch."""

KINDS = {
    "arrays": "NumPy arrays",
    "in order": "from_tensor_slices(...).batch(32)",
    "shuffled": "the same with shuffle(all)",
    "shuffled a little": "the same with shuffle(1024)",
    "mapped": "map(normalize), cache, shuffle(all), batch, prefetch",
    "mapped, a little": "map(normalize), cache, shuffle(1024), batch, prefetch",
    "augmented": "noise drawn by map in each pass",
    "endless": "shuffle(all).repeat().batch(32) with steps_per_epoch",
    "PyDataset": "keras.utils.PyDataset",
    "generator": "a Python generator with steps_per_epoch",
    "validated by a generator": "the same, and another one as validation_data",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--thin", type=int, default=4, help="keep one row in so many")
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--python", type=Path, help="has TensorFlow and both packages")
    parser.add_argument("--before", type=Path, help="`src` of another Afina, measured too")
    parser.add_argument("--alone", action="store_true", help="without Keras Tuner")
    options = parser.parse_args()
    from rivals import OURS, STOCK, WORKSHOP, Rival, environment, made_environment

    python = options.python or made_environment(HERE / "requirements-tensorflow.txt")
    ours = Rival(OURS, OURS, "tensorflow", python)
    rivals = [ours] if options.alone else [ours, Rival(STOCK, "keras_tuner", "tensorflow", python)]
    if options.before:
        before = options.before.resolve()
        rivals.insert(1, Rival("before", OURS, "tensorflow", python, source=before))
    WORKSHOP.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=WORKSHOP) as folder:
        data = Path(folder, "arrays.npz")
        prepare = [sys.executable, str(HERE / "prepare.py"), "F", str(data)]
        subprocess.run([*prepare, "--thin", str(options.thin)], check=True)
        for kind in options.kinds:
            for rival in rivals:
                given = {"package": rival.package, "kind": kind, "trials": options.trials}
                given |= {"data": str(data), "folder": str(Path(folder, rival.name, kind))}
                command = [str(python), str(Path(__file__)), json.dumps(given)]
                env = environment(rival, None, own_cache=False)
                done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
                if done.returncode != 0:
                    raise SystemExit(done.stderr[-3000:])
                print(f"{kind:<26} {rival.name:<12} {done.stdout.splitlines()[-1]}", flush=True)


def child(given: dict[str, Any]) -> None:
    """One search; prints its seconds, processor seconds, and how the first trial was trained."""
    kt = importlib.import_module(given["package"])
    import jobs
    import numpy as np

    with np.load(given["data"]) as file:
        x, y = file["x"], file["y"]
    recorded = json.loads((HERE / "recorded" / "F.json").read_text(encoding="utf-8"))["trials"]
    args, kwargs = stream(given["kind"], x, y)
    begun, used = time.perf_counter(), time.process_time()
    tuner = jobs.create_tuner(kt, "F", given["folder"], 10)
    tuner.oracle.populate_space = jobs.Replay(tuner.oracle, recorded[: given["trials"]])
    tuner.search(*args, **kwargs, verbose=0)
    seconds, used = time.perf_counter() - begun, time.process_time() - used
    notes = getattr(tuner.oracle.get_best_trials(1)[0], "notes", {})
    print(f"{seconds:7.1f} s {used:7.1f} s CPU  {notes.get('training', '')}")


def stream(kind: str, x: Any, y: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of `search`: the last fifth of the rows validates."""
    import keras
    import tensorflow as tf

    cut = int(0.8 * len(x))
    x, y, tested = x[:cut], y[:cut], (x[cut:], y[cut:])
    steps = len(x) // ROWS
    slices = tf.data.Dataset.from_tensor_slices

    class Rows(keras.utils.PyDataset):
        def __init__(self, x: Any, y: Any) -> None:
            super().__init__()
            self.x, self.y = x, y

        def __len__(self) -> int:
            return -(-len(self.x) // ROWS)

        def __getitem__(self, index: int) -> Any:
            here = slice(index * ROWS, (index + 1) * ROWS)
            return self.x[here], self.y[here]

    def generator(x: Any, y: Any) -> Iterator[Any]:
        while True:
            for start in range(0, len(x) - ROWS + 1, ROWS):
                yield x[start : start + ROWS], y[start : start + ROWS]

    def normalized(x: Any, y: Any) -> Any:
        return tf.cast(x, "float32") / 255.0, y

    def noisy(x: Any, y: Any) -> Any:
        return x + tf.random.normal(tf.shape(x), stddev=0.01), y

    pixels = (255 * x).astype("uint8")
    mapped = slices((pixels, y)).map(normalized).cache()
    made: dict[str, Any] = {
        "arrays": lambda: ((x, y), {"batch_size": ROWS, "validation_data": tested}),
        "in order": lambda: slices((x, y)).batch(ROWS),
        "shuffled": lambda: slices((x, y)).shuffle(len(x)).batch(ROWS),
        "shuffled a little": lambda: slices((x, y)).shuffle(1024).batch(ROWS),
        "mapped": lambda: mapped.shuffle(len(x)).batch(ROWS).prefetch(tf.data.AUTOTUNE),
        "mapped, a little": lambda: mapped.shuffle(1024).batch(ROWS).prefetch(tf.data.AUTOTUNE),
        "augmented": lambda: slices((x, y)).batch(ROWS).map(noisy).prefetch(tf.data.AUTOTUNE),
        "endless": lambda: slices((x, y)).shuffle(len(x)).repeat().batch(ROWS),
        "PyDataset": lambda: Rows(x, y),
        "generator": lambda: generator(x, y),
        "validated by a generator": lambda: generator(x, y),
    }
    found = made[kind]()
    if isinstance(found, tuple):
        return found
    given: dict[str, Any] = {"validation_data": slices(tested).batch(ROWS)}
    if kind in ("endless", "generator", "validated by a generator"):
        given["steps_per_epoch"] = steps
    if kind == "PyDataset":
        given["validation_data"] = Rows(*tested)
    if kind == "generator":
        given["validation_data"] = tested
    if kind == "validated by a generator":
        given.update(validation_data=generator(*tested), validation_steps=len(tested[0]) // ROWS)
    return (found,), given


if __name__ == "__main__":
    if len(sys.argv) == 2 and sys.argv[1].startswith("{"):
        child(json.loads(sys.argv[1]))
    else:
        main()
