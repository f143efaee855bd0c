"""The order of batches: Keras' own, whichever way Keras draws it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from afina.training import keras_parts
from afina.training.keras_parts import Batches

X, Y = np.zeros((11, 2), "float32"), np.zeros(11, "float32")


def batches(shuffle: Any) -> Batches:
    return Batches(X, Y, None, batch_size=4, shuffle=shuffle)


@pytest.mark.parametrize("shuffle", [True, "batch", False])
def test_each_epoch_has_the_order_in_which_keras_would_take_the_rows(shuffle: Any) -> None:
    np.random.seed(1)
    own = batches(shuffle)
    found = [own.order().tolist() for _ in range(3)]
    after = np.random.rand()
    np.random.seed(1)
    rows = keras_parts._iterator_of_rows(11, 4, shuffle)
    expected = [keras_parts._next_rows(rows).tolist() for _ in range(3)]
    assert found == expected
    assert np.random.rand() == after


@pytest.fixture
def other_keras(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Keras that turns the rows round in every second epoch, and draws nothing."""

    class Other(keras_parts._parts["EpochIterator"]):  # type: ignore[misc]
        epoch = 0

        def _get_iterator(self) -> Iterator[Any]:
            turned = -1 if self.epoch // 2 % 2 else 1  # called twice an epoch
            self.epoch += 1
            part = self.data_adapter._inputs
            rows = np.asarray(part[0] if isinstance(part, list | tuple) else part)[::turned]
            return iter([(rows[start : start + 4],) for start in range(0, len(rows), 4)])

    monkeypatch.setitem(keras_parts._parts, "EpochIterator", Other)
    keras_parts._shuffles_by_numpy.cache_clear()
    yield
    keras_parts._shuffles_by_numpy.cache_clear()


def test_a_keras_that_draws_in_its_own_way_is_asked_for_each_order(other_keras: None) -> None:
    own, forwards = batches(True), list(range(11))
    stream = np.random.get_state()[1]
    orders = [own.order().tolist() for _ in range(3)]
    assert {tuple(order) for order in orders} == {tuple(forwards), tuple(forwards[::-1])}
    assert (np.random.get_state()[1] == stream).all()


def test_looking_how_keras_draws_leaves_the_random_stream_alone() -> None:
    np.random.seed(2)
    expected = np.random.rand()
    np.random.seed(2)
    keras_parts._shuffles_by_numpy.cache_clear()
    keras_parts._shuffles_by_numpy()
    assert np.random.rand() == expected
