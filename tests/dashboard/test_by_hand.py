"""What people change from the page in a Keras search that another process runs, on both stores."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from afina.store import open_store
from afina.trials import Status
from tests.dashboard import keras_search
from tests.postgres import running_server

pytestmark = pytest.mark.service

SCRIPT = Path(keras_search.__file__)


@contextmanager
def searching(place, folder, trials=5, seconds=0.15):
    """A search in another process."""
    root = Path(__file__).parents[2]
    paths = os.pathsep.join([str(root / "src"), str(root), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(place), str(trials), str(seconds), str(folder)],
        env={**os.environ, "PYTHONPATH": paths},
    )
    try:
        yield process
        assert process.wait(timeout=240) == 0
    finally:
        process.kill()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request, tmp_path):
    if request.param == "sqlite":
        yield tmp_path / "p", tmp_path
        return
    with running_server() as server:
        yield f"{server.url}&project=p", tmp_path


def state_of(client):
    found = client.get("/api/state").json()
    columns = found.get("search", {}).get("columns", [])
    rows = {row[0]: dict(zip(columns, row, strict=False)) for row in found.get("rows", [])}
    return rows, found.get("live", {})


def until(client, condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition(*state_of(client)):
        assert time.monotonic() < end, state_of(client)
        time.sleep(0.1)


def do(client, **body):
    answer = client.post("/api/actions", json=body)
    assert answer.status_code == 200, answer.json()
    return answer.json()["said"]


def status(rows, number):
    return rows.get(number, {}).get("status")


def test_a_trial_is_paused_resumed_and_trained_longer_and_a_range_narrowed(place, visit):
    where, folder = place
    with searching(where, folder):
        client = visit(where, token="t", actions=True)
        until(client, lambda rows, live: status(rows, 0) == "running")
        assert "waits until you resume it" in do(client, do="pause", trial=0)
        until(client, lambda rows, live: status(rows, 0) == "waiting")
        assert "units" in do(client, do="range", name="units", low="10", high="12")
        do(client, do="resume", trial=0)
        until(client, lambda rows, live: status(rows, 0) == "completed")
    store = open_store(where)
    trials = {trial.number: trial for trial in store.trials()}
    assert trials[0].attempt == 1
    assert {r.step for r in store.history(0) if r.attempt == 1} == set(range(keras_search.EPOCHS))
    assert "after epoch" in trials[0].notes["resumed"]
    begun = store.note("ranges")[0]["from"]
    assert begun <= 3
    assert all(10 <= trials[n].values["units"] <= 12 for n in range(begun, 5))
    assert "run its script again" in do(client, do="boost", trial=0, epochs=3)
    with searching(where, folder):
        until(client, lambda rows, live: status(rows, 5) == "completed")
    longer = next(trial for trial in store.trials() if trial.number == 5)
    assert longer.status is Status.COMPLETED
    assert (longer.parent, longer.start_epoch, longer.end_epoch) == (0, 8, 11)
    assert [report.step for report in store.history(5)] == [8, 9, 10]
    assert longer.values == trials[0].values
