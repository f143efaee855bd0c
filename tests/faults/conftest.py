"""What kills and loads need: processes that fork searches, and a database server."""

from collections.abc import Iterator

import pytest

from tests.faults.campaign import Nursery
from tests.postgres import Server, running_server


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as server:
        yield server
