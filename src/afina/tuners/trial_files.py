"""Where a trial's files are: the project's folder, a shared folder, or a URL.

    RayExecutor(checkpoint_dir=...)    files
    None                               directory/project_name/trial_3
    a folder                           checkpoint_dir/project_name/trial_3
    a URL                              a `Bucket` of each process, the same way

With a URL, `around_run` brings a trial's files before it runs and sends them afterwards;
`send` sends them earlier, and `fetched` brings those of another trial. Otherwise these do nothing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from afina import training
from afina.errors import StoreError
from afina.run.ray_pool import is_url
from afina.training.interim import INTERIM, remove_interim
from afina.tuners.bucket import Bucket, open_bucket


def bucket_of(tuner: Any) -> Bucket | None:
    """The bucket that keeps a tuner's files; None if a folder does."""
    place = _place_of(tuner)
    if place is None or not is_url(place):
        return None
    return open_bucket(f"{str(place).rstrip('/')}/{tuner.project_name}", os.getpid())


def _place_of(tuner: Any) -> Any:
    return getattr(getattr(tuner, "executor", None), "checkpoint_dir", None)


def trial_folder(tuner: Any, trial_id: str) -> Path:
    """The folder of one trial's files on this machine, as it is."""
    return _root(tuner) / f"trial_{trial_id}"


def _root(tuner: Any) -> Path:
    bucket, place = bucket_of(tuner), _place_of(tuner)
    if bucket is not None:
        return bucket.folder
    return Path(tuner.project_dir) if place is None else Path(place) / tuner.project_name


def shown_root(tuner: Any) -> str:
    """Where the folders of all trials are, for people."""
    bucket = bucket_of(tuner)
    return str(_root(tuner).absolute()) if bucket is None else bucket.shown


def fetched(tuner: Any, trial_id: str) -> Path:
    """The folder of one trial's files, with what a URL has of them.

    Raises:
        StoreError: The URL cannot be read.
    """
    bucket, folder = bucket_of(tuner), trial_folder(tuner, trial_id)
    if bucket is not None:
        bucket.pull(folder.name)
    return folder


def get_trial_dir(tuner: Any, trial_id: str) -> str:
    """The folder of one trial's files; made if it is not there."""
    folder = fetched(tuner, trial_id)
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)


def send(tuner: Any, trial_id: str) -> None:
    """Sends what has changed of a trial's files to the URL.

    Raises:
        StoreError: The URL cannot be written.
    """
    bucket = bucket_of(tuner)
    if bucket is not None:
        bucket.push(trial_folder(tuner, trial_id).name)


@contextlib.contextmanager
def around_run(tuner: Any, trial_id: str) -> Iterator[None]:
    """Around the run of a trial: brings its files, and sends them, even if the run fails.

    Raises:
        StoreError: The URL cannot be read or written.
    """
    fetched(tuner, trial_id)
    try:
        yield
    except Exception:
        with contextlib.suppress(StoreError):  # why the run failed is what counts
            send(tuner, trial_id)
        raise
    send(tuner, trial_id)


def check(tuner: Any) -> None:
    """Writes a small file to the URL, before the first trial.

    Raises:
        StoreError: The URL cannot be written.
    """
    bucket = bucket_of(tuner)
    if bucket is not None:
        bucket.check()


def let_go(tuner: Any) -> None:
    """In a worker, after a trial: deletes the copies of files that are at the URL."""
    bucket = bucket_of(tuner)
    if bucket is not None:
        bucket.let_go()


def remove_models(tuner: Any, trial_id: str) -> None:
    """Deletes the checkpoints of a trial, and those of its folds.

    Raises:
        StoreError: The URL cannot be written.
    """
    bucket, folder = bucket_of(tuner), trial_folder(tuner, trial_id)
    folds = f"fold_*.{training.CHECKPOINT}"
    if bucket is not None:
        bucket.remove(folder.name, training.CHECKPOINT, training.BUILD_CONFIG, folds)
        return
    training.remove_checkpoint(folder / training.CHECKPOINT)
    for fold in folder.glob(folds):
        fold.unlink(missing_ok=True)


def interim_path(tuner: Any, trial_id: str) -> Path:
    """Where a trial's training is saved while it runs."""
    return trial_folder(tuner, trial_id) / INTERIM


def forget_interim(tuner: Any, trial_id: str) -> None:
    """Deletes what was saved of a trial while it ran.

    Raises:
        StoreError: The URL cannot be written.
    """
    bucket = bucket_of(tuner)
    if bucket is None:
        remove_interim(interim_path(tuner, trial_id))
    else:
        bucket.remove(trial_folder(tuner, trial_id).name, INTERIM)


def delete_all(tuner: Any) -> None:
    """Deletes the files of all trials that are not in the project's folder: overwrite=True."""
    bucket, place = bucket_of(tuner), _place_of(tuner)
    if bucket is not None:
        bucket.clear()
    elif place is not None:
        for folder in _root(tuner).glob("trial_*"):
            shutil.rmtree(folder)
