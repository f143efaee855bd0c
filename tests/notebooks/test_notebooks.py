"""The case studies as notebooks, in English and Spanish: the same code, run from top to bottom.

They are run in a kernel of their own where nbclient is installed: `make test-services
SERVICES="--only integrations"`.
"""

import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def cells_of(path, kind):
    book = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in book["cells"] if cell["cell_type"] == kind]


def text_of(cell):
    return "".join(cell["source"])


def test_each_case_study_is_there_in_both_languages():
    names = {path.name for path in NOTEBOOKS}
    assert names == {
        f"{case}.{language}.ipynb"
        for case in ("reuters", "fashion_mnist")
        for language in ("en", "es")
    }


@pytest.mark.parametrize("case", ["reuters", "fashion_mnist"])
def test_both_languages_have_the_same_code_and_other_words(case):
    english, spanish = (FOLDER / f"{case}.{language}.ipynb" for language in ("en", "es"))
    code = [[text_of(cell) for cell in cells_of(path, "code")] for path in (english, spanish)]
    words = [[text_of(cell) for cell in cells_of(path, "markdown")] for path in (english, spanish)]
    assert code[0] == code[1]
    assert len(words[0]) == len(words[1])
    assert all(a != b for a, b in zip(*words, strict=True))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_no_notebook_carries_outputs(path):
    cells = cells_of(path, "code")
    assert len(cells) > 8
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


@pytest.mark.service
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs_from_top_to_bottom(path, tmp_path, monkeypatch):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("AFINA_NOTEBOOK_QUICK", "1")
    monkeypatch.setenv("MPLBACKEND", "agg")
    book = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        book, timeout=240, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    printed = [
        "".join(output.get("text", "")) for cell in book.cells for output in cell.get("outputs", [])
    ]
    assert any(text.startswith("accuracy 0.") for text in printed)
    assert (tmp_path / "demo-output" / "report.html").is_file()
