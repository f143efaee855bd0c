"""The Python of the pages runs as it is printed, on small stand-ins for the reader's own things."""

import ast
import json
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import keras
import numpy as np
import pytest

import afina
from afina.search import Random
from afina.space import Float, Space
from afina.testing.toys import run

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
SPANISH = sorted((DOCS / "es").glob("*.md"))

FEWER = {
    r"\bmax_trials=\d+": "max_trials=2",
    r"\b(max_)?epochs=\d+": r"\g<1>epochs=2",
    r"\bmax_total_epochs=\d+": "max_total_epochs=6",
}
"""A page's search, made short."""


class Build(afina.HyperModel):
    """The reader's build: one number decides everything, and nothing is trained."""

    def build(self, hp: Any) -> Any:
        hp.Float("rate", 1e-4, 1e-1, sampling="log")
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    def __call__(self, hp: Any) -> Any:
        return self.build(hp)

    unvalidated: bool = False
    """Whether a page has searched for a validation accuracy without validation data."""

    def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        given = kwargs.get("validation_data"), kwargs.get("validation_split")
        Build.unvalidated |= all(each is None for each in given)
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


# Two train real models with the data of the case studies; one needs packages that are in
# `tests/integrations`. The others train next to nothing.
TOO_LONG = {"spaces.md": 1, "winner.md": 3, "integrations.md": 5}
"""Page to how many of its first blocks are only compiled."""


def few_pictures() -> Any:
    """A hundredth of Fashion-MNIST's size, and nothing in it."""
    rng = np.random.default_rng(0)
    return tuple(
        (rng.integers(0, 256, (count, 28, 28)).astype("uint8"), rng.integers(0, 10, count))
        for count in (60, 40)
    )


def few_newswires(num_words: int) -> Any:
    """As many newswires as the exercise keeps for validation, and a few more."""
    rng = np.random.default_rng(0)

    def some(count: int) -> Any:
        texts = np.empty(count, dtype=object)
        texts[:] = [rng.integers(0, num_words, 5).tolist() for _ in range(count)]
        return texts, rng.integers(0, 46, count)

    return some(1040), some(40)


@pytest.fixture
def small_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exercises' data without the download."""
    monkeypatch.setattr(keras.datasets.fashion_mnist, "load_data", few_pictures)
    monkeypatch.setattr(keras.datasets.reuters, "load_data", few_newswires)
    monkeypatch.setenv("MPLBACKEND", "Agg")


SEARCHES = {"exercises.md", "first-search.md"}
"""Pages that search with real models and their data, which takes long."""


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.service] if page.name in SEARCHES else [])
        for page in PAGES
    ],
    ids=lambda page: page.name,
)
def test_the_python_of_a_page_runs_as_printed(page, tmp_path, monkeypatch, capsys, small_data):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Build, "unvalidated", False)
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
    assert not Build.unvalidated, "a real model has no val_accuracy here"


class WithoutWords(ast.NodeTransformer):
    """Takes the words for people out of a program: what is printed and what labels an axis."""

    FOR_PEOPLE = ("print", "set", "set_title", "set_xlabel", "set_ylabel")

    def visit_Call(self, node: ast.Call) -> ast.AST:
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        self.generic_visit(node)
        if name in self.FOR_PEOPLE:
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    part.value = ""
        return node


def program(block: str) -> str:
    return ast.dump(WithoutWords().visit(ast.parse(block)))


@pytest.mark.parametrize("page", SPANISH, ids=lambda page: page.name)
def test_a_spanish_page_has_the_programs_of_its_english_counterpart(page: Path) -> None:
    """So what runs on one page runs on the other."""
    english = DOCS / page.name
    assert english.is_file()
    assert [program(block) for block in blocks(page)] == [
        program(block) for block in blocks(english)
    ]


# -- links and pictures --------------------------------------------------------------------------

TEXTS = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")


def outside_of_code(page: Path) -> str:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", "code", text)


def anchors(page: Path) -> set[str]:
    """What a link can lead to: each heading in lower case, with hyphens."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    titles = re.findall(r"^#+ +(.+?) *$", text, re.M)
    plain = [re.sub(r"[^\w\s-]", "", title.lower()).strip() for title in titles]
    return {re.sub(r"\s", "-", title) for title in plain}


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_and_picture_of_a_page_is_there(page: Path) -> None:
    dead = []
    for target in LINK.findall(outside_of_code(page)):
        if re.match(r"[a-z]+:", target):
            continue
        place, _, anchor = unquote(target).partition("#")
        found = (page.parent / place).resolve() if place else page
        if not found.exists() or (anchor and anchor not in anchors(found)):
            dead.append(target)
    assert not dead


def test_every_picture_of_the_docs_is_shown_somewhere() -> None:
    shown = "".join(page.read_text(encoding="utf-8") for page in TEXTS)
    pictures = [file.name for file in (DOCS / "images").rglob("*.*")]
    assert pictures
    assert not [name for name in pictures if name not in shown]


def test_the_picture_of_the_terminal_is_what_was_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "learn"))
    import terminal

    sys.modules.pop("terminal")
    session = json.loads(terminal.SESSION.read_text(encoding="utf-8"))
    drawn = terminal.drawn(session)
    assert terminal.PICTURE.read_text(encoding="utf-8") == drawn, f"run {terminal.__file__}"
    assert "http" not in drawn.replace("http://www.w3.org/2000/svg", "")
    assert len(session["search"]) > 5
    hidden = drawn.count('visibility="hidden"')
    assert hidden == drawn.count('<g class="f') - 1, "one screen is seen where nothing moves"
    assert "prefers-reduced-motion" in drawn


# -- tables that are measured --------------------------------------------------------------------


def test_the_tables_of_the_pages_are_those_that_were_measured(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "learn"))
    import draw

    sys.modules.pop("draw")
    found = json.loads(draw.RESULTS.read_text(encoding="utf-8"))
    marked = 0
    for page in DOCS.rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        marked += len(draw.MARK.findall(text))
        assert draw.with_tables(text, found) == text, f"run {draw.__file__}: {page.name} differs"
    assert marked > 5


# -- the page on the architecture ----------------------------------------------------------------


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


def test_every_test_that_the_docs_name_exists() -> None:
    page = (DOCS / "promises.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page)
    assert len(named) > 10
    for path, name in named:
        text = (ROOT / path).read_text(encoding="utf-8")
        assert f"def {name}(" in text, f"{path} has no {name}"


def test_the_notebooks_are_those_of_the_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "website"))
    import notebooks

    sys.modules.pop("notebooks")
    for page, notebook in notebooks.NOTEBOOKS.items():
        written = notebook.read_text(encoding="utf-8")
        assert written == notebooks.text_of(page, notebook), "run python website/notebooks.py"
        code = [
            "".join(cell["source"]) + "\n"
            for cell in json.loads(written)["cells"]
            if cell["cell_type"] == "code"
        ]
        assert code == blocks(page)
