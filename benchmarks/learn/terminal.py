"""Draws the picture of the README: a terminal in which a real search is looked at.

    AFINA_DATA=... python benchmarks/learn/terminal.py

The search is Hyperband on 2,000 pictures of Fashion-MNIST, with seed 0. What the picture shows is
what the commands print about it.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import afina as kt  # before Keras, so that it can choose an installed backend
import keras
from afina.cli import main as afina
from afina.demos import load_fashion_mnist
from click.testing import CliRunner
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "images" / "terminal.svg"
COMMANDS = ("advice clothes",)
WIDTH = 110


def build(hp: Any) -> Any:
    layers = [keras.Input((784,))]
    for _ in range(hp.Int("layers", 1, 3)):
        layers.append(keras.layers.Dense(hp.Int("units", 32, 512, step=32), activation="relu"))
    model = keras.Sequential([*layers, keras.layers.Dense(10, activation="softmax")])
    rate = hp.Float("learning_rate", 1e-5, 1e-1, sampling="log")
    model.compile(
        keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


def main() -> None:
    data = load_fashion_mnist()
    x, y = data.x_train.reshape(-1, 784)[:4000], data.y_train[:4000]
    console = Console(record=True, width=WIDTH, file=open(os.devnull, "w"))  # noqa: SIM115
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        tuner = kt.Hyperband(
            build, "val_accuracy", max_epochs=10, seed=0, directory=".", project_name="clothes"
        )
        tuner.search(x, y, validation_split=0.5, verbose=0)
        for command in COMMANDS:
            console.print(Text("$ ", "bold green") + Text(f"afina {command}", "bold"))
            told = CliRunner().invoke(afina, command.split(), env={"COLUMNS": str(WIDTH)})
            console.print(Text(told.output))
        os.chdir(Path(__file__).parent)
    PICTURE.write_text(
        console.export_svg(title="afina", theme=MONOKAI, unique_id="afina"), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
