"""Searches are killed at random, and at every single write: nothing finished is lost or doubled."""

import random
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from afina.trials import Status, Trial
from tests.faults.campaign import Campaign, Nursery, killed
from tests.faults.searches import own_loop
from tests.postgres import Server

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(sys.platform == "win32", reason="forks and kills"),
]
BAD = ("lost", "doubled", "unopenable", "out of order", "ended in an error")


def check(counts: Counter[str], kills: int) -> None:
    assert not {name: counts[name] for name in BAD if counts[name]}
    assert counts["kills"] >= kills, "it was hardly killed: the test proves nothing"


@pytest.mark.parametrize("kind", ["random", "hyperband", "bayesian", "auto"])
def test_a_search_that_is_killed_at_random_loses_and_doubles_nothing(
    kind: str, nursery: Nursery, tmp_path: Path
) -> None:
    counts: Counter[str] = Counter()
    executor = "threads" if kind in ("random", "bayesian") else "serial"
    more = {"kind": kind, "executor": executor, "pause": 0.02}
    killed(nursery, Campaign(tmp_path, counts), random.Random(1), kills=4, **more)
    check(counts, kills=2)


def test_processes_of_two_machines_that_are_killed_lose_and_double_nothing(
    nursery: Nursery, server: Server, tmp_path: Path
) -> None:
    counts: Counter[str] = Counter()
    campaign = Campaign(tmp_path, counts, f"{server.url}&project=two")
    more = {"kind": "random", "processes": 4, "machines": 2, "pause": 0.1}
    killed(nursery, campaign, random.Random(2), kills=5, **more)
    check(counts, kills=3)


def straight(tmp_path: Path) -> list[Trial]:
    study = own_loop(None, tmp_path / "straight")
    return list(study.trials.values())


@pytest.mark.parametrize("kind", ["folder", "database"])
def test_a_search_that_dies_at_any_write_continues_as_if_nothing_had_happened(
    kind: str, nursery: Nursery, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = "" if kind == "folder" else request.getfixturevalue("server").url
    expected = [(trial.values, trial.score) for trial in straight(tmp_path)]
    rng, at, deaths = random.Random(3), 0, 0
    while True:
        folder = tmp_path / str(at)
        counts: Counter[str] = Counter()
        own = f"{url}&project=at{at}" if url else None
        campaign = Campaign(folder, counts, own)
        given = {"folder": folder, "log": campaign.log, "url": own, "kind": "study"}
        died = nursery.wait(nursery.start(**given, die_at=at)) == -signal.SIGKILL
        campaign.check()
        if died:
            deaths += 1
            assert nursery.wait(nursery.start(**given)) == 0
        trials = campaign.check()
        check(counts, kills=0)
        assert [(trial.values, trial.score) for trial in trials] == expected, f"write {at}"
        assert {trial.status for trial in trials} == {Status.COMPLETED}
        if not died:
            break
        at += rng.randint(5, 25)
    assert deaths > 15, "statements were not seen"  # a turn has some twenty, with what they frame
