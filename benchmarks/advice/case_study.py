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


def compared(case: Case, seed: int, max_epochs: int = 10) -> dict[str, Any]:
    """The demo's search, what the advice says of it, and the two searches after it."""
    with tempfile.TemporaryDirectory() as folder:
        made: dict[str, Any] = {"seed": seed, "max_epochs": max_epochs, "quiet": True}
        first = search(case, Options(output=Path(folder) / "first", **made))
        told = first.advice()
        again = first.search_again(told)
        other = search(case, Options(output=Path(folder) / "other", **{**made, "seed": seed + 100}))
        return {
            "advice": str(told),
            "searches": [
                judged(first, case, "first search"),
                judged(again, case, "in the advised space"),
                judged(other, case, "in the old space again"),
            ],
        }


def judged(tuner: Any, case: Case, name: str) -> dict[str, Any]:
    """What a search found."""
    trials = [trial for trial in tuner.oracle.trials.values() if trial.score is not None]
    best = tuner.oracle.get_best_trials(1)[0]
    kept = tuner.oracle.search_state.trials.values()
    longest = max(trial.end_epoch or 0 for trial in kept)
    full = [t.score for t in kept if t.end_epoch == longest and t.score is not None]
    tuner.retrain_best(
        *case.train, validation_data=case.validation, batch_size=case.batch_size, verbose=0
    )
    verdict = tuner.evaluate_best(*case.test)
    values = {k: v for k, v in best.hyperparameters.values.items() if not k.startswith("tuner/")}
    return {
        "search": name,
        "trials": len(trials),
        "epochs": sum(len(trial.curve) for trial in kept),
        "best": round(float(best.score), 4),
        "mean of the longest": round(float(np.mean(full)), 4),
        "test": round(float(verdict.metrics["accuracy"]), 4),
        "values": values,
    }


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
        found = compared(case, seed)
        print(f"\nseed {seed}\n\n{found['advice']}\n")
        print("| " + " | ".join(found["searches"][0]) + " |")
        print("|---|---:|---:|---:|---:|---:|---|")
        for row in found["searches"]:
            print("| " + " | ".join(str(value) for value in row.values()) + " |", flush=True)


if __name__ == "__main__":
    main()
