"""Exceptions on their way from one process to another."""

from __future__ import annotations

import threading

import pytest
from tests.broken_errors import BROKEN, RaisingText, noted

from afina.errors import FatalError, FatalValueError, RemoteError
from afina.run import worker
from afina.run.parcels import LARGEST_ERROR, pack_error, unpack_error
from afina.trials import failure_of
from afina.trials.failures import LONGEST


@pytest.mark.parametrize("name", BROKEN)
def test_any_exception_arrives_as_one_that_can_be_raised(name: str) -> None:
    body = pack_error(BROKEN[name]())
    assert len(body) < LARGEST_ERROR + 10 * LONGEST
    error = unpack_error(body)
    assert isinstance(error, BaseException)
    assert failure_of(error).message


@pytest.mark.parametrize(
    "name",
    ["raised from itself", "__str__ raises", "__reduce__ exits", "notes that are no list", "50 MB"],
)
def test_a_call_ends_with_any_exception_that_its_function_raises(pool, name: str) -> None:
    def run() -> None:
        raise BROKEN[name]()

    with pytest.raises(Exception) as caught:  # noqa: PT011
        pool.call(0, run)
    assert failure_of(caught.value).message
    assert pool.call(0, divmod, 7, 2) == (3, 1), "the process lives on"


def test_what_a_parent_raises_reaches_the_child_whatever_it_is(pool) -> None:
    def ask() -> str:
        try:
            worker.remote("anything")
        except Exception as error:
            return type(error).__name__
        return "nothing"

    def serve(name: str) -> None:
        raise RaisingText

    assert pool.call(0, ask, serve=serve) == "RaisingText"


class StopError(FatalValueError):
    """It cannot travel, as it holds a lock."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


def test_an_error_of_afina_that_cannot_travel_stays_the_kind_that_it_is() -> None:
    error = unpack_error(pack_error(StopError("all of it")))
    assert type(error) is FatalValueError
    assert isinstance(error, FatalError)
    assert "StopError: all of it" in str(error)
    other = unpack_error(pack_error(noted(threading.Lock())))
    assert type(other) is RemoteError
