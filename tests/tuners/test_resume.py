"""A search that is killed goes on as if it had not been: real processes, real kill -9."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.tuners import interrupted_search

SCRIPT = Path(interrupted_search.__file__)
KILLS = {"random": 8, "bayesian": 6, "hyperband": 8}


def start(folder, kind):
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(folder), kind],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "KERAS_BACKEND": "jax"},
    )


def picture(tuner):
    """Everything that must not depend on interruptions, nor on which of two workers is first."""
    found = []
    for trial in tuner.oracle.trials.values():
        values = dict(trial.hyperparameters.values)
        parent = values.pop("tuner/trial_id", None)
        score_before = tuner.oracle.trials[parent].score if parent else None
        found.append((trial.status, str(values), score_before, trial.score, trial.best_step))
    return sorted(found, key=str)


@pytest.mark.parametrize("kind", sorted(KILLS))
def test_a_search_killed_again_and_again_ends_with_the_same_trials_and_scores(tmp_path, kind):
    straight = picture(interrupted_search.run(tmp_path / "straight", kind))
    clock = random.Random(f"{kind} 0")
    kills = 0
    while kills < KILLS[kind]:
        child = start(tmp_path / "killed", kind)
        assert child.stdout.readline() == b"ready\n"
        time.sleep(clock.uniform(0.0, 2.5))
        done = child.poll()
        child.send_signal(signal.SIGKILL)
        child.communicate()
        kills += 1
        if done is not None:
            assert done == 0
    resumed = interrupted_search.run(tmp_path / "killed", kind)
    assert picture(resumed) == straight
