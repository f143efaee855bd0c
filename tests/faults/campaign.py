"""Kills searches and counts what is lost: what was acknowledged must be there afterwards, once."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from afina.errors import AfinaError
from afina.store import open_store
from afina.trials import Status, Trial

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


_PATIENCE = 120.0  # seconds


def has_ended(pid: int) -> bool:
    """Whether a fork has ended, and its parent has not asked yet how."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


class Nursery:
    """The process whose forks search; see `searches.py`."""

    def __init__(self) -> None:
        paths = os.pathsep.join([str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.searches"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": paths},
        )
        assert self._process.stdout.readline() == "ready\n"

    def start(self, **arguments: object) -> int:
        return self._ask("start " + json.dumps(arguments, default=str))

    def wait(self, pid: int) -> int:
        return self._ask(f"wait {pid}")

    def _ask(self, line: str) -> int:
        print(line, file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


class Campaign:
    """One search that is killed again and again, and what was seen of it.

    Args:
        folder: For its project and its log.
        url: Of a database; None for the folder.
        counts: What is counted.
    """

    def __init__(self, folder: Path, counts: Counter[str], url: str | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.url, self.counts = folder, url, counts
        self.log = folder / "log"
        self.log.touch()
        self.finished: dict[int, Trial] = {}
        self._seen_lines = 0

    def lines(self) -> list[list[str]]:
        return [line.split() for line in self.log.read_text().splitlines()]

    def wait_for(self, begun: int, workers: Sequence[int] = ()) -> bool:
        """Waits until so many trials more have begun; False if that never comes.

        Args:
            begun: How many.
            workers: Processes; if all of them have ended, it never comes.
        """
        until = time.monotonic() + _PATIENCE
        seen = len(self.lines())
        while time.monotonic() < until:
            new = self.lines()[seen:]
            if sum(line[0] == "begun" for line in new) >= begun:
                return True
            if workers and all(map(has_ended, workers)):
                return False
            time.sleep(0.005)
        return False

    def check(self) -> list[Trial]:
        """Opens the project as the next start would, and compares it with all that was seen."""
        counts, lines = self.counts, self.lines()  # read first: other workers go on
        try:
            trials = open_store(self.url or self.folder / "p", project="p").trials()
        except AfinaError as error:
            counts["unopenable"] += 1
            print(error, flush=True)
            return []
        counts["opened"] += 1
        seen = len(self.lines())  # what begins from now on has not finished yet
        there = {trial.number: trial for trial in trials}
        for number, before in self.finished.items():
            if there.get(number) != before:
                counts["lost"] += 1
                print("lost or changed:", before, there.get(number), flush=True)
        for word, number, *score in lines:
            trial = there.get(int(number))
            if word == "ended" and (trial is None or str(trial.score) != score[0]):
                counts["lost"] += 1
                print("acknowledged, not there:", number, score, trial, flush=True)
        for word, number, *_ in lines[self._seen_lines :]:
            if word == "begun" and int(number) in self.finished:
                counts["doubled"] += 1
                print("finished before, begun again:", number, flush=True)
        self._seen_lines = seen
        ends = Counter(line[1] for line in lines if line[0] == "ended")
        counts["doubled"] += sum(count - 1 for count in ends.values())
        places = [trial.ended for trial in trials if trial.ended is not None]
        if sorted(places) != list(range(len(places))):
            counts["out of order"] += 1
        self.finished = {t.number: t for t in trials if t.status.finished}
        return trials

    def is_over(self, trials: list[Trial]) -> bool:
        return bool(trials) and all(trial.status.finished for trial in trials)

    def end(self) -> None:
        """Counts the trials of the search once it has ended by itself."""
        trials = self.check()
        self.counts["searches"] += 1
        self.counts["trials"] += len(trials)
        self.counts["given up"] += sum(trial.status is Status.FAILED for trial in trials)
        if [trial.number for trial in trials] != list(range(len(trials))):
            self.counts["lost"] += 1


def killed(
    nursery: Nursery,
    campaign: Campaign,
    rng: random.Random,
    *,
    kills: int,
    processes: int = 1,
    machines: int = 1,
    after: float = 0.05,
    **arguments: object,
) -> int:
    """Starts a search, kills it at random, and so on, until it ends by itself.

    Args:
        nursery: Forks the searches.
        campaign: Its project.
        rng: Chooses the moments.
        kills: At most so many.
        processes: How many search at once, of which one is killed at a time.
        machines: How many machines they pretend to be on.
        after: Seconds, at most, between the beginning of a trial and the kill.
        arguments: Of `searches.search`.

    Returns:
        How many kills hit a search that ran.
    """
    given = {"folder": campaign.folder, "log": campaign.log, "url": campaign.url, **arguments}

    def start(number: int) -> int:
        machine = f"machine{number % machines}" if machines > 1 else ""
        return nursery.start(**given, machine=machine)

    running = [start(number) for number in range(processes)]
    hits, started = 0, processes
    while hits < kills:
        if not campaign.wait_for(rng.randint(1, 6), running):
            break  # it is over
        time.sleep(rng.uniform(0.0, after))
        victim = running.pop(rng.randrange(len(running)))
        os.kill(victim, signal.SIGKILL)
        was_killed = nursery.wait(victim) == -signal.SIGKILL
        hits += was_killed
        campaign.counts["kills"] += was_killed
        campaign.check()
        running.append(start(started))
        started += 1
    for process in running:
        if nursery.wait(process) != 0:
            campaign.counts["ended in an error"] += 1
    campaign.end()
    return hits
