import json
from pathlib import Path

import keras
import numpy as np
import pytest

from afina.demos.case import Options, search
from afina.demos.fashion_mnist import fashion_mnist_case, run_fashion_mnist
from afina.demos.reuters import reuters_case, run_reuters
from afina.errors import ArgumentError

from .conftest import write_newswires

LEFT = ("result.json", "curves.png", "confusion.png", "classes.csv", "model.keras")


def test_a_tiny_reuters_study_runs_from_data_to_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_newswires(tmp_path / "data")
    monkeypatch.setenv("AFINA_DATA", str(tmp_path / "data"))
    output = tmp_path / "out"
    result = run_reuters(Options(output=output, max_epochs=2))

    # Two topics that one word tells apart: anything below is a broken course, not bad luck.
    assert result["test_accuracy"] > 0.9
    assert set(result["best_values"]) == {"hp_layers", "hp_units", "learning_rate"}
    assert result["epochs_trained"] >= result["trials"] > 1
    assert 1 <= result["final_epochs"] <= 4
    assert json.loads((output / "result.json").read_text()) == result
    assert all((output / name).stat().st_size > 0 for name in LEFT)
    model = keras.saving.load_model(output / "model.keras")
    assert model.output_shape == (None, 46)
    shown = capsys.readouterr()
    assert all(str(output / name) in shown.out for name in LEFT)
    assert "STAND-IN" not in shown.err


def test_a_finished_search_is_not_run_again(tmp_path: Path) -> None:
    from afina.demos import load_fashion_mnist

    case = fashion_mnist_case(load_fashion_mnist(sources=("stand-in",)), limit=100)
    options = Options(output=tmp_path, max_epochs=1, quiet=True)
    first = search(case, options)
    [best] = first.get_best_hyperparameters(1)
    again = search(case, options)
    assert again.get_best_hyperparameters(1)[0].values == best.values
    assert len(again.oracle.trials) == len(first.oracle.trials)


@pytest.mark.usefixtures("nothing_at_hand")
def test_a_study_on_stand_in_data_says_so_loudly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = Options(
        output=tmp_path, max_epochs=1, limit=200, quiet=True, sources=("folder", "stand-in")
    )
    result = run_fashion_mnist(options)
    assert result["stand_in"]
    assert set(result["best_values"]) == {"units", "learning_rate"}
    shown = capsys.readouterr()
    assert "STAND-IN DATA" in shown.err
    assert "stand-in data" in shown.out
    assert len(shown.out.splitlines()) < 15


def test_choosing_and_testing_share_no_newswire(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from afina.demos import load_reuters

    write_newswires(tmp_path)
    monkeypatch.setenv("AFINA_DATA", str(tmp_path))
    news = load_reuters(sources=("folder",))
    case = reuters_case(news)
    assert (len(case.validation[0]), len(case.test[0])) == (40, 40)
    counted = case.validation[1].sum(axis=0) + case.test[1].sum(axis=0)
    np.testing.assert_array_equal(counted, np.bincount(news.y_test, minlength=46))


def test_the_last_fifth_of_the_training_pictures_chooses() -> None:
    from afina.demos import load_fashion_mnist

    pictures = load_fashion_mnist(sources=("stand-in",))
    case = fashion_mnist_case(pictures, limit=100)
    np.testing.assert_array_equal(case.train[0], pictures.x_train[:80])
    np.testing.assert_array_equal(case.validation[0], pictures.x_train[80:100])


@pytest.mark.parametrize("wrong", [{"max_epochs": 0}, {"limit": 3}])
def test_options_out_of_range_are_refused(wrong: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="must be at least"):
        Options(output=tmp_path, **wrong)
