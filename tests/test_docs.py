"""The Python of the pages runs as it is printed, on small stand-ins for the reader's own things."""

import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import afina
from afina.search import Random
from afina.space import Float, Space
from afina.testing.toys import run

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

FEWER = {r"max_trials=\d+": "max_trials=2", r"max_epochs=\d+": "max_epochs=2"}
"""A page's search, made short."""


class Build(afina.HyperModel):
    """The reader's build: one number decides everything, and nothing is trained."""

    def build(self, hp: Any) -> Any:
        hp.Float("rate", 1e-4, 1e-1, sampling="log")
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        return {"val_accuracy": float(hp.get("rate")), "parameters": 10.0}


def things() -> dict[str, Any]:
    """What the pages take for granted."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 4)).astype("float32"), rng.integers(0, 2, 60)
    space = Space((Float("rate", 1e-4, 1e-1, sampling="log"),))
    model = Build().build(afina.HyperParameters())
    return {
        "afina": afina,
        "kt": afina,
        "build": Build(),
        "space": space,
        "trials": list(run(Random(0), lambda values: float(values["rate"]), space, 12).trials),
        "model": model,
        "hp": afina.HyperParameters(),
        "x": x,
        "y": y,
        "x_train": x,
        "y_train": y,
        "x_test": x,
        "y_test": y,
        "x_val": x,
        "y_val": y,
        "train": lambda values: (values["rate"], float(values["units"])),
        "resume": lambda parent: parent,
        "create": lambda values: values,
        "train_one_epoch": lambda model: 0.5,
        "keep": lambda number, model: None,
    }


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)


# These two train real models with the data of the case studies; the others train next to nothing.
TOO_LONG = {"spaces.md": 1, "winner.md": 3}
"""Page to how many of its first blocks are only compiled."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_of_a_page_runs_as_printed(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    known = things()
    if page.name == "README.md":  # its own build is for pictures of ten kinds
        rng = np.random.default_rng(0)
        known.update(x=rng.normal(size=(40, 3, 3)), y=rng.integers(0, 10, 40))
    for place, block in enumerate(blocks(page)):
        for pattern, short in FEWER.items():
            block = re.sub(pattern, short, block)
        code = compile(block, f"{page.name}, block {place + 1}", "exec")
        if place >= TOO_LONG.get(page.name, 0):
            exec(code, known)


def test_every_path_and_name_in_the_architecture_page_exists() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    package = ROOT / "src" / "afina"
    paths = set(re.findall(r"[\w/]+\.py", page))
    assert len(paths) > 30
    assert not sorted(p for p in paths if not any((at / p).is_file() for at in (ROOT, package)))
    named = re.findall(r"`(?:\w+\.)?(\w+)`\s\(`([\w/]+\.py)`", page)
    assert len(named) > 10
    for name, path in named:
        text = (package / path).read_text(encoding="utf-8")
        assert re.search(rf"(class|def) {name}\b", text), f"{path} has no {name}"
