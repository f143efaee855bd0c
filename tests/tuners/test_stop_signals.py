"""Ctrl-C and SIGTERM stop a search gently, and the next start continues it: real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import pytest

import afina
from afina.run.stop_request import stop_request
from afina.training.interim import INTERIM
from tests.tuners import models

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


class Sends(keras.callbacks.LearningRateScheduler):
    """Sends this process a signal in the middle of an epoch."""

    def __init__(self, number: int, times: int = 1, epoch: int = 2) -> None:
        super().__init__(lambda epoch, rate: rate)
        self.number, self.times, self.epoch = number, times, epoch

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        super().on_epoch_begin(epoch, logs)
        if epoch == self.epoch:
            for _ in range(self.times):
                signal.raise_signal(self.number)


def tuner_in(folder: Path, **options: Any) -> afina.RandomSearch:
    settings = {"max_trials": 2, "seed": 5, "directory": folder, "workers": 1}
    return afina.RandomSearch(models.build, "val_loss", **{**settings, **options})


def searched(tuner: afina.RandomSearch, *callbacks: Any) -> afina.RandomSearch:
    given = {"epochs": 5, "validation_split": 0.25, "verbose": 0, "callbacks": list(callbacks)}
    tuner.search(*models.data(), **given)
    return tuner


def scores(tuner: afina.RandomSearch) -> list[Any]:
    return [(t.score, t.curve) for t in tuner.oracle.search_state.trials.values()]


@pytest.fixture
def continues(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callbacks of the tests count as Keras' own that can be continued."""
    from afina.training import interim

    monkeypatch.setitem(interim.RESTORED, Sends, ())


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_the_first_signal_ends_and_saves_the_running_epoch(
    tmp_path: Path,
    number: int,
    error: type[BaseException],
    capsys: pytest.CaptureFixture[str],
    continues: None,
) -> None:
    straight = scores(searched(tuner_in(tmp_path / "a")))
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    tuner = tuner_in(tmp_path / "b")
    with pytest.raises(error) as caught:
        searched(tuner, Sends(number))
    if error is SystemExit:
        assert caught.value.args == (143,)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "stopping after this epoch. To resume, run the same script again." in said
    assert len(list(tmp_path.rglob(INTERIM))) == 1
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert stop_request.number is None
    resumed = searched(tuner_in(tmp_path / "b"), Sends(number, times=0))
    notes = [t.notes for t in resumed.oracle.search_state.trials.values()]
    assert notes[0]["resumed"].startswith("after epoch 3,")
    assert "deaths" not in notes[0]
    assert scores(resumed) == straight


def test_the_second_signal_stops_at_once(tmp_path: Path) -> None:
    tuner = tuner_in(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        searched(tuner, Sends(signal.SIGINT, times=2))
    assert len(tuner_in(tmp_path).oracle.search_state.history(0)) == 2


def test_a_handler_of_the_users_is_called_too_and_is_there_again_afterwards(
    tmp_path: Path,
) -> None:
    seen: list[int] = []

    def mine(number: int, frame: Any) -> None:
        seen.append(number)

    before = signal.signal(signal.SIGTERM, mine)
    try:
        with pytest.raises(SystemExit):
            searched(tuner_in(tmp_path), Sends(signal.SIGTERM))
        assert seen == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_signal_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        tuner = searched(tuner_in(tmp_path, max_trials=1), Sends(signal.SIGINT))
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(scores(tuner)) == 1


def test_a_study_stops_at_once_and_gives_the_trial_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hp = afina.HyperParameters()
    hp.Float("x", 0, 1)

    def study() -> afina.Study:
        goal = afina.Objective("loss", "min")
        return afina.Study(hp, objective=goal, max_trials=2, seed=0, store=tmp_path / "s")

    def function(trial: afina.Trial) -> float:
        signal.raise_signal(signal.SIGTERM)
        return 0.0

    first = study()
    with pytest.raises(SystemExit):
        first.optimize(function)
    first.close()
    assert "SIGTERM: stopping. To resume" in capsys.readouterr().err
    again = study()
    again.optimize(lambda trial: float(trial.values["x"]))
    assert [trial.attempt for trial in again.trials.values()] == [1, 0]


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[3])
import keras, afina
from tests.tuners import models

class Tells(keras.callbacks.LearningRateScheduler):
    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        print("epoch", epoch, flush=True)

from afina.training import interim
interim.RESTORED[Tells] = ()
tuner = afina.RandomSearch(models.build, "val_loss", max_trials=2, seed=5,
    directory=sys.argv[1], executor=sys.argv[2])
x, y = models.data()
tuner.search(x, y, epochs=10**6, validation_split=0.25, verbose=0,
    callbacks=[Tells(lambda epoch, rate: rate)])
"""


@pytest.mark.service
@pytest.mark.parametrize("executor", ["serial", "threads"])
def test_a_process_that_gets_sigterm_stops_its_search_and_its_trials_are_not_blamed(
    tmp_path: Path, executor: str
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, str(script), str(tmp_path / "p"), executor, str(root)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line.startswith("epoch 5"):
                break
        child.send_signal(signal.SIGTERM)
        _, said = child.communicate(timeout=120)
    assert child.returncode == 143
    assert "SIGTERM: stopping after this epoch." in said
    tuner = afina.RandomSearch(
        models.build, "val_loss", max_trials=2, seed=5, directory=tmp_path / "p"
    )
    assert len(list(tmp_path.rglob(INTERIM))) == len(tuner.oracle.trials) > 0
    assert not tuner.oracle.search_state.store.predecessor_died()
    tuner.oracle.search_state.close()
