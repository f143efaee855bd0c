"""What people give by mistake ends in a sentence that says what to write instead."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import afina as kt
from afina import search
from afina.errors import (
    ArgumentError,
    DataError,
    FatalTypeError,
    FatalValueError,
    SpaceTypeError,
)

X = np.zeros((8, 2), "float32")
Y = np.zeros((8, 1), "float32")


def build(hp: Any) -> Any:
    hp.Int("units", 1, 4)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


# -- hypermodels ----------------------------------------------------------------------------------


class Subclassed(keras.Model):  # type: ignore[misc]
    def call(self, inputs: Any) -> Any:
        return inputs


class Plain:
    def build(self, hp: Any) -> Any:
        return build(hp)


class BuildsModel(kt.HyperModel):  # type: ignore[misc]
    def build_model(self, hp: Any) -> Any:
        return build(hp)


class Misspelt(kt.HyperModel):  # type: ignore[misc]
    def biuld(self, hp: Any) -> Any:
        return build(hp)


class Good(kt.HyperModel):  # type: ignore[misc]
    def build(self, hp: Any) -> Any:
        return build(hp)


class NoHp(kt.HyperModel):  # type: ignore[misc]
    def build(self) -> Any:  # type: ignore[override]
        return None


class FitWithoutHp(Good):
    def fit(self, model: Any) -> Any:  # type: ignore[override]
        return model.fit()


class ArgumentsWithoutHp(Good):
    def fit_arguments(self) -> Any:  # type: ignore[override]
        return {}


def no_parameter() -> Any:
    return None


def two_parameters(hp: Any, units: int) -> Any:
    return None


def keyword_only(*, hp: Any) -> Any:
    return None


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: build(kt.HyperParameters()), "got the Keras model .*def build_model"),
        (lambda: Subclassed(), "got the Keras model .*def build_model"),
        (lambda: keras.layers.Dense(2), "got the Keras layer .*def build_model"),
        (lambda: keras.Sequential, "def build_model"),
        (lambda: Good, r"Give an instance: Good\(\.\.\.\)"),
        (lambda: Plain, "subclass of HyperModel, and give an instance"),
        (lambda: Plain(), r"class Plain\(HyperModel\)"),
        (lambda: BuildsModel(), "Rename build_model to build"),
        (lambda: Misspelt(), "Rename biuld to build"),
        (lambda: kt.HyperModel(), "Make a subclass of it"),
        (lambda: "build_model", "def build_model"),
        (lambda: {"units": 3}, "def build_model"),
    ],
)
def test_what_is_no_hypermodel_is_refused_with_what_to_write(
    tmp_path: Path, make: Callable[[], Any], told: str
) -> None:
    with pytest.raises(FatalValueError, match=told):
        kt.RandomSearch(make(), "val_loss", directory=tmp_path)


def test_a_hypermodel_without_build_is_a_not_implemented_error_too() -> None:
    with pytest.raises(NotImplementedError, match=r"must define build\(self, hp\)"):
        BuildsModel().build(kt.HyperParameters())


@pytest.mark.parametrize(
    ("hypermodel", "told"),
    [
        (no_parameter, r"def no_parameter\(\).* Write def no_parameter\(hp\)"),
        (lambda: None, "must take hp"),
        (two_parameters, r"functools\.partial"),
        (keyword_only, "must take hp"),
        (NoHp(), r"NoHp\.build: .*Write def build\(self, hp\)"),
        (FitWithoutHp(), r"FitWithoutHp\.fit: must take hp and model"),
        (ArgumentsWithoutHp(), r"ArgumentsWithoutHp\.fit_arguments: must take hp"),
    ],
)
def test_a_function_that_cannot_take_hp_is_refused(
    tmp_path: Path, hypermodel: Any, told: str
) -> None:
    with pytest.raises(FatalTypeError, match=told):
        kt.RandomSearch(hypermodel, "val_loss", directory=tmp_path)


class Net(keras.Model):  # type: ignore[misc]
    """A model whose constructor is the build function."""

    def __init__(self, hp: Any) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(hp.Int("units", 1, 4))
        self.compile("sgd", "mse")

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)


@pytest.mark.parametrize(
    "hypermodel",
    [
        build,
        Good(),
        lambda hp: build(hp),
        functools.partial(lambda units, hp: build(hp), 3),
        lambda hp, units=3: build(hp),
        lambda *args, **kwargs: build(*args),
        Plain().build,
        Net,
    ],
)
def test_whatever_takes_hp_and_builds_a_model_is_a_hypermodel(
    tmp_path: Path, hypermodel: Any
) -> None:
    tuner = kt.RandomSearch(hypermodel, "val_loss", directory=tmp_path)
    assert tuner.oracle.hyperparameters.values == {"units": 1}


# -- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([(3, 3), (5, 5)], r'kernels\[hp\.Choice\("a/kernels", list\(range\(2\)\)\)\]'),
        ([[1], [2]], "list.range.2"),
        ([{"rate": 1}, {"rate": 2}], "Choose by index"),
        ([np.zeros(2), np.ones(2)], "Choose by index"),
        ([keras.layers.Dense, keras.layers.Conv2D], "Choose by index"),
        ([Decimal(1)], "Choose by index"),
        ([b"x"], "Choose by index"),
        ([Path("a"), Path("b")], r'Path\(hp\.Choice\("a/kernels", \[.a., .b.\]\)\)'),
        (["relu", 3], "Write them all as text: .*'relu', '3'"),
        ([True, 2], "of one kind"),
        ("relu", r"write \['relu'\]"),
        (3, r"write \[3\]"),
    ],
)
def test_a_choice_among_other_objects_says_how_to_choose_them(values: Any, told: str) -> None:
    hp = kt.HyperParameters()
    with hp.name_scope("a"), pytest.raises(SpaceTypeError, match=told):
        hp.Choice("kernels", values)


def test_a_fixed_object_says_to_use_it_as_it_is() -> None:
    with pytest.raises(SpaceTypeError, match="use the object itself"):
        kt.HyperParameters().Fixed("kernel", (3, 3))


# -- data -----------------------------------------------------------------------------------------


def batches() -> Iterator[Any]:
    yield X, Y


def endless() -> Iterator[Any]:
    while True:
        yield X, Y


@pytest.mark.parametrize(
    "data",
    [
        {"x": lambda: batches()},
        {"x": lambda: iter([(X, Y)])},
        {"x": lambda: zip([X], [Y], strict=True)},
        {"x": lambda: X, "y": lambda: Y, "validation_data": lambda: batches()},
    ],
)
def test_data_that_the_first_trial_uses_up_are_refused(tmp_path: Path, data: Any) -> None:
    tuner = kt.RandomSearch(build, "loss", max_trials=2, directory=tmp_path)
    with pytest.raises(DataError, match=r"PyDataset.*fit_arguments\(hp\).*HyperModel\.fit"):
        tuner.search(**{name: make() for name, make in data.items()}, verbose=0)
    assert not tuner.oracle.trials


def test_an_endless_generator_is_trained_on_where_its_steps_are_given(tmp_path: Path) -> None:
    tuner = kt.RandomSearch(build, "loss", max_trials=2, seed=0, directory=tmp_path)
    tuner.search(endless(), steps_per_epoch=1, epochs=1, shuffle=False, verbose=0)
    assert len(tuner.oracle.get_completed_trials(2)) == 2


def test_a_generator_belongs_to_those_who_train_by_themselves(tmp_path: Path) -> None:
    class Own(Good):
        def fit(self, hp: Any, model: Any, data: Any, **kwargs: Any) -> Any:
            return float(sum(1 for _ in data))

    class Toy(kt.RandomSearch):  # type: ignore[misc]
        def run_trial(self, trial: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
            return float(sum(1 for _ in x))

    for number, tuner_class in enumerate((kt.RandomSearch, Toy)):
        tuner = tuner_class(Own(), max_trials=1, directory=tmp_path / str(number))
        tuner.search(batches(), verbose=0)
        assert tuner.oracle.get_best_trials()[0].score == 1.0


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_a_generator_made_anew_for_each_trial_is_trained_on(tmp_path: Path) -> None:
    class Own(Good):
        def fit_arguments(self, hp: Any) -> Any:
            return {"x": batches()}

    tuner = kt.RandomSearch(Own(), "loss", max_trials=2, seed=0, directory=tmp_path)
    tuner.search(epochs=1, shuffle=False, verbose=0)
    assert len(tuner.oracle.get_completed_trials(2)) == 2


# -- options --------------------------------------------------------------------------------------


def tuner_of(base: Any, tmp_path: Path, **kwargs: Any) -> Any:
    class Toy(base):  # type: ignore[misc]
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
            return 1.0

    return Toy(objective=kt.Objective("score", "min"), directory=tmp_path, **kwargs)


COUNTS = ["max_retries_per_trial", "max_consecutive_failed_trials"]
TUNERS: dict[Any, list[str]] = {
    kt.RandomSearch: [*COUNTS, "executions_per_trial"],
    kt.GridSearch: COUNTS,
    kt.BayesianOptimization: [*COUNTS, "alpha", "beta"],
    kt.Hyperband: [*COUNTS, "max_epochs", "factor"],
    kt.AutoTuner: [*COUNTS, "max_epochs"],
}
OPTIONAL: dict[Any, list[str]] = {
    kt.RandomSearch: ["max_trials", "seed", "max_model_size", "keep_checkpoints"],
    kt.GridSearch: ["max_trials", "seed"],
    kt.BayesianOptimization: ["max_trials", "seed", "num_initial_points"],
    kt.Hyperband: ["seed", "hyperband_iterations"],
    kt.AutoTuner: ["max_trials", "seed", "max_total_epochs", "time_budget"],
}
CHOICES = ["workers", "group_trials", "training", "narrow"]


def name_of(value: Any) -> str:
    """The same in every process: an object's own text holds its address."""
    return "object" if type(value) is object else repr(value)


NO_NUMBERS = ["3", "", True, False, math.nan, -1, [3], {}, object()]


@pytest.mark.parametrize("tuner_class", TUNERS)
@pytest.mark.parametrize("bad", [*NO_NUMBERS, None], ids=name_of)
def test_an_argument_of_a_tuner_that_is_no_number_is_refused_by_name(
    tmp_path: Path, tuner_class: Any, bad: Any
) -> None:
    names = TUNERS[tuner_class] + ([] if bad is None else OPTIONAL[tuner_class])
    for name in names:
        with pytest.raises(ArgumentError, match=f"^{name}: must be"):
            tuner_of(tuner_class, tmp_path, **{name: bad})
    assert not list(tmp_path.iterdir())


ORACLES = [
    (kt.oracles.RandomSearchOracle, ["max_trials"]),
    (kt.oracles.GridSearchOracle, ["max_trials"]),
    (kt.oracles.BayesianOptimizationOracle, ["max_trials", "num_initial_points", "alpha", "beta"]),
    (kt.oracles.HyperbandOracle, ["max_epochs", "factor", "hyperband_iterations"]),
]


@pytest.mark.parametrize(("oracle_class", "names"), ORACLES)
@pytest.mark.parametrize("bad", NO_NUMBERS, ids=name_of)
def test_an_argument_of_an_oracle_that_is_no_number_is_refused_by_name(
    oracle_class: Any, names: list[str], bad: Any
) -> None:
    for name in [*names, *COUNTS, "seed"]:
        with pytest.raises(ArgumentError, match=f"^{name}: must be"):
            oracle_class(**{name: bad})


ALGORITHMS = [
    kind
    for name in search.__all__
    if dataclasses.is_dataclass(kind := getattr(search, name))
    and hasattr(kind, "ask")
    and "inner" not in kind.__dataclass_fields__  # what wraps another has no numbers of its own
]


@pytest.mark.parametrize("kind", ALGORITHMS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("bad", NO_NUMBERS, ids=name_of)
def test_an_argument_of_an_algorithm_that_is_no_number_is_refused_by_name(
    kind: Any, bad: Any
) -> None:
    own = {"sampler", "acquisition", "explore", "stop_when_unlikely", "repeats", "per_second"}
    numbers = [each.name for each in dataclasses.fields(kind) if each.init and each.name not in own]
    required = {"seed": 0, "max_epochs": 9}
    given = {name: value for name, value in required.items() if name in numbers}
    for name in numbers:
        with pytest.raises(ArgumentError, match=f"^{name}: must be"):
            kind(**{**given, name: bad})


@pytest.mark.parametrize(
    "name", ["overwrite", "sparse_inputs", "allow_new_entries", "tune_new_entries"]
)
@pytest.mark.parametrize("bad", ["never", "", "False", 2, 0.5, [True], math.nan], ids=name_of)
def test_a_yes_or_no_that_is_neither_is_refused(tmp_path: Path, name: str, bad: Any) -> None:
    kept = tmp_path / "untitled_project" / "kept.txt"
    kept.parent.mkdir()
    kept.touch()
    with pytest.raises(ArgumentError, match=f"^{name}: must be True or False, but got"):
        tuner_of(kt.RandomSearch, tmp_path, **{name: bad})
    assert kept.exists()


def test_the_other_yes_or_no_arguments_are_checked_too() -> None:
    with pytest.raises(ArgumentError, match=r"^stop_when_unlikely: must be True or False"):
        search.Auto(seed=0, stop_when_unlikely="no")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"^stop_when_unlikely: must be True or False"):
        kt.AutoTuner(build, "loss", stop_when_unlikely="no")
    with pytest.raises(ArgumentError, match=r"^tunable: must be True or False"):
        Good(tunable="no")


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("bad", ["never", "", True, 0, 2.5, math.nan, [1], -1], ids=name_of)
def test_an_option_with_names_and_numbers_refuses_others(
    tmp_path: Path, name: str, bad: Any
) -> None:
    with pytest.raises(ArgumentError, match=f"^{name}: must be"):
        tuner_of(kt.RandomSearch, tmp_path, **{name: bad})


@pytest.mark.parametrize(
    "given",
    [
        {"max_trials": np.int64(3), "seed": np.int32(1), "executions_per_trial": np.uint8(1)},
        {"overwrite": 1, "sparse_inputs": np.bool_(False), "keep_checkpoints": 0},
        {"overwrite": None, "max_model_size": 1e6},
    ],
)
def test_numbers_of_numpy_and_what_keras_tuner_takes_are_taken(tmp_path: Path, given: Any) -> None:
    tuner = tuner_of(kt.RandomSearch, tmp_path, **{"max_trials": 1, **given})
    tuner.search(verbose=0)
    assert tuner.oracle.get_best_trials()[0].score == 1.0


@pytest.mark.parametrize("narrow", [10, "auto"])
def test_narrowing_an_oracle_of_one_s_own_is_refused(tmp_path: Path, narrow: Any) -> None:
    class Own(kt.Oracle):  # type: ignore[misc]
        def populate_space(self, trial_id: str) -> Any:
            return {"status": "STOPPED"}

    with pytest.raises(ArgumentError, match=r"^narrow: must be None with an oracle"):
        kt.Tuner(Own("loss", max_trials=3), build, narrow=narrow, directory=tmp_path)
    oracle = kt.oracles.RandomSearchOracle("loss", max_trials=60)
    assert kt.Tuner(oracle, build, narrow=narrow, directory=tmp_path).oracle.narrow_every


@pytest.mark.parametrize(
    ("oracle", "told"),
    [
        ("random", r"afina\.oracles"),
        (None, r"afina\.oracles"),
        (kt.oracles.RandomSearchOracle, r"Give an instance: RandomSearchOracle\(\.\.\.\)"),
    ],
)
def test_what_is_no_oracle_is_refused(oracle: Any, told: str) -> None:
    for make in (kt.Tuner, kt.engine.base_tuner.BaseTuner, kt.SklearnTuner):
        with pytest.raises(ArgumentError, match=f"^oracle: must be an Oracle, .*{told}"):
            make(oracle, build)


@pytest.mark.parametrize("bad", [3, b"name", ["name"]], ids=repr)
def test_a_project_s_name_is_a_text(tmp_path: Path, bad: Any) -> None:
    with pytest.raises(ArgumentError, match=r"^project_name: must be a text or None"):
        tuner_of(kt.RandomSearch, tmp_path, project_name=bad)


@pytest.mark.parametrize("bad", ["3", 2.5, None, -1, math.nan], ids=repr)
def test_how_many_results_are_asked_for_is_a_number(tmp_path: Path, bad: Any) -> None:
    tuner = tuner_of(kt.RandomSearch, tmp_path, max_trials=1)
    for ask in (
        tuner.get_best_hyperparameters,
        tuner.get_best_models,
        tuner.results_summary,
    ):
        with pytest.raises(ArgumentError, match=r"^num_(trials|models): must be a whole number"):
            ask(bad)


@pytest.mark.parametrize(
    ("args", "kwargs"), [((X,), {}), ((), {"x": X}), ((X, None), {})], ids=["x", "x=", "None"]
)
def test_missing_targets_end_the_search_with_one_sentence(
    tmp_path: Path, args: Any, kwargs: Any
) -> None:
    tuner = kt.RandomSearch(build, "val_loss", max_trials=2, directory=tmp_path)
    told = r"^y: must be given, .* Call search\(x, y, \.\.\.\)\.$"
    with pytest.raises(FatalValueError, match=told):
        tuner.search(*args, **kwargs, validation_split=0.2, verbose=0)


def test_a_model_whose_loss_needs_no_targets_is_searched_without(tmp_path: Path) -> None:
    class Reconstructs(keras.Model):
        def __init__(self, units: int) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(units)
            self.back = keras.layers.Dense(4)

        def call(self, x: Any) -> Any:
            return self.back(self.dense(x))

        def compute_loss(self, x: Any, y: Any, y_pred: Any, *args: Any, **kwargs: Any) -> Any:
            return keras.ops.mean((x - y_pred) ** 2)

    def reconstructs(hp: Any) -> Any:
        model = Reconstructs(hp.Int("units", 1, 3))
        model.compile("sgd", "mse")
        return model

    tuner = kt.RandomSearch(reconstructs, "loss", max_trials=2, directory=tmp_path)
    tuner.search(np.ones((40, 4), "float32"), epochs=1, verbose=0)
    assert {trial.status for trial in tuner.oracle.trials.values()} == {"COMPLETED"}
