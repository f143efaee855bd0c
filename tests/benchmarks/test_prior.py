"""What the shipped prior is learnt from: recorded tables, and trainings of our own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from afina.surrogates.prior import shipped

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def test_the_shipped_prior_is_small_and_says_how_many_tasks_it_rests_on():
    file = BENCHMARKS.parent / "src" / "afina" / "surrogates" / "roles.json"
    assert file.stat().st_size < 100_000
    for role, fact in shipped().items():
        assert fact["width"] > 0, role
        assert fact["tasks"] >= fact["collections"] >= 1


def test_the_good_learning_rates_of_a_collection_vote_on_a_logarithmic_scale():
    sys.path[:0] = [str(BENCHMARKS / "prior")]
    try:
        import learn
    finally:
        del sys.path[0]
    from problem import Problem

    from afina.space import Float, Int, Space

    space = Space((Float("lr", 1e-5, 1e-1, sampling="log"), Int("depth", 1, 9), Int("x", 1, 9)))
    problem = Problem(name="p", group="mixed", tuning=True, space=space)
    best = [{"lr": 1e-3, "depth": 2, "x": 3}, {"lr": 1e-2, "depth": 4, "x": 9}]
    assert learn.of_good(problem, best) == {"learning_rate": (-2.5, 0.5), "depth": (3.0, 1.0)}


@pytest.mark.service
def test_a_recording_goes_on_where_it_stopped(tmp_path):
    output = tmp_path / "recorded.json"
    for trials in ("2", "3"):
        command = [sys.executable, str(BENCHMARKS / "prior" / "record.py"), "--only", "iris"]
        command += ["--epochs", "1", "--folder", str(tmp_path), "--output", str(output)]
        done = subprocess.run(
            [*command, "--trials", trials],
            env={**os.environ, "PYTHONPATH": str(BENCHMARKS.parent / "src")},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    assert "Reloading" in done.stdout
    votes = json.loads(output.read_text())["votes"]
    assert set(votes) == {
        *("batch_size", "depth", "dropout", "learning_rate", "weight_decay", "width")
    }
