from __future__ import annotations

import random

import keras
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from afina.training import fresh_session, release, seeded, trial_seed
from afina.training.session import SEEDS, read_globals

from .conftest import Data, MakeModel


def test_the_callers_random_streams_go_on_as_if_nothing_had_been_trained() -> None:
    keras.utils.set_random_seed(5)
    expected = random.random(), np.random.rand(), keras.random.uniform((2,)).tolist()

    keras.utils.set_random_seed(5)
    with seeded(77):
        fresh_session()
        random.random(), np.random.rand(), keras.random.uniform((3,))
    assert (random.random(), np.random.rand(), keras.random.uniform((2,)).tolist()) == expected
    assert read_globals(SEEDS)["global_random_seed"] == 5


def test_the_streams_are_put_back_when_the_training_raises() -> None:
    random.seed(1)
    expected = random.getstate()
    try:
        with seeded(2):
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert random.getstate() == expected


def test_the_same_seed_gives_the_same_training_to_the_bit(
    data: Data, make_model: MakeModel
) -> None:
    def train(seed: int) -> tuple[list[float], list[object]]:
        fresh_session()
        with seeded(seed):
            model = make_model()
            losses = model.fit(*data, epochs=2, verbose=0).history["loss"]
        return losses, [weight.tolist() for weight in model.get_weights()]

    first = train(11)
    np.random.rand(3)
    assert train(11) == first
    assert train(12) != first


def test_no_seed_leaves_the_streams_to_the_training() -> None:
    np.random.seed(1)
    before = np.random.get_state()[2]
    with seeded(None):
        np.random.rand()
    assert np.random.get_state()[2] != before


@given(st.integers(0, 2**63), st.integers(0, 10**6), st.integers(0, 100))
def test_a_trials_seed_is_fixed_and_one_that_keras_takes(seed: int, trial: int, part: int) -> None:
    value = trial_seed(seed, trial, part)
    assert value == trial_seed(seed, trial, part)
    assert 0 <= value < 2**32


def test_trials_and_executions_have_different_seeds() -> None:
    seeds = {trial_seed(0, number, execution) for number in range(100) for execution in range(5)}
    assert len(seeds) == 500


def test_what_the_user_set_in_keras_survives_a_fresh_session() -> None:
    interactive = keras.config.is_interactive_logging_enabled()
    keras.config.set_dtype_policy("mixed_bfloat16")
    keras.config.disable_interactive_logging()
    try:
        with keras.saving.custom_object_scope({"twice": lambda x: 2 * x}):
            fresh_session()
            release()
            assert keras.config.dtype_policy().name == "mixed_bfloat16"
            assert not keras.config.is_interactive_logging_enabled()
            assert keras.saving.get_registered_object("twice")(2) == 4
    finally:
        keras.config.set_dtype_policy("float32")
        if interactive:
            keras.config.enable_interactive_logging()


def test_a_fresh_session_counts_layer_names_from_the_start() -> None:
    fresh_session()
    first = keras.layers.Dense(1).name
    assert keras.layers.Dense(1).name != first
    fresh_session()
    assert keras.layers.Dense(1).name == first
