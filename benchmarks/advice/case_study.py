"""What following the advice gains on a case study, beside a second search in the old space.

    AFINA_DATA=... python benchmarks/advice/case_study.py fashion-mnist --limit 12000 --seeds 2

For each seed: the demo's search (Hyperband), what the advice says of it, then two more searches
with the demo's settings: one in the advised space (`search_again`), one in the old space with
another seed. All three are judged by their best validation accuracy and by the test accuracy of the
best configuration, trained anew.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from afina.demos.case import Case, Options, search
from afina.demos.data import load_fashion_mnist, load_reuters, thinned
from afina.demos.fashion_mnist import fashion_mnist_case
from afina.demos.reuters import reuters_case


def case_of(name: str, limit: int | None) -> Case:
    """The case study, thinned where wanted."""
    if name == "fashion-mnist":
        return fashion_mnist_case(load_fashion_mnist(), limit)
    news = load_reuters()
    return reuters_case(thinned(news, limit) if limit else news)


def judged(tuner: Any, case: Case, name: str) -> str:
    """What a search found, as a row."""
    trials = [trial for trial in tuner.oracle.trials.values() if trial.score is not None]
    best = tuner.oracle.get_best_trials(1)[0]
    epochs = sum(len(t.curve) for t in tuner.oracle.study.trials.values())
    longest = max(t.end_epoch or 0 for t in tuner.oracle.study.trials.values())
    full = [t.score for t in tuner.oracle.study.trials.values() if t.end_epoch == longest]
    tuner.retrain_best(
        *case.train, validation_data=case.validation, batch_size=case.batch_size, verbose=0
    )
    verdict = tuner.evaluate_best(*case.test)
    values = {k: v for k, v in best.hyperparameters.values.items() if not k.startswith("tuner/")}
    mean = np.mean([score for score in full if score is not None])
    return (
        f"| {name} | {len(trials)} | {epochs} | {best.score:.4f} | {mean:.4f} | "
        f"{verdict.metrics['accuracy']:.4f} | {values} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("case", choices=["fashion-mnist", "reuters"])
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--seeds", type=int, default=1)
    chosen = parser.parse_args()
    case = case_of(chosen.case, chosen.limit)
    for seed in range(chosen.seeds):
        with tempfile.TemporaryDirectory() as folder:
            options = Options(output=Path(folder) / "first", seed=seed, quiet=True)
            first = search(case, options)
            told = first.advice()
            print(f"\nseed {seed}\n\n{told}\n")
            again = first.search_again(told)
            other = Options(output=Path(folder) / "other", seed=seed + 100, quiet=True)
            rows = [
                judged(first, case, "first search"),
                judged(again, case, "in the advised space"),
                judged(search(case, other), case, "in the old space again"),
            ]
            print("| search | trials | epochs | best | mean of the longest | test | values |")
            print("|---|---:|---:|---:|---:|---:|---|", *rows, sep="\n", flush=True)


if __name__ == "__main__":
    main()
