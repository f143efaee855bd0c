"""Searches on a real Ray cluster of several nodes on this machine; one of them is killed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from tests.tuners import models

import afina
from afina.errors import ArgumentError
from afina.run import RayExecutor
from afina.testing import check_executor
from afina.trials import FailureKind, Status
from afina.tuners.bucket import open_bucket

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'afina[ray]'")

pytestmark = [
    pytest.mark.service,
    # Ray's own files and processes.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
]

NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    cluster.add_node(**NODE)
    ray.init(address=cluster.address, logging_level="ERROR", log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def study(**options: Any) -> afina.Study:
    hp = afina.HyperParameters()
    hp.Int("x", 0, 999)
    goal = afina.Objective("loss", "min")
    return afina.Study(hp, objective=goal, seed=0, **{"max_trials": 6, **options})


def statuses(study: Any) -> list[str]:
    return [trial.status.value for trial in study.trials.values()]


def test_the_executor_keeps_what_executors_promise(cluster: Any) -> None:
    check_executor(lambda: RayExecutor(workers=2))


def test_jobs_run_on_all_nodes_and_large_arrays_are_read_from_the_object_store(
    cluster: Any, tmp_path: Path
) -> None:
    numbers = np.arange(10**6, dtype="float32")

    def function(trial: afina.Trial) -> dict[str, float]:
        node = int(ray_of_actor().get_runtime_context().get_node_id()[:12], 16)
        (tmp_path / str(node)).touch()
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.05)
        owned = float(numbers.flags.owndata)
        return {"loss": float(numbers[trial.values["x"]]), "node": node, "owned": owned}

    def ray_of_actor() -> Any:
        import ray

        return ray

    found = study()
    found.optimize(function, executor="ray")
    assert statuses(found) == ["completed"] * 6
    trials = list(found.trials.values())
    assert [trial.score for trial in trials] == [trial.values["x"] for trial in trials]
    assert len({trial.metrics["node"] for trial in trials}) == 2, "one worker for each CPU"
    assert {t.metrics["owned"] for t in found.trials.values()} == {0.0}


def test_what_a_job_raises_is_the_users_own_error_and_what_it_prints_is_printed_here(
    cluster: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def function(trial: afina.Trial) -> float:
        print("trial", trial.number, "is here")
        if trial.number == 1:
            raise KeyError("the user's own")
        if trial.number == 2:
            os._exit(3)
        return 0.0

    found = study(max_trials=4)
    found.optimize(function, executor=RayExecutor(workers=1))
    assert statuses(found) == ["completed", "failed", "failed", "completed"]
    failure = found.trials[1].failure
    assert (failure.kind, failure.headline) == (FailureKind.ERROR, 'KeyError: "the user\'s own"')
    lost = found.trials[2]
    assert lost.failure.kind is FailureKind.LOST_WORKER
    assert "The Ray actor that ran the trial was lost" in lost.failure.message
    assert lost.attempt == 1, "a lost worker's trial is run once more"
    assert "trial 3 is here" in capsys.readouterr().out


def test_a_job_that_hangs_in_compiled_code_is_ended_and_its_place_filled(cluster: Any) -> None:
    def function(trial: afina.Trial) -> float:
        import ctypes

        if trial.number == 1:
            ctypes.PyDLL(None).sleep(120)
        return 0.0

    found = study(max_trials=3)
    found.optimize(function, executor=RayExecutor(workers=1), trial_timeout=0.2)
    assert statuses(found) == ["completed", "failed", "completed"]
    assert found.trials[1].failure.kind is FailureKind.TIMEOUT


def test_ctrl_c_ends_the_actors(cluster: Any, tmp_path: Path) -> None:
    def function(trial: afina.Trial) -> float:
        (tmp_path / "begun").touch()
        time.sleep(120)
        return 0.0

    def press() -> None:
        while not (tmp_path / "begun").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), 2)

    threading.Thread(target=press).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        study().optimize(function, executor="ray")
    assert time.monotonic() - began < 60
    while ray.available_resources().get("CPU") != 2:
        time.sleep(0.1)


def test_more_than_the_cluster_has_is_refused_with_what_it_has(cluster: Any) -> None:
    with pytest.raises(ArgumentError, match="needs a cluster with room for cpus=1, gpus=1"):
        study().optimize(lambda trial: 0.0, executor=RayExecutor(gpus=1))


def random_search(folder: Path, **options: Any) -> afina.RandomSearch:
    settings = {"max_trials": 4, "seed": 3, "directory": folder, "checkpoint_every": "epoch"}
    return afina.RandomSearch(models.build, "val_loss", **{**settings, **options})


def searched(tuner: afina.RandomSearch, *callbacks: Any) -> afina.RandomSearch:
    given = {"epochs": 5, "validation_split": 0.25, "verbose": 0, "callbacks": list(callbacks)}
    tuner.search(*models.data(rows=4096), **given)
    return tuner


def scores(tuner: afina.RandomSearch) -> Any:
    trials = tuner.oracle.search_state.trials.values()
    return sorted((str(t.values), t.score, t.curve, len(t.losses)) for t in trials)


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_search_on_a_cluster_gives_what_it_gives_here_though_a_node_is_killed(
    cluster: Any, tmp_path: Path, scheme: str
) -> None:
    straight = random_search(tmp_path / "here", executor="processes", workers=1)
    node = cluster.add_node(**NODE)
    node_id = node.node_id
    waits = tmp_path / "waits"

    def wait_on_the_node(epoch: int, rate: float) -> float:
        import ray

        mine = ray.is_initialized() and ray.get_runtime_context().get_node_id()
        if epoch == 3 and mine == node_id:
            waits.touch()
            time.sleep(600)  # until it dies with its node
        return rate

    def kill() -> None:
        while not waits.exists():
            time.sleep(0.05)
        cluster.remove_node(node, allow_graceful=False)

    killer = threading.Thread(target=kill)
    killer.start()
    executor = RayExecutor(workers=3, checkpoint_dir=f"{scheme}{tmp_path / 'models'}")
    tuner = searched(
        random_search(tmp_path / "ray", executor=executor),
        keras.callbacks.LearningRateScheduler(wait_on_the_node),
    )
    killer.join()
    trials = list(tuner.oracle.search_state.trials.values())
    assert {trial.status for trial in trials} == {Status.COMPLETED}
    lost = [trial for trial in trials if trial.attempt == 1]
    assert len(lost) == 1
    assert lost[0].notes["resumed"].startswith("after epoch 3,")
    assert all(t.notes["training"] == "fused" for t in trials), "each actor fuses its epochs"
    assert len(list((tmp_path / "models").rglob("checkpoint.weights.h5"))) == 4
    assert tuner.get_best_models(1)
    rates = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate)
    assert scores(tuner) == scores(searched(straight, rates))


def test_a_tuner_runs_on_as_many_workers_as_the_cluster_has_room_for(
    cluster: Any, tmp_path: Path
) -> None:
    tuner = searched(random_search(tmp_path, executor="ray"))
    assert {trial.status for trial in tuner.oracle.search_state.trials.values()} == {
        Status.COMPLETED
    }
    assert tuner.get_best_models(1)


def test_a_cross_validated_search_on_a_cluster_gives_what_it_gives_here(
    cluster: Any, tmp_path: Path
) -> None:
    x, y = models.data(rows=96)
    found = []
    for executor in (RayExecutor(workers=2), "serial"):
        # Without a comparison of trials: which folds are dropped depends on who ends first.
        tuner = afina.Hyperband(
            models.build,
            "val_loss",
            max_epochs=2,
            factor=2,
            seed=3,
            cv=3,
            executor=executor,
            directory=tmp_path / str(len(found)),
        )
        tuner.search(x, y, verbose=0)
        assert tuner.get_best_models(1)
        found.append(scores(tuner))
    assert found[0] == found[1]


def halving(folder: str, **options: Any) -> afina.Hyperband:
    settings = {"max_epochs": 4, "factor": 2, "seed": 3, "keep_checkpoints": 2}
    return afina.Hyperband(models.build, "val_loss", directory=folder, **{**settings, **options})


def test_machines_that_share_only_a_url_continue_each_others_trials(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")  # no actor is in this folder
    place = tmp_path / "bucket"
    executor = RayExecutor(workers=2, checkpoint_dir=place.as_uri())
    tuner = searched(halving("searches", executor=executor))
    trials = list(tuner.oracle.search_state.trials.values())
    assert {trial.status for trial in trials} == {Status.COMPLETED}
    promoted = [trial for trial in trials if trial.schedule and trial.schedule.parent is not None]
    assert promoted
    assert not [trial for trial in promoted if "promotion" in trial.notes], "all have their parent"
    assert not list((tmp_path / "mine").rglob("*.h5")), "models are at the URL only"
    kept = sorted(file.parent.name for file in place.rglob("checkpoint.weights.h5"))
    assert kept == sorted(f"trial_{tuner.oracle.id_of(t.number)}" for t in best(tuner))
    assert not list(place.rglob("interim*"))
    straight = searched(halving("here", executor="processes", workers=1))
    assert scores(tuner) == scores(straight)
    open_bucket.cache_clear()  # as in a process that is started later
    again = halving("searches", executor=executor, overwrite=False)
    assert [weights(model) for model in again.get_best_models(2)] == [
        weights(model) for model in straight.get_best_models(2)
    ]


def best(tuner: Any) -> list[Any]:
    return list(tuner.oracle.search_state.best_trials(2))


def weights(model: Any) -> list[bytes]:
    return [np.asarray(each).tobytes() for each in model.get_weights()]
