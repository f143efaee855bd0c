"""Files of trials at a URL: on file systems of fsspec that need no network."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import afina
from afina.errors import ArgumentError, StoreError
from afina.run import RayExecutor, Serial
from afina.trials import Status
from afina.tuners import bucket as buckets
from afina.tuners import trial_files
from afina.tuners.bucket import Bucket, open_bucket
from tests.tuners import models

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed: pip install 'afina[ray]'")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(buckets, "PAUSES", (0.0, 0.0))
    yield
    open_bucket.cache_clear()


@pytest.fixture(params=["file", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A file system that renames, and one that shows a file when it is whole."""
    yield (tmp_path / "there").as_uri() if request.param == "file" else "memory://there/models"
    fsspec.filesystem("memory").store.clear()


def write(bucket: Bucket, name: str, text: str) -> None:
    file = bucket.folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def read(bucket: Bucket, name: str) -> str:
    return (bucket.folder / name).read_text()


def names(bucket: Bucket) -> list[str]:
    found = (file for file in bucket.folder.rglob("*") if file.is_file())
    return sorted(f.relative_to(bucket.folder).as_posix() for f in found if f.name != "owner.lock")


def test_a_bucket_brings_what_is_new_changed_and_deleted_elsewhere(url: str) -> None:
    here, there = Bucket(url), Bucket(url)
    there.pull("trial_1")  # nothing is there yet
    write(here, "trial_1/model.h5", "first")
    write(here, "trial_1/logs/a.txt", "a")
    write(here, "trial_11/model.h5", "another trial")
    here.push("trial_1")
    there.pull("trial_1")
    assert read(there, "trial_1/model.h5") == "first"
    assert read(there, "trial_1/logs/a.txt") == "a"
    assert not (there.folder / "trial_11").exists()
    write(here, "trial_1/model.h5", "other")  # as long as before
    (here.folder / "trial_1/logs/a.txt").unlink()
    here.push("trial_1")
    there.pull("trial_1")
    assert read(there, "trial_1/model.h5") == "other"
    assert not (there.folder / "trial_1/logs/a.txt").exists()


def test_only_what_has_changed_travels(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = Bucket(url), Bucket(url)
    write(here, "trial_1/a", "a")
    write(here, "trial_1/b", "b")
    here.push("trial_1")
    there.pull("trial_1")
    travelled: list[str] = []
    upload, download = Bucket._upload, Bucket._download

    def counted_upload(self: Bucket, file: str) -> None:
        travelled.append(file)
        upload(self, file)

    def counted_download(self: Bucket, file: str, stamp: Any) -> None:
        travelled.append(file)
        download(self, file, stamp)

    monkeypatch.setattr(Bucket, "_upload", counted_upload)
    monkeypatch.setattr(Bucket, "_download", counted_download)
    here.push("trial_1")
    here.pull("trial_1")
    there.pull("trial_1")
    assert travelled == []
    write(there, "trial_1/b", "changed")
    there.push("trial_1")
    here.pull("trial_1")
    assert travelled == ["trial_1/b"] * 2
    assert read(here, "trial_1/b") == "changed"


def test_what_is_changed_here_stays_until_it_is_sent(url: str) -> None:
    here = Bucket(url)
    write(here, "trial_1/a", "old")
    here.push("trial_1")
    write(here, "trial_1/a", "new")
    write(here, "trial_1/b", "new")
    here.pull("trial_1")
    assert (read(here, "trial_1/a"), read(here, "trial_1/b")) == ("new", "new")


def test_files_that_are_half_written_are_neither_sent_nor_brought(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = Bucket((tmp_path / "there").as_uri()), Bucket((tmp_path / "there").as_uri())
    write(here, "trial_1/model.h5", "whole")
    write(here, "trial_1/.model.part.h5", "ha")
    here.push("trial_1")
    assert [file.name for file in (tmp_path / "there/trial_1").iterdir()] == ["model.h5"]
    (tmp_path / "there/trial_1/.model.h5.1234.part").write_text("ha")
    there.pull("trial_1")
    assert names(there) == ["trial_1/model.h5"]

    def half(self: Any, source: str, target: str, **options: Any) -> None:
        Path(target).write_text("ha")
        raise ConnectionError("the network is gone")

    local = type(fsspec.filesystem("file"))
    monkeypatch.setattr(local, "put_file", half)
    write(here, "trial_1/model.h5", "newer")
    with pytest.raises(StoreError, match="the network is gone"):
        here.push("trial_1")
    assert (tmp_path / "there/trial_1/model.h5").read_text() == "whole"
    assert len(list((tmp_path / "there/trial_1").iterdir())) == 2, "and the part from before"
    here.remove("trial_1", "model.*")
    assert not list((tmp_path / "there/trial_1").iterdir())
    assert names(here) == ["trial_1/.model.part.h5"]


def test_an_unreliable_network_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = type(fsspec.filesystem("file"))
    put, errors = local.put_file, [TimeoutError("slow"), ConnectionError("gone")]

    def unreliable(self: Any, *args: Any, **options: Any) -> None:
        if errors:
            raise errors.pop()
        put(self, *args, **options)

    monkeypatch.setattr(local, "put_file", unreliable)
    here = Bucket((tmp_path / "there").as_uri())
    write(here, "trial_1/a", "a")
    here.push("trial_1")
    assert (tmp_path / "there/trial_1/a").read_text() == "a"


def test_what_raises_again_and_again_is_said_without_the_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = "memory://me:secret@host/models"
    tries: list[str] = []

    def refuse(self: Any, path: str, **options: Any) -> None:
        tries.append(path)
        raise OSError(f"no route to {url}")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "find", refuse)
    with pytest.raises(StoreError, match="checkpoint_dir: must be a place that every") as caught:
        Bucket(url).pull("trial_1")
    assert len(tries) == 3
    assert "secret" not in str(caught.value)
    assert "me:***@host/models" in str(caught.value)
    assert caught.value.__cause__ is None
    executor = RayExecutor(checkpoint_dir=url)
    assert "secret" not in repr(executor)


def test_what_may_not_be_written_is_known_at_once(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("a file, not a folder")
    with pytest.raises(StoreError, match=r"FileExistsError|NotADirectoryError"):
        Bucket((tmp_path / "there").as_uri()).check()
    Bucket((tmp_path / "new").as_uri()).check()
    assert not list((tmp_path / "new").iterdir())


def test_a_file_system_that_does_not_replace_files_gets_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = type(fsspec.filesystem("file"))
    move = local.mv

    def strict(self: Any, source: str, target: str, **options: Any) -> None:
        if Path(target).exists():
            raise FileExistsError(target)
        move(self, source, target, **options)

    monkeypatch.setattr(local, "mv", strict)
    here = Bucket((tmp_path / "there").as_uri())
    for text in ("first", "second"):
        write(here, "trial_1/a", text)
        here.push("trial_1")
        assert (tmp_path / "there/trial_1/a").read_text() == text


def test_a_file_of_which_only_the_size_is_known_is_always_brought(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buckets, "_VERSIONS", ())
    here, there = Bucket(url), Bucket(url)
    for text in ("one", "two"):
        write(here, "trial_1/a", text)
        here.push("trial_1")
        there.pull("trial_1")
        assert read(there, "trial_1/a") == text


def test_the_copies_of_a_process_are_gone_when_it_ends(tmp_path: Path) -> None:
    code = (
        "import sys; from afina.tuners.bucket import Bucket; b = Bucket(sys.argv[1]); "
        "(b.folder / 'trial_1').mkdir(); (b.folder / 'trial_1' / 'a').touch(); print(b.folder)"
    )
    place = (tmp_path / "there").as_uri()
    ran = subprocess.run([sys.executable, "-c", code, place], capture_output=True, check=True)
    folder = Path(ran.stdout.decode().strip())
    assert folder.name.startswith("afina-")
    assert not folder.exists()


@pytest.mark.parametrize(
    ("url", "missing", "said"),
    [
        ("s3://bucket/models", "fsspec", r"pip install 'afina\[ray\]'"),
        ("s3://bucket/models", "s3fs", "Install s3fs to access S3"),
        ("bucket9://me:secret@bucket/models", None, "that fsspec knows, but got 'bucket9://'"),
    ],
)
def test_a_url_that_nobody_can_open_is_refused_at_once(
    url: str, missing: str | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing is not None:
        monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ArgumentError, match=said):
        RayExecutor(checkpoint_dir=url)


# -- tuners ---------------------------------------------------------------------------------------


class Machine:
    """Runs trials here, as a worker does on a machine that has only a URL."""

    def __init__(self, checkpoint_dir: str | Path) -> None:
        self.checkpoint_dir = checkpoint_dir

    def run(self, next_job: Any, work: Any) -> None:
        def on_another_machine(trial: Any) -> None:
            open_bucket.cache_clear()
            work(trial)

        Serial().run(next_job, on_another_machine)


def halving(tmp_path: Path, **options: Any) -> afina.Hyperband:
    settings = {"max_epochs": 4, "factor": 2, "seed": 3, "directory": tmp_path / "mine"}
    return afina.Hyperband(models.build, "val_loss", **{**settings, **options})


def searched(tuner: Any) -> Any:
    split = {} if getattr(tuner, "_folds", None) else {"validation_split": 0.25}
    tuner.search(*models.data(), **split, verbose=0)
    return tuner


def weights(model: Any) -> list[bytes]:
    return [np.asarray(each).tobytes() for each in model.get_weights()]


@pytest.mark.parametrize("cv", [None, 2])
def test_promoted_trials_find_their_parents_at_the_url(tmp_path: Path, cv: int | None) -> None:
    place = tmp_path / "there"
    machine = Machine(place.as_uri())
    options = {"cv": cv, "keep_checkpoints": 2, "max_epochs": 2}
    tuner = searched(halving(tmp_path, executor=machine, **options))
    straight = searched(halving(tmp_path / "straight", executor="serial", **options))
    assert models.picture(tuner) == models.picture(straight)
    promoted = [t for t in models.trials_of(tuner) if "tuner/trial_id" in t.hyperparameters.values]
    assert promoted
    assert not [trial for trial in promoted if "promotion" in trial.notes]
    assert not list((tmp_path / "mine").rglob("trial_*/*.h5"))
    best = {f"trial_{trial.trial_id}" for trial in tuner.oracle.get_best_trials(2)}
    assert {file.parent.name for file in place.rglob("*.h5")} == best
    open_bucket.cache_clear()
    again = halving(tmp_path, executor=machine, **options)
    assert list(map(weights, again.get_best_models(2))) == list(
        map(weights, straight.get_best_models(2))
    )


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_search_that_overwrites_deletes_the_files_of_the_one_before(
    tmp_path: Path, scheme: str
) -> None:
    place = tmp_path / "there"
    machine = Machine(f"{scheme}{place}")
    searched(halving(tmp_path, executor=machine, max_epochs=2))
    assert list(place.rglob("*.h5"))
    halving(tmp_path, executor=machine, max_epochs=2, overwrite=True)
    assert not [file for file in place.rglob("*") if file.is_file()]


def test_a_trial_continues_on_another_machine_where_it_was_interrupted(tmp_path: Path) -> None:
    place = tmp_path / "there"
    machine = Machine(place.as_uri())

    def search(folder: str, **options: Any) -> Any:
        return afina.RandomSearch(
            models.build,
            "val_loss",
            max_trials=1,
            seed=3,
            directory=tmp_path / folder,
            checkpoint_every="epoch",
            overwrite=False,
            **options,
        )

    tuner = search("mine", executor=machine)
    given = {"epochs": 5, "validation_split": 0.25, "verbose": 0}
    report = tuner._epoch_ended

    def interrupt(trial: Any, execution: int, epoch: int, metrics: Any) -> Any:
        if epoch == 3:
            raise KeyboardInterrupt
        return report(trial, execution, epoch, metrics)

    tuner._epoch_ended = interrupt
    with pytest.raises(KeyboardInterrupt):
        tuner.search(*models.data(), **given)
    assert [file.name for file in place.rglob("*") if file.is_file()] == ["interim.npz"]
    open_bucket.cache_clear()
    tuner = search("mine", executor=machine)
    tuner.search(*models.data(), **given)
    straight = search("straight", executor="serial")
    straight.search(*models.data(), **given)
    trial = tuner.oracle.search_state.trials[0]
    assert trial.status is Status.COMPLETED
    assert trial.notes["resumed"].startswith("after epoch ")
    assert not list(place.rglob("interim*"))
    assert trial.score == straight.oracle.search_state.trials[0].score
    assert weights(tuner.get_best_models()[0]) == weights(straight.get_best_models()[0])


def test_a_search_stops_where_its_models_cannot_be_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuner = halving(tmp_path, executor=Machine((tmp_path / "there").as_uri()))

    def refuse(*args: Any, **options: Any) -> None:
        raise PermissionError("you may not write here")

    with monkeypatch.context() as patched:
        patched.setattr(type(fsspec.filesystem("file")), "put_file", refuse)
        with pytest.raises(StoreError, match="you may not write here"):
            searched(tuner)
        assert not [t for t in models.trials_of(tuner) if t.status == "COMPLETED"]
    assert models.statuses(searched(halving(tmp_path, executor=tuner.executor))) == {"COMPLETED"}


def test_what_a_user_saves_or_asks_for_outside_a_search_travels_too(tmp_path: Path) -> None:
    tuner = searched(halving(tmp_path, executor=Machine((tmp_path / "there").as_uri())))
    [model] = tuner.get_best_models(1)
    [trial] = tuner.oracle.get_best_trials(1)
    model.set_weights([0 * each for each in model.get_weights()])
    tuner.save_model(trial.trial_id, model)
    open_bucket.cache_clear()
    assert not any(each.any() for each in tuner.get_best_models(1)[0].get_weights())
    assert trial_files.shown_root(tuner) == f"{(tmp_path / 'there').as_uri()}/untitled_project"


def test_estimators_of_scikit_learn_are_sent_and_brought(tmp_path: Path) -> None:
    linear = pytest.importorskip("sklearn.linear_model")

    def build(hp: afina.HyperParameters) -> Any:
        return linear.LogisticRegression(C=hp.Float("C", 0.1, 10))

    tuner = afina.SklearnTuner(
        afina.oracles.RandomSearchOracle(afina.Objective("score", "max"), max_trials=2, seed=1),
        build,
        directory=tmp_path / "mine",
        executor=Machine((tmp_path / "there").as_uri()),
    )
    x, y = models.data()
    tuner.search(x, y)
    assert len(list((tmp_path / "there").rglob("model.pickle"))) == 2
    open_bucket.cache_clear()
    assert tuner.get_best_models(1)[0].predict(x).shape == y.shape
