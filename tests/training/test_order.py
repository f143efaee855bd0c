"""The order of batches: Keras' own, whichever way Keras draws it."""

from __future__ import annotations

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
    expected = []
    adapter = keras_parts._adapter_of_rows(11, 4, shuffle)
    for _ in range(3):
        expected.append(keras_parts._rows_of(adapter).tolist())
        adapter.on_epoch_end()
    assert found == expected
    assert np.random.rand() == after


def test_a_keras_that_draws_in_its_own_way_is_asked_for_each_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = keras_parts._parts["ArrayDataAdapter"]

    class Other(known):  # type: ignore[misc, valid-type]
        """Turns the rows round in every second epoch."""

        epoch = 0

        def get_numpy_iterator(self) -> Any:
            rows = self._inputs[0] if isinstance(self._inputs, tuple | list) else self._inputs
            rows = np.ravel(np.asarray(rows))
            yield (rows[::-1] if self.epoch % 2 else rows,)

        def on_epoch_end(self) -> None:
            self.epoch += 1

    monkeypatch.setitem(keras_parts._parts, "ArrayDataAdapter", Other)
    keras_parts._shuffles_by_numpy.cache_clear()
    try:
        assert not keras_parts._shuffles_by_numpy()
        adapter = keras_parts._adapter_of_rows(11, 4, True)
        own = object.__new__(Batches)
        own.size, own.batch_size, own.shuffle, own._rows = 11, 4, True, adapter
        forwards = list(range(11))
        assert [own.order().tolist() for _ in range(3)] == [forwards, forwards[::-1], forwards]
    finally:
        keras_parts._shuffles_by_numpy.cache_clear()


def test_looking_how_keras_draws_leaves_the_random_stream_alone() -> None:
    np.random.seed(2)
    expected = np.random.rand()
    np.random.seed(2)
    keras_parts._shuffles_by_numpy.cache_clear()
    keras_parts._shuffles_by_numpy()
    assert np.random.rand() == expected
