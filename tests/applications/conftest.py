"""Networks that are made quickly: their weights come from NumPy, and nothing gets compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import keras
import numpy as np
import pytest

from afina.space import HyperParameters

Build = Callable[..., tuple[Any, HyperParameters]]
"""(hypermodel, **values) to the model and what it was built from."""


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> Build:
    rng = np.random.default_rng(0)
    fills: dict[type, Callable[[Any], Any]] = {
        keras.initializers.VarianceScaling: lambda shape: rng.normal(0, 0.05, shape),
        keras.initializers.Zeros: np.zeros,
        keras.initializers.Ones: np.ones,
    }
    for kind, fill in fills.items():
        monkeypatch.setattr(
            kind,
            "__call__",
            lambda self, shape, dtype=None, fill=fill, **_: fill(shape).astype("float32"),
        )

    def make(hypermodel: Any, **values: Any) -> tuple[Any, HyperParameters]:
        hp = HyperParameters()
        hp.values.update(values)
        return hypermodel.build(hp), hp

    return make


def traced(model: Any, *, training: bool) -> tuple[int, ...]:
    """The shape that two images come to on JAX, without computing anything."""

    def abstract(shape: Any, dtype: Any = "float32") -> Any:
        return jax.ShapeDtypeStruct(tuple(shape), dtype)

    trained = [abstract(v.shape, v.dtype) for v in model.trainable_variables]
    kept = [abstract(v.shape, v.dtype) for v in model.non_trainable_variables]
    outputs, _ = jax.eval_shape(
        lambda trained, kept, x: model.stateless_call(trained, kept, x, training=training),
        trained,
        kept,
        abstract((2, *model.input_shape[1:])),
    )
    return tuple(outputs.shape)
