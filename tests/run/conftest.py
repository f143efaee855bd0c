import pytest

from afina.run import WorkerProcesses


@pytest.fixture(scope="module")
def pool():
    with WorkerProcesses(2) as processes:
        yield processes
