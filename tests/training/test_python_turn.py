from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from afina.training import fresh_session
from afina.training.python_turn import PythonTurn, python_turn
from afina.training.session import read_session, write_session


def in_threads(*functions: Callable[[], Any]) -> None:
    """Runs them side by side; raises what one of them raised."""
    errors: list[BaseException] = []

    def run(function: Callable[[], Any]) -> None:
        try:
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(each,)) for each in functions]
    for each in threads:
        each.start()
    for each in threads:
        each.join(20)
        assert not each.is_alive()
    if errors:
        raise errors[0]


def test_one_thread_at_a_time_has_the_turn() -> None:
    turn, here, most = PythonTurn(), [], []

    def act() -> None:
        for _ in range(50):
            with turn.held():
                here.append(1)
                most.append(len(here))
                here.pop()

    in_threads(act, act, act)
    assert set(most) == {1}


def test_a_thread_that_releases_the_turn_lets_others_run_and_has_it_again_afterwards() -> None:
    turn = PythonTurn()
    is_out, was_there = threading.Event(), threading.Event()

    def leave() -> None:
        with turn.held():
            assert turn.is_mine
            with turn.released():
                assert not turn.is_mine
                is_out.set()
                assert was_there.wait(10)
            assert turn.is_mine
        assert not turn.is_mine

    def come() -> None:
        assert is_out.wait(10)
        with turn.held():
            was_there.set()

    in_threads(leave, come)


def test_a_thread_may_take_the_turn_twice_and_release_it_without_having_it() -> None:
    turn = PythonTurn()
    with turn.released():
        assert not turn.is_mine
    with turn.held():
        with turn.held():
            assert turn.is_mine
        assert turn.is_mine
        with turn.released(), turn.held():
            assert turn.is_mine
        assert turn.is_mine
    assert not turn.is_mine


def test_an_error_with_or_without_the_turn_leaves_it_in_order() -> None:
    turn = PythonTurn()
    with pytest.raises(ZeroDivisionError), turn.held():
        raise ZeroDivisionError
    assert not turn.is_mine
    with turn.held():
        with pytest.raises(ZeroDivisionError), turn.released():
            raise ZeroDivisionError
        assert turn.is_mine
    in_threads(lambda: turn.held().__enter__())


def draws() -> tuple[float, float, list[float]]:
    return random.random(), float(np.random.rand()), keras.random.uniform((2,)).tolist()


def test_each_thread_draws_from_streams_of_its_own() -> None:
    expected = []
    for seed in (1, 2):
        fresh_session()
        keras.utils.set_random_seed(seed)
        expected.append([draws() for _ in range(3)])

    drawn: dict[int, list[Any]] = {}
    turns = threading.Barrier(2, timeout=20)

    def draw(seed: int) -> None:
        with python_turn.held():
            keras.utils.set_random_seed(seed)
            drawn[seed] = []
            for _ in range(3):
                drawn[seed].append(draws())
                with python_turn.released():
                    turns.wait()

    in_threads(lambda: draw(1), lambda: draw(2))
    assert [drawn[1], drawn[2]] == expected


def test_settings_and_names_of_keras_outlast_a_session_that_another_thread_clears() -> None:
    cleared, out = threading.Event(), threading.Event()

    def train() -> None:
        with python_turn.held():
            keras.config.set_dtype_policy("mixed_bfloat16")
            keras.utils.set_random_seed(3)
            name = keras.layers.Dense(1).name
            with python_turn.released():
                out.set()
                assert cleared.wait(10)
            assert keras.config.dtype_policy().name == "mixed_bfloat16"
            assert (
                keras.utils.get_random_seed() == 3 if hasattr(keras.utils, "get_random_seed") else 1
            )
            assert keras.layers.Dense(1).name != name

    def clear() -> None:
        assert out.wait(10)
        with python_turn.held():
            keras.utils.clear_session(free_memory=False)
        cleared.set()

    in_threads(train, clear)


def test_a_fresh_session_is_the_calling_threads_own() -> None:
    kept = read_session()
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        first = keras.layers.Dense(1).name
        in_threads(fresh_session)
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
        assert keras.layers.Dense(1).name != first
        fresh_session()
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        write_session(kept)


def test_what_the_user_allowed_to_be_loaded_stays_allowed() -> None:
    kept = read_session()
    try:
        keras.config.enable_unsafe_deserialization()
        fresh_session()
        layer = keras.layers.Lambda(lambda x: 2 * x)
        again = keras.layers.Lambda.from_config(layer.get_config())
        assert again(keras.ops.ones((1,)))[0] == 2
    finally:
        write_session(kept)
