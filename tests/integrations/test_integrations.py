"""MLflow, TensorBoard, Weights & Biases and MCP, each with the real package.

`make test-services SERVICES="--only integrations"` installs them; elsewhere the tests of a package
that is not there are skipped.
"""

import asyncio
import dataclasses
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from tests.integrations.projects import searched

from afina.errors import ArgumentError, StoreError
from afina.integrations import (
    MLflowListener,
    TensorBoardListener,
    WandbListener,
    log_to_mlflow,
    log_to_wandb,
    write_hparams,
)
from afina.integrations.mcp import server_of, tools_of
from afina.integrations.searches import needed, read_search
from afina.trials import Status

pytestmark = pytest.mark.filterwarnings("default")  # those packages warn on their own


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("searches") / "mine"
    study = searched(folder)
    assert {trial.status for trial in study.trials.values()} == {Status.COMPLETED, Status.FAILED}
    study.close()
    return folder


# -- reading --------------------------------------------------------------------------------------


def test_a_search_is_read_alike_from_a_folder_and_from_a_study(project, tmp_path):
    folder = read_search(project)
    study = read_search(searched(tmp_path), name="mine")
    assert folder.name == study.name == "mine"
    assert [t.values for t in folder.trials] == [t.values for t in study.trials]
    assert folder.curves(folder.trials[0]) == study.curves(study.trials[0])
    assert [e.name for e in folder.space] == ["loss", "deep", "depth\x1b[31m"]


def test_what_is_no_search_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="must be a tuner, a Study, a folder or a URL"):
        read_search(3)
    with pytest.raises(StoreError, match="must hold a search"):
        read_search(tmp_path)


def test_a_missing_package_is_named_with_the_command_that_brings_it():
    with pytest.raises(ArgumentError, match=r"pip install 'afina\[nothing\]'"):
        needed("no_such_package.part", "afina[nothing]")


# -- TensorBoard ----------------------------------------------------------------------------------


def events_of(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return found


def test_hparams_hold_all_values_and_metrics_those_met_late_too(project, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    for _ in range(2):  # writing again replaces
        write_hparams(project, tmp_path)
    data = plugin_data_pb2.HParamsPluginData
    content = events_of(tmp_path).summary_metadata[metadata.EXPERIMENT_TAG].plugin_data.content
    experiment = data.FromString(content).experiment
    assert [info.name for info in experiment.hparam_infos] == ["loss", "deep", "depth\x1b[31m"]
    names = {info.name.tag for info in experiment.metric_infos}
    assert names == {"val_loss", "late/metric"}
    study = read_search(project)
    for trial in study.trials:
        found = events_of(tmp_path / f"trial_{trial.number}")
        start = found.summary_metadata[metadata.SESSION_START_INFO_TAG].plugin_data.content
        hparams = data.FromString(start).session_start_info.hparams
        assert set(hparams) == set(trial.values)
        assert hparams["loss"].string_value == trial.values["loss"]
        end = found.summary_metadata[metadata.SESSION_END_INFO_TAG].plugin_data.content
        status = data.FromString(end).session_end_info.status
        assert status == (1 if trial.status is Status.COMPLETED else 2)
        if trial.status is Status.COMPLETED:
            scalars = [event.value for event in found.Scalars("val_loss")]
            assert scalars[-1] == pytest.approx(trial.score)
            assert len(scalars) == 4  # three epochs, and the best


def test_the_page_of_tensorboard_shows_each_trial(project, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
    from tensorboard.context import RequestContext
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

    write_hparams(project, tmp_path)
    runs = plugin_event_multiplexer.EventMultiplexer()
    runs.AddRunsFromDirectory(str(tmp_path))
    runs.Reload()
    context = base_plugin.TBContext(
        data_provider=data_provider.MultiplexerDataProvider(runs, str(tmp_path))
    )
    backend = backend_context.Context(context)
    asked = api_pb2.ListSessionGroupsRequest(
        slice_size=100, allowed_statuses=[0, 1, 2, 3], start_index=0
    )
    metric = api_pb2.ColParams(metric=api_pb2.MetricName(tag="val_loss"))
    asked.col_params.append(metric)
    handler = list_session_groups.Handler(RequestContext(), backend, "", asked)
    groups = handler.run().session_groups
    assert len(groups) == len(read_search(project).trials)
    shown = {(g.hparams["loss"].string_value, g.hparams["deep"].bool_value) for g in groups}
    assert shown == {(t.values["loss"], t.values["deep"]) for t in read_search(project).trials}


# -- MLflow ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory):
    """A database of MLflow's without runs: it takes MLflow a minute to make one on a busy machine,
    step by step through all of its past versions."""
    mlflow = pytest.importorskip("mlflow")
    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    mlflow.MlflowClient(tracking_uri=f"sqlite:///{file}").search_experiments()
    return file


@pytest.mark.timeout(900)
def test_mlflow_gets_nested_runs_and_each_trial_once(empty_database, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    uri = f"sqlite:///{shutil.copy(empty_database, tmp_path)}"
    searched(tmp_path / "mine", 3).close()
    parent = log_to_mlflow(tmp_path / "mine", experiment="ours", tracking_uri=uri)
    study = searched(tmp_path / "mine", 8)  # it goes on
    assert log_to_mlflow(study, experiment="ours", tracking_uri=uri) != ""
    client = mlflow.MlflowClient(tracking_uri=uri)
    home = client.get_experiment_by_name("ours").experiment_id
    study.close()
    for _ in range(2):
        assert log_to_mlflow(tmp_path / "mine", experiment="ours", tracking_uri=uri) == parent
    runs = client.search_runs([home], f"tags.`mlflow.parentRunId` = '{parent}'")
    by_number = {run.data.tags["afina.trial"]: run for run in runs}
    assert len(runs) == len(by_number) == len(study.trials)
    for trial in study.trials.values():
        run = by_number[str(trial.number)]
        assert run.data.params["loss"] == trial.values["loss"]
        if trial.status is Status.COMPLETED:
            history = client.get_metric_history(run.info.run_id, "val_loss")
            assert [each.step for each in history] == [0, 1, 2]
            assert run.data.metrics["best_val_loss"] == pytest.approx(trial.score)
            assert run.info.status == "FINISHED"
        else:
            assert run.info.status == "FAILED"
            assert "no such layer" in run.data.tags["afina.failure"]
    whole = client.get_run(parent)
    assert whole.data.tags["afina.best_trial"] == str(study.best_trial.number)
    assert whole.data.metrics["best_val_loss"] == study.best_value


# -- Weights & Biases -----------------------------------------------------------------------------


def test_wandb_gets_one_offline_run_a_trial(project, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    ids = log_to_wandb(project, folder=tmp_path)
    trials = read_search(project).trials
    assert ids == [f"mine-{read_search(project).header.seed}-{t.number}" for t in trials]
    folders = list(Path(tmp_path, "wandb").glob("offline-run-*"))
    assert len(folders) == len(ids)
    for run in ids:
        (file,) = Path(tmp_path, "wandb").glob(f"offline-run-*-{run}/run-{run}.wandb")
        assert b"val_loss" in file.read_bytes() or b"no such layer" in file.read_bytes()


# -- MCP ------------------------------------------------------------------------------------------


def test_the_tools_read_and_escape_and_change_nothing(project):
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    tools = tools_of(project)
    answers = {
        "status": tools["status"](),
        "best": tools["best_trials"](2),
        "trial": [tools["trial"](t["number"]) for t in tools["trials"]()],
        "space": tools["search_space"](),
        "advice": tools["advice"](),
    }
    assert "\x1b" not in answers["advice"]
    assert "\\u001b" not in json.dumps(answers)
    assert len(answers["best"]) == 2
    assert answers["best"][0]["score"] <= answers["best"][1]["score"]
    failed = [each for each in answers["trial"] if each["status"] == "failed"]
    assert "no such layer\\x1b[31m" in failed[0]["failure"]
    assert len(tools["trials"](count=10**9)) <= 100
    with pytest.raises(ArgumentError, match="must be one of the"):
        tools["trial"](99)
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before


def test_a_client_of_the_protocol_lists_and_calls_the_tools(project):
    pytest.importorskip("mcp.server.mcpserver")
    from mcp import ClientSession, StdioServerParameters, stdio_client

    command = ["-c", "from afina.cli import main; main()", "mcp", str(project)]

    async def talk():
        server = StdioServerParameters(command=sys.executable, args=command, env={**os.environ})
        async with stdio_client(server) as (read, write), ClientSession(read, write) as client:
            await client.initialize()
            tools = (await client.list_tools()).tools
            status = await client.call_tool("status", {})
            wrong = await client.call_tool("trial", {"number": 99})
            return tools, status, wrong

    tools, status, wrong = asyncio.run(talk())
    assert {tool.name for tool in tools} == set(tools_of(project))
    assert all(tool.annotations.model_dump(by_alias=True)["readOnlyHint"] for tool in tools)
    assert json.loads(status.content[0].text)["project"] == "mine"
    assert wrong.model_dump(by_alias=True)["isError"]


def test_a_server_of_nothing_is_refused(tmp_path):
    pytest.importorskip("mcp.server.mcpserver")
    with pytest.raises(StoreError):
        server_of(tmp_path)


@pytest.mark.timeout(900)
def test_the_first_block_of_the_page_runs_as_printed(empty_database, tmp_path, monkeypatch):
    for package in ("tensorboard", "mlflow", "wandb"):
        pytest.importorskip(package)
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    from tests.test_docs import ROOT, blocks, things

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_SILENT", "true")
    exec(compile(blocks(ROOT / "docs" / "integrations.md")[0], "page", "exec"), things())
    client = sys.modules["mlflow"].MlflowClient(tracking_uri="sqlite:///mlflow.db")
    home = client.get_experiment_by_name("afina").experiment_id
    assert len(client.search_runs([home])) == 4
    assert len(list((tmp_path / "logs").iterdir())) == 4
    assert len(list((tmp_path / "wandb").glob("offline-run-*"))) == 3


# -- while the search runs ------------------------------------------------------------------------


def tuned(folder, listeners, **options):
    import keras
    import numpy as np

    import afina

    x = np.random.default_rng(0).normal(size=(16, 2)).astype("float32")
    tuner = afina.RandomSearch(
        linear,
        "val_loss",
        **{"max_trials": 2, "seed": 0, **options},
        directory=folder,
        project_name="live",
        listeners=listeners,
    )
    keras.utils.set_random_seed(0)
    tuner.search(x, x.sum(axis=1), validation_split=0.25, epochs=2, verbose=0)
    return tuner


def linear(hp):
    import keras

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(hp.Float("rate", 0.01, 0.1)), "mse")
    return model


@pytest.mark.timeout(900)
@pytest.mark.parametrize("executor", [None, "threads", "processes"])
def test_mlflow_follows_the_trials_of_a_tuner(executor, empty_database, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    uri = f"sqlite:///{shutil.copy(empty_database, tmp_path)}"
    options = {} if executor is None else {"executor": executor, "workers": 2}
    listener = MLflowListener(experiment="ours", tracking_uri=uri)
    tuner = tuned(tmp_path, [listener], **options)
    client = mlflow.MlflowClient(tracking_uri=uri)
    home = client.get_experiment_by_name("ours").experiment_id
    runs = client.search_runs([home])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if run is not parent]
    assert {run.info.status for run in runs} == {"FINISHED"}
    trials = tuner.oracle.search_state.trials
    assert {run.data.tags["afina.trial"] for run in children} == {str(n) for n in trials}
    for run in children:
        trial = trials[int(run.data.tags["afina.trial"])]
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert float(run.data.params["rate"]) == trial.values["rate"]
        history = client.get_metric_history(run.info.run_id, "val_loss")
        assert [each.step for each in history] == [0, 1]
        assert run.data.metrics["best_val_loss"] == pytest.approx(trial.score)
    best = tuner.oracle.search_state.best_trials(1)[0]
    assert parent.data.tags["afina.best_trial"] == str(best.number)
    # What was logged while it ran is not logged again.
    assert log_to_mlflow(tuner, experiment="ours", tracking_uri=uri) == parent.info.run_id
    assert len(client.search_runs([home])) == len(runs)


@pytest.mark.timeout(900)
def test_mlflow_ends_the_run_of_a_trial_whose_process_died(empty_database, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    from afina.study import SearchInfo
    from afina.trials import Trial

    uri = f"sqlite:///{shutil.copy(empty_database, tmp_path)}"
    info = SearchInfo(name="mine", algorithm="random", seed=1, goals={"loss": "min"})
    trial = Trial(number=0, values={"x": 1.0})
    for attempt in (0, 1):  # the first one never ends
        listener = MLflowListener(tracking_uri=uri)
        listener.on_search_begin(info)
        again = dataclasses.replace(trial, attempt=attempt)
        listener.on_trial_begin(again)
        listener.on_report(again, {"loss": 1.0, "bad": float("nan")}, 0, 0)
    done = dataclasses.replace(
        again, status=Status.COMPLETED, score=1.0, loss=1.0, metrics={"loss": 1.0}
    )
    listener.on_trial_end(done)
    listener.on_search_end()
    client = mlflow.MlflowClient(tracking_uri=uri)
    home = client.get_experiment_by_name("afina").experiment_id
    runs = client.search_runs([home])
    assert sorted(run.info.status for run in runs) == ["FINISHED", "FINISHED", "KILLED"]
    assert sum("afina.trial" in run.data.tags for run in runs) == 1


def test_wandb_follows_trials_that_run_side_by_side(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    tuned(tmp_path, [WandbListener(folder=tmp_path)], executor="threads", workers=2)
    for number in range(2):
        run = f"live-0-{number}"
        (file,) = Path(tmp_path, "wandb").glob(f"offline-run-*-{run}/run-{run}.wandb")
        assert b"val_loss" in file.read_bytes()
        assert b"rate" in file.read_bytes()


def test_tensorboard_follows_each_trial(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    tuner = tuned(tmp_path, [TensorBoardListener(tmp_path / "logs")])
    for trial in tuner.oracle.search_state.trials.values():
        found = events_of(tmp_path / "logs" / f"trial_{trial.number}")
        scalars = [event.value for event in found.Scalars("val_loss")]
        assert len(scalars) == 3
        assert scalars[-1] == pytest.approx(trial.score)
        start = found.summary_metadata[metadata.SESSION_START_INFO_TAG].plugin_data.content
        hparams = plugin_data_pb2.HParamsPluginData.FromString(start).session_start_info.hparams
        assert hparams["rate"].number_value == trial.values["rate"]
