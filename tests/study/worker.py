"""A worker of a search: `python worker.py STORAGE ALGORITHM TRIALS [SLEEP [LEASE]]`.

It prints the number of each trial that it begins, at once, and how many it has ended at the end.
"""

import os
import sys
import time

import afina
from afina.search import TPE, QuasiRandom, Random
from afina.trials import Trial

ALGORITHMS = {"random": Random, "quasi-random": QuasiRandom, "tpe": TPE}


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def study(storage: object, algorithm: str, trials: int) -> afina.Study:
    hp = afina.HyperParameters()
    hp.Float("x", -1.0, 1.0)
    hp.Int("n", 1, 100)
    return afina.Study(
        hp,
        objective=afina.Objective("loss", "min"),
        algorithm=ALGORITHMS[algorithm](seed=3),
        storage=storage,
        max_trials=trials,
    )


def main() -> None:
    storage, algorithm, trials = sys.argv[1], sys.argv[2], int(sys.argv[3])
    pause = float(sys.argv[4]) if len(sys.argv) > 4 else 0.0
    search = study(storage, algorithm, trials)
    done = []

    def objective(trial: Trial) -> float:
        say("trial", trial.number, trial.attempt)
        for step in range(2):
            search.report(trial, {"loss": 1.0 + step}, step)
            time.sleep(pause / 2)
        done.append(trial.number)
        return trial.values["x"] ** 2 + trial.values["n"] / 100

    search.optimize(objective)
    say("done", len(done), search.stop_reason)
    search.close()


if __name__ == "__main__":
    main()
