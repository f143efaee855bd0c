"""A call of `optimize` that ends within a trial, and the next one in the same process."""

import errno

import pytest

from afina import Objective, Study
from afina.errors import AfinaError, FatalError
from afina.search import Random
from afina.trials import Status

TRIALS = 6
FULL = OSError(errno.ENOSPC, "No space left on device")


def study(folder=None):
    return Study(
        lambda hp: hp.Float("x", 0.0, 1.0),
        objective=Objective("loss", "min"),
        algorithm=Random(seed=0),
        max_trials=TRIALS,
        storage=folder,
        seed=0,
    )


def square(trial):
    return trial.values["x"] ** 2


def found(search):
    return [(each.number, each.values, each.score) for each in search.trials.values()]


@pytest.mark.parametrize("where", ["memory", "file"])
@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit, FatalError("no"), FULL, "result"])
def test_the_next_call_runs_the_trial_that_had_no_end(tmp_path, where, end):
    search = study(tmp_path / "project" if where == "file" else None)

    def third_ends_it(trial):
        if trial.number != 2:
            return square(trial)
        if end == "result":
            return "nothing"
        raise end

    with pytest.raises((KeyboardInterrupt, SystemExit, AfinaError)):
        search.optimize(third_ends_it)
    assert search.trials[2].status is Status.WAITING
    search.optimize(square)  # it would wait for the third trial for ever
    alone = study()
    alone.optimize(square)
    assert found(search) == found(alone)
    assert all(each.status is Status.COMPLETED for each in search.trials.values())


def test_a_trial_that_its_function_has_told_stays_told():
    search = study()

    def told_and_interrupted(trial):
        search.tell(trial, 0.5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search.optimize(told_and_interrupted)
    assert [each.status for each in search.trials.values()] == [Status.COMPLETED]


def test_an_error_of_one_trial_alone_still_fails_it():
    search = study()

    def third_fails(trial):
        if trial.number == 2:
            raise ValueError("no")
        return square(trial)

    search.optimize(third_fails, catch=ValueError)
    assert [each.number for each in search.trials.values() if each.status is Status.FAILED] == [2]
