from __future__ import annotations

import threading
import warnings
from pathlib import Path

import keras
import pytest

from afina.training import copy_callbacks


class Counter(keras.callbacks.Callback):  # type: ignore[misc]
    def __init__(self, seen: list[int] | None = None) -> None:
        super().__init__()
        self.seen: list[int] = [] if seen is None else seen


def test_each_training_gets_callbacks_of_its_own() -> None:
    original = Counter()
    copied = copy_callbacks([original])[0]
    copied.seen.append(1)
    assert original.seen == []
    assert isinstance(copied, Counter)


def test_what_two_callbacks_share_their_copies_share_too() -> None:
    shared: list[int] = []
    one, other = copy_callbacks([Counter(shared), Counter(shared)])
    one.seen.append(1)
    assert other.seen == [1]
    assert shared == []


def test_an_open_file_or_lock_is_shared_and_the_rest_copied_with_one_warning(
    tmp_path: Path,
) -> None:
    with (tmp_path / "log.txt").open("w") as file:
        original = Counter()
        original.file, original.lock = file, threading.Lock()
        original.again = original
        with pytest.warns(UserWarning, match="Counter: file, lock cannot be copied") as caught:
            (copied,) = copy_callbacks(original)
        assert len(caught) == 1
        assert copied.file is file
        assert copied.lock is original.lock
        assert copied.again is copied
        copied.seen.append(1)
        assert original.seen == []


class Single(keras.callbacks.Callback):  # type: ignore[misc]
    """There can be one only."""

    def __reduce_ex__(self, protocol: object) -> str:
        raise RuntimeError("there is one of me")


class Watching(Counter):
    """Cannot be copied by its attributes either, and knows another callback."""

    def __init__(self, other: keras.callbacks.Callback) -> None:
        super().__init__()
        self.other = other


def test_a_callback_that_refuses_to_be_copied_is_shared_with_one_warning() -> None:
    original = Single()
    with pytest.warns(UserWarning, match="Single cannot be copied .*one of me.* share") as caught:
        (copied,) = copy_callbacks([original])
    assert copied is original
    assert len(caught) == 1


def test_the_copies_of_others_know_the_shared_callback() -> None:
    single = Single()
    told: list[str] = []
    shared, watching = copy_callbacks([single, Watching(single)], warn=told.append)
    assert shared is watching.other is single
    assert len(told) == 1


def test_keras_own_callbacks_are_copied_silently_in_every_form_that_fit_takes() -> None:
    stop = keras.callbacks.EarlyStopping(patience=3)
    csv = keras.callbacks.CSVLogger("never-opened.csv")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert copy_callbacks(None) == []
        assert copy_callbacks(stop)[0].patience == 3
        assert [type(each) for each in copy_callbacks((stop, [csv]))] == [type(stop), type(csv)]
        in_list = copy_callbacks(keras.callbacks.CallbackList([stop]))
    assert in_list[0] is not stop
    assert in_list[0].patience == 3
