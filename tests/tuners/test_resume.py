"""A search that is killed goes on as if it had not been: real processes, real kill -9."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from afina.store import open_store
from tests.tuners import interrupted_search

pytestmark = pytest.mark.service

SCRIPT = Path(interrupted_search.__file__)
KILLS = {"random": 8, "bayesian": 6, "hyperband": 8}


@pytest.fixture(scope="module")
def nursery():
    """A process that has imported everything and forks a search for each line it reads.

    To import Keras takes longer than the searches do.
    """
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "KERAS_BACKEND": "jax"},
        text=True,
    )
    yield process
    process.stdin.close()
    assert process.wait() == 0
    process.stdout.close()


def kill_in_the_middle(nursery, folder, kind, delay):
    """Starts a search, kills it after so many seconds, and tells whether it had ended."""
    print(folder, kind, sep="\t", file=nursery.stdin, flush=True)
    child = int(nursery.stdout.readline())
    assert child > 0
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)  # its parent has not waited for it: the number is still its own
    print(file=nursery.stdin, flush=True)
    status = int(nursery.stdout.readline())
    assert status in (0, -signal.SIGKILL)
    return status == 0


def finished(folder):
    """How many trials have ended."""
    return sum(trial.status.finished for trial in open_store(folder / "p").trials())


def picture(tuner):
    """Everything that must not depend on interruptions, nor on which of two workers is first."""
    found = []
    for trial in tuner.oracle.trials.values():
        values = dict(trial.hyperparameters.values)
        parent = values.pop("tuner/trial_id", None)
        score_before = tuner.oracle.trials[parent].score if parent else None
        found.append((trial.status, str(values), score_before, trial.score, trial.best_step))
    return sorted(found, key=str)


@pytest.mark.filterwarnings("ignore:The process that searched here before died:UserWarning")
@pytest.mark.parametrize("kind", sorted(KILLS))
def test_a_search_killed_again_and_again_ends_with_the_same_trials_and_scores(
    tmp_path, kind, nursery
):
    straight = picture(interrupted_search.run(tmp_path / "straight", kind))
    clock = random.Random(f"{kind} 0")
    patience = 0.0  # a slow machine must get something done, or a trial rightly fails
    for _ in range(KILLS[kind]):
        before = finished(tmp_path / "killed")
        delay = clock.uniform(0.0, 2.5) + patience
        ended = kill_in_the_middle(nursery, tmp_path / "killed", kind, delay)
        stuck = not ended and finished(tmp_path / "killed") == before
        patience = 2 * patience + 2.0 if stuck else 0.0
    resumed = interrupted_search.run(tmp_path / "killed", kind)
    assert picture(resumed) == straight
