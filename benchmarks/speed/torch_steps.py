"""Ways to train a Keras model on PyTorch: processor milliseconds a step, in one thread.

    python benchmarks/speed/torch_steps.py [--jobs dense tabular convolutions recurrent] [--compile]

    fit          model.fit
    recorded     what Afina does: Keras' train_step, traced once into a list of operations
    own loop     Keras' train_step on batches of data that lie on the device, without a DataLoader
    by hand      the model's forward pass, PyTorch's loss and its fused Adam
    PyTorch      the same layers as torch.nn has them, with the same loss and Adam
    compiled     "by hand" with the forward pass and the loss under torch.compile

Each way runs the same number of steps, one after the other, so their ratios count.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import torch
from torch import nn

from afina.training.on_torch.tracing import trace, values_of

layers = keras.layers
ROWS = 3200
RATE, EPSILON = 1e-3, 1e-7


@dataclass(frozen=True)
class Job:
    """One model and its data."""

    layers: Callable[[], list[Any]]
    twin: Callable[[], nn.Module] | None
    """The same layers of PyTorch's own."""

    inputs: tuple[int, ...]
    classes: int
    steps: int
    batch: int = 32
    vocabulary: int | None = None
    """Of inputs that are words."""


def dense() -> list[Any]:
    return [layers.Flatten(), layers.Dense(256, activation="relu")]


def tabular() -> list[Any]:
    block: list[Any] = []
    for _ in range(2):
        block += [layers.Dense(64, activation="relu"), layers.BatchNormalization()]
        block += [layers.Dropout(0.3)]
    return block


def convolutions() -> list[Any]:
    block: list[Any] = []
    for filters in (16, 32):
        block += [layers.Conv2D(filters, 3, activation="relu"), layers.MaxPooling2D()]
    return [*block, layers.Flatten(), layers.Dropout(0.3)]


def recurrent() -> list[Any]:
    return [layers.Embedding(5000, 32), layers.GRU(32)]


class ChannelsFirst(nn.Module):  # type: ignore[misc]
    """Turns pictures into the layout of PyTorch's convolutions."""

    def forward(self, x: Any) -> Any:
        return x.permute(0, 3, 1, 2)


JOBS = {
    "dense": Job(
        dense,
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10)),
        (28, 28),
        10,
        100,
    ),
    "tabular": Job(
        tabular,
        lambda: nn.Sequential(
            *(nn.Linear(30, 64), nn.ReLU(), nn.BatchNorm1d(64), nn.Dropout(0.3)),
            *(nn.Linear(64, 64), nn.ReLU(), nn.BatchNorm1d(64), nn.Dropout(0.3)),
            nn.Linear(64, 3),
        ),
        (30,),
        3,
        100,
    ),
    "convolutions": Job(
        convolutions,
        lambda: nn.Sequential(
            ChannelsFirst(),
            *(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Dropout(0.3), nn.Linear(800, 10)),
        ),
        (28, 28, 1),
        10,
        25,
        64,
    ),
    "recurrent": Job(recurrent, None, (80,), 46, 10, vocabulary=5000),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--compile", action="store_true", help="also torch.compile: a minute each")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.jobs:
        found = measure(JOBS[name], compiled=options.compile)
        print(name, ", ".join(f"{way} {value:.2f}" for way, value in found.items()), flush=True)


def measure(job: Job, *, compiled: bool) -> dict[str, float]:
    """Processor milliseconds a step of each way; of compiling, seconds."""
    rng = np.random.default_rng(0)
    x = rng.random((ROWS, *job.inputs), dtype="float32")
    if job.vocabulary is not None:
        x = rng.integers(0, job.vocabulary, (ROWS, *job.inputs)).astype("int32")
    y = rng.integers(0, job.classes, ROWS)
    model = keras.Sequential([keras.Input(job.inputs), *job.layers(), layers.Dense(job.classes)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(RATE), loss, metrics=["accuracy"])
    found = {"fit": timed(lambda steps: fit(model, x, y, job.batch, steps), job.steps)}
    placed = torch.as_tensor(x), torch.as_tensor(y)
    order = torch.randperm(ROWS)

    def repeated(step: Callable[[Any, Any], Any]) -> Callable[[int], None]:
        def run(steps: int) -> None:
            for index in range(steps):
                rows = order[index * job.batch : (index + 1) * job.batch]
                step(placed[0][rows], placed[1][rows])

        return run

    found["recorded"] = timed(recorded(model, placed, order, job.batch), job.steps)
    found["own loop"] = timed(repeated(lambda a, b: model.train_step((a, b))), job.steps)
    weights = [variable.value for variable in model.trainable_variables]
    by_hand = step_of(lambda a: model(a, training=True), weights)
    found["by hand"] = timed(repeated(by_hand), job.steps)
    if job.twin is not None:
        twin = job.twin()
        found["PyTorch"] = timed(repeated(step_of(twin, twin.parameters())), job.steps)
    if compiled:
        step = step_of(torch.compile(lambda a: model(a, training=True)), weights)
        began = processor_seconds()
        repeated(step)(1)
        found["compiling, s"] = processor_seconds() - began
        found["compiled"] = timed(repeated(step), job.steps)
    return found


def recorded(model: Any, placed: Any, order: Any, batch: int) -> Callable[[int], None]:
    """Runs steps as `afina.training.on_torch` does."""
    few = [[leaf[start : start + batch] for leaf in placed] for start in (0, batch)]
    step = trace(model, "train", (0, 1), few)
    values = [value.detach() for value in values_of(model)]

    def run(steps: int) -> None:
        with torch.inference_mode():
            for index in range(steps):
                rows = order[index * batch : (index + 1) * batch]
                step(*values, *(leaf.index_select(0, rows) for leaf in placed))

    return run


def fit(model: Any, x: Any, y: Any, batch: int, steps: int) -> None:
    rows = batch * steps
    model.fit(x[:rows], y[:rows], batch_size=batch, verbose=0)


def step_of(forward: Callable[[Any], Any], weights: Any) -> Callable[[Any, Any], None]:
    """A train step with PyTorch's own loss and optimizer."""
    adam = torch.optim.Adam(weights, lr=RATE, eps=EPSILON, fused=True)

    def step(x: Any, y: Any) -> None:
        loss = nn.functional.cross_entropy(forward(x), y)
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()

    return step


def timed(run: Callable[[int], None], steps: int) -> float:
    """Processor milliseconds a step."""
    run(3)
    began = processor_seconds()
    run(steps)
    return (processor_seconds() - began) / steps * 1e3


def processor_seconds() -> float:
    """Of this process and of those that it has started."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


if __name__ == "__main__":
    main()
