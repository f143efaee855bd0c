"""What a trial's page says of when, where and what was trained."""

import json
import os
import socket
from datetime import UTC, datetime

import keras
import pytest

import afina
from afina.page.detail import detail_of
from afina.page.ran import MOST_FILES, files_of
from afina.page.watch import Watch
from afina.store import MemoryStore, open_store
from afina.study import Study
from afina.training.structure import MOST_LAYERS, structure_of
from afina.trials import Trial
from afina.trials.trial import MODEL, RAN
from tests.tuners import models


def detail(store, number=0):
    watch = Watch(store, "a search")
    watch.refresh()
    return detail_of(watch, number)


def build(hp):
    model = keras.Sequential(  # built by its first batch, as most people write it
        [
            keras.layers.Dense(hp.Int("units", 4, 12, step=4), activation="relu", name="wide"),
            keras.layers.Dropout(0.1),
            keras.layers.Dense(2, activation="softmax", name="out"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.mark.parametrize("training", ["auto", "fit"])
def test_a_trial_of_a_tuner_shows_its_times_its_model_and_its_files(training, tmp_path):
    before = datetime.now(UTC).replace(microsecond=0)
    tuner = afina.RandomSearch(
        build, "val_loss", max_trials=1, seed=0, directory=tmp_path, training=training
    )
    x, y = models.data()
    tuner.search(x, y, epochs=2, validation_split=0.25, verbose=0)
    found = detail(open_store(tuner.project_dir))
    began, ended = (datetime.fromisoformat(found["ran"][key]) for key in ("began", "ended"))
    assert before <= began <= ended <= datetime.now(UTC)
    assert found["ran"]["where"] == f"process {os.getpid()} on {socket.gethostname()}"
    units = dict(found["values"])["units"]
    layers = found["model"]["layers"]
    assert layers[0] == ["wide", "Dense", str(units), 7 * units]
    assert [each[1] for each in layers] == ["Dense", "Dropout", "Dense"]
    assert layers[2] == ["out", "Dense", "2", 2 * units + 2]
    assert found["model"]["parameters"] == found["model"]["trainable"] == 9 * units + 2
    sizes = dict(found["files"]["files"])
    assert any(name.startswith("checkpoint") for name in sizes)
    assert all(size > 0 for size in sizes.values())
    assert not {RAN, MODEL, "seconds"} & {key for key, _ in found["notes"]}


def test_a_study_notes_when_and_where_its_trials_ran():
    study = Study(lambda hp: hp.Int("a", 1, 9), objective=afina.Objective("x", "min"))
    study.tell(study.ask(), 1.0)
    study.tell(study.ask(), failed="no")
    for number in range(2):
        found = detail(study.store, number)
        assert found["ran"]["where"].startswith(f"process {os.getpid()}")
        assert (found["model"], found["files"]) == (None, None)


def test_a_model_that_fails_to_train_is_described_all_the_same(tmp_path):
    class Wrong(afina.HyperModel):
        def build(self, hp):
            return models.build(hp)

        def fit(self, hp, model, *args, **kwargs):
            raise ValueError("out of luck")

    tuner = afina.RandomSearch(Wrong(), "val_loss", max_trials=1, directory=tmp_path)
    with pytest.warns(UserWarning, match="search"):
        tuner.search(*models.data(), epochs=1, validation_split=0.25, verbose=0)
    found = detail(open_store(tuner.project_dir))
    assert "ValueError: out of luck" in found["failure"]["message"]
    assert [each[1] for each in found["model"]["layers"]] == ["Dense", "Dense"]


def test_the_description_of_a_deep_model_stays_small():
    layers = [keras.layers.Dense(3, name=f"a_layer_{number:04d}") for number in range(300)]
    deep = keras.Sequential([keras.Input((3,)), *layers])
    found = structure_of(deep)
    assert (len(found["layers"]), found["more"]) == (MOST_LAYERS, 300 - MOST_LAYERS)
    assert found["parameters"] == 300 * 12
    assert len(json.dumps(found)) < 3000


@pytest.mark.parametrize(
    ("model", "shapes"),
    [
        (lambda: keras.Sequential([keras.layers.Dense(2)]), None),
        (lambda: object(), None),
        (
            lambda: keras.Sequential(
                [
                    keras.Input((8, 8, 1)),
                    keras.layers.Conv2D(4, 3),
                    keras.layers.GlobalMaxPooling2D(),
                ]
            ),
            ["6 x 6 x 4", "4"],
        ),
    ],
)
def test_each_kind_of_model_is_described_or_passed_over(model, shapes):
    found = structure_of(model())
    assert (found and [each[2] for each in found["layers"]]) == shapes


def test_a_model_with_layers_of_several_outputs_is_described():
    inputs = keras.Input((4, 3))
    _, state = keras.layers.GRU(5, return_state=True)(inputs)
    found = structure_of(keras.Model(inputs, state))
    assert [each[1] for each in found["layers"]] == ["InputLayer", "GRU"]


@pytest.mark.parametrize("text", ["", "{}", "[1]", "null", '{"layers": [[1]]}', "<b>"])
def test_notes_of_the_users_own_under_these_names_do_no_harm(text):
    store = MemoryStore()
    study = Study(lambda hp: hp.Int("a", 1, 9), objective=afina.Objective("x", "min"), store=store)
    study.tell(study.ask(), 1.0, notes={MODEL: text, RAN: text})
    assert detail(store)["model"] is None


def test_only_a_trials_own_folder_is_listed(tmp_path):
    (tmp_path / "trial_0000" / "deeper").mkdir(parents=True)
    for number in range(MOST_FILES):
        (tmp_path / "trial_0000" / f"{number:03d}").write_bytes(b"12")
    (tmp_path / "trial_0000" / "deeper" / "weights").write_bytes(b"1")
    (tmp_path / "secret").write_bytes(b"1")
    store = MemoryStore()
    store.set_note("plan", {"folder": str(tmp_path)})
    found = files_of(store, Trial(number=0, values={}))
    assert (len(found["files"]), found["more"]) == (MOST_FILES, 1)
    assert ["000", 2] in found["files"]
    assert files_of(store, Trial(number=0, values={}, notes={"trial_id": "/../.."})) is None
