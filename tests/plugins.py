"""Executors and a store as somebody else may write them, without touching the package."""

from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

from afina.run import Signal
from afina.store import MemoryStore


class ReversedPairs:
    """Takes two jobs and runs the second first."""

    def run(self, next_job, work):
        answer = None
        while answer is not Signal.STOP:
            taken = []
            while len(taken) < 2 and not isinstance(answer := next_job(), Signal):
                taken.append(answer)
            for job in reversed(taken):
                work(job)


class Pool:
    """The standard library's threads."""

    def run(self, next_job, work):
        with ThreadPoolExecutor(2) as pool:
            running, answer = set(), None
            while answer is not Signal.STOP or running:
                while answer is not Signal.STOP and len(running) < 2:
                    if isinstance(answer := next_job(), Signal):
                        break
                    running.add(pool.submit(work, answer))
                done, running = wait(running, timeout=0.01, return_when=FIRST_COMPLETED)
                for each in done:
                    each.result()


class Counting:
    """A store around another one; counts what is written."""

    def __init__(self, inner=None):
        self._inner = MemoryStore() if inner is None else inner
        self.finished = 0

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._inner, name)

    def finish(self, trial, space=None):
        self._inner.finish(trial, space)
        self.finished += 1


def name_of(value):
    """For the ids of tests: an object's own text may hold an address, which differs by process."""
    return str(value) if isinstance(value, str | None) else type(value).__name__
