"""A full or read-only disk stops the search at once; nothing is lost, and it goes on with room."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

import afina
from afina.errors import StoreError
from afina.trials.disk import disk_trouble
from tests.tuners import full_disk


class Toy(afina.engine.base_tuner.BaseTuner):
    """Its trial 2 raises `error`, if there is one."""

    error: BaseException | None = None

    def run_trial(self, trial, *args, **kwargs):
        hp = trial.hyperparameters
        x = hp.Float("x", 0.0, 1.0)
        if trial.trial_id == "2" and self.error is not None:
            try:
                raise self.error
            except RuntimeError as low:
                raise RuntimeError("could not save") from low
        return x


def toy(folder, error=None):
    oracle = afina.oracles.RandomSearchOracle(
        objective=afina.Objective("default_objective", "min"), max_trials=5, seed=0
    )
    tuner = Toy(oracle, lambda hp: hp.Float("x", 0.0, 1.0), directory=folder, project_name="p")
    tuner.error = error
    return tuner


def told(text, number=None):
    return OSError(text) if number is None else OSError(number, text)


FULL = {
    "full": told(os.strerror(errno.ENOSPC), errno.ENOSPC),
    "quota": told(os.strerror(errno.EDQUOT), errno.EDQUOT),
    "limit": told(os.strerror(errno.EFBIG), errno.EFBIG),
    "read-only": told(os.strerror(errno.EROFS), errno.EROFS),
    "hdf5": told("Can't write data (file write failed: errno = 28, error message = 'No space')"),
    "hdf5 at its end": RuntimeError("Can't decrement id ref count (errno = 28, ...)"),
    "numpy": told("36000 requested and 0 written"),
}


@pytest.mark.parametrize("error", FULL.values(), ids=FULL.keys())
def test_a_full_disk_stops_the_search_at_once_and_it_goes_on_with_room(error, tmp_path):
    tuner = toy(tmp_path, error)
    with pytest.raises(StoreError, match=r"cannot be written: .*stopped at trial 2.*Make room"):
        tuner.search(verbose=0)
    assert [trial.status for trial in tuner.oracle.trials.values()].count("COMPLETED") == 2
    again = toy(tmp_path)
    again.search(verbose=0)
    assert [trial.status for trial in again.oracle.trials.values()] == ["COMPLETED"] * 5
    assert "deaths" not in again.oracle.trials["2"].notes


def test_errors_that_only_quote_a_full_disk_are_none():
    assert disk_trouble(ValueError("No space left on device")) is None
    assert disk_trouble(FileNotFoundError(errno.ENOENT, "gone")) is None
    assert disk_trouble(PermissionError(errno.EACCES, "no")) is None
    loop = ValueError("a")
    loop.__cause__ = loop
    assert disk_trouble(loop) is None


@pytest.mark.service
def test_a_search_on_a_disk_that_gets_full_ends_cleanly_and_goes_on(tmp_path):
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(tmp_path)]
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no small disk can be mounted here")
    try:
        (tmp_path / "ballast").write_bytes(b"\0" * 4_200_000)
        command = [sys.executable, str(Path(full_disk.__file__)), str(tmp_path)]
        environment = {**os.environ, "KERAS_BACKEND": "jax"}
        ended = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment
        )
        said = ended.stdout.splitlines()
        assert ended.returncode == 0, ended.stderr
        assert said[0].startswith("stopped: ")
        assert "Make room" in said[0]
        assert said[-2] == "statuses: " + " ".join(["COMPLETED"] * 4)
        assert said[-1] == "notes: [None, None, None, None]"
    finally:
        subprocess.run(["umount", str(tmp_path)], check=False)
