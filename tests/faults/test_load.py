"""Many workers at once, a database that goes away, a network that is cut, clocks that are wrong."""

import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from afina.store import open_store
from afina.trials import Status
from tests.faults.campaign import Campaign, Nursery
from tests.faults.network import Network
from tests.postgres import Server

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(sys.platform == "win32", reason="forks and kills"),
]


def started(
    nursery: Nursery, campaign: Campaign, processes: int, pause: float, **more: object
) -> list[int]:
    given = {"folder": campaign.folder, "log": campaign.log, "url": campaign.url, "kind": "random"}
    return [nursery.start(**{**given, **more}, pause=pause) for _ in range(processes)]


def finish(nursery: Nursery, campaign: Campaign, workers: list[int]) -> None:
    """All workers end well, and each trial was begun and ended once."""
    assert {nursery.wait(worker) for worker in workers} == {0}
    trials = campaign.check()
    lines = Counter(tuple(line[:2]) for line in campaign.lines())
    assert {trial.status for trial in trials} == {Status.COMPLETED}
    assert [trial.number for trial in trials] == list(range(24))
    assert lines == {(word, str(n)): 1 for word in ("begun", "ended") for n in range(24)}
    assert not campaign.counts["lost"]
    assert not campaign.counts["doubled"]


def test_sixteen_processes_share_one_file(nursery: Nursery, tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, Counter())
    finish(nursery, campaign, started(nursery, campaign, 16, pause=0.05))


def test_sixty_four_workers_share_one_database(
    nursery: Nursery, server: Server, tmp_path: Path
) -> None:
    campaign = Campaign(tmp_path, Counter(), f"{server.url}&project=many")
    finish(nursery, campaign, started(nursery, campaign, 64, pause=0.05))


def test_a_database_that_is_restarted_under_load_loses_nothing(
    nursery: Nursery, server: Server, tmp_path: Path
) -> None:
    campaign = Campaign(tmp_path, Counter(), f"{server.url}&project=restarted")
    workers = started(nursery, campaign, 6, pause=0.5)
    for mode in ("immediate", "fast", "immediate"):
        assert campaign.wait_for(2)
        server.stop(mode)
        time.sleep(0.3)
        server.start()
    finish(nursery, campaign, workers)


@pytest.mark.parametrize("drop", [False, True], ids=["and all arrives late", "and all is lost"])
def test_a_network_that_is_cut_for_a_while_loses_nothing(
    drop: bool, nursery: Nursery, server: Server, tmp_path: Path
) -> None:
    network = Network(server.folder / ".s.PGSQL.5432")
    url = f"postgresql://afina@127.0.0.1:{network.port}/postgres?project=cut{drop}"
    campaign = Campaign(tmp_path, Counter(), url)
    workers = started(nursery, campaign, 4, pause=0.3)
    for _ in range(2):
        assert campaign.wait_for(3)
        network.cut()
        time.sleep(3.0)
        network.mend(drop=drop)
    finish(nursery, campaign, workers)
    network.close()


def test_clocks_that_are_set_back_end_no_lease(nursery: Nursery, tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, Counter())
    workers = started(nursery, campaign, 3, pause=0.1, clock=-86_400.0)
    workers += started(nursery, campaign, 3, pause=0.1, clock=86_400.0)
    finish(nursery, campaign, workers)


def test_a_full_disk_stops_the_workers_and_loses_nothing(nursery: Nursery, tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, Counter())
    workers = started(nursery, campaign, 3, pause=0.1, room=240_000)
    assert 0 not in {nursery.wait(worker) for worker in workers}, "there was room for all"
    assert any(trial.status.finished for trial in campaign.check()), "there was room for none"
    for worker in started(nursery, campaign, 2, pause=0.0):
        assert nursery.wait(worker) == 0
    trials = campaign.check()
    assert [trial.number for trial in trials] == list(range(24))
    assert {trial.status for trial in trials} == {Status.COMPLETED}
    assert not campaign.counts["lost"]
    assert not campaign.counts["doubled"]


def test_nothing_is_left_beside_the_database(nursery: Nursery, tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, Counter())
    finish(nursery, campaign, started(nursery, campaign, 3, pause=0.0))
    left = {path.name for path in (tmp_path / "p").iterdir() if path.is_file()}
    assert not {name for name in left if name.startswith("afina.worker.")}
    assert open_store(tmp_path / "p").claims() == {}
