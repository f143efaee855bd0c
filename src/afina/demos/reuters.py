"""Case study: which of 46 topics a newswire is about (dense network on its words)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from afina.demos.case import Case, Options, run_case
from afina.demos.data import Newswires, load_reuters, multi_hot, one_hot, thinned

WORDS = 10_000
"""The number of most frequent words; each is an input of the network."""

SHOWN = 5
"""How many newswires are shown with their predicted topic."""


def run_reuters(options: Options) -> dict[str, Any]:
    """Runs the case study on the newswires; see `afina.demos.case.run_case`."""
    news = load_reuters(WORDS, options.sources)
    if options.limit is not None:
        news = thinned(news, options.limit)
    return run_case(reuters_case(news), options)


def reuters_case(news: Newswires) -> Case:
    """The case study: half of Keras's test data are for validation, the other half for testing."""
    topics = len(news.topics)
    order = np.random.default_rng(0).permutation(len(news.x_test))
    chooses, tests = np.array_split(order, 2)

    def part(places: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        texts = [news.x_test[place] for place in places]
        return multi_hot(texts, WORDS), one_hot(news.y_test[places], topics)

    def show(console: Console, predicted: NDArray[np.int64]) -> None:
        for place, topic in zip(tests[:SHOWN], predicted, strict=False):
            true, guess = news.topics[news.y_test[place]], news.topics[topic]
            verdict = "[green]right[/]" if true == guess else f"[red]wrong, it is {true}[/]"
            text = news.decode(news.x_test[place][:40])
            console.print(f"[bold]{guess}[/] ({verdict}): {text} ...")

    return Case(
        name="reuters",
        source=news.source,
        stand_in=news.stand_in,
        build=lambda hp: build(hp, topics),
        train=(multi_hot(news.x_train, WORDS), one_hot(news.y_train, topics)),
        validation=part(chooses),
        test=part(tests),
        classes=news.topics,
        batch_size=128,
        show=show,
    )


def build(hp: Any, topics: int) -> Any:
    """The search space: builds one network."""
    import keras

    layers = keras.layers
    model = keras.Sequential([keras.Input((WORDS,)), layers.Dense(128, activation="relu")])
    units = hp.Int("hp_units", 32, 512, step=32)
    for _ in range(hp.Int("hp_layers", 1, 5)):
        model.add(layers.Dense(units, activation="relu"))
    model.add(layers.Dense(topics, activation="softmax"))
    rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log")
    model.compile(keras.optimizers.Adam(rate), "categorical_crossentropy", metrics=["accuracy"])
    return model
