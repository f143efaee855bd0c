"""`afina status`, beside the facts that a report shows."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from afina.cli import main
from afina.report import read_facts
from afina.store import Header, open_store
from afina.trials import Report, Schedule, Status, Trial

ONE = {"name": "loss", "direction": "min"}
TWO = [ONE, {"name": "cost", "direction": "max"}]
LATER = Schedule(bracket=1, rung=1, start_epoch=3, end_epoch=9, parent=0)


def report(trial: int, step: int, *names: str, attempt: int = 0, execution: int = 0) -> Report:
    metrics = dict.fromkeys(names, 0.5 + step)
    return Report(trial=trial, step=step, metrics=metrics, attempt=attempt, execution=execution)


@pytest.mark.parametrize("objective", [ONE, TWO, [ONE]], ids=["one", "two", "a list of one"])
def test_the_status_counts_the_epochs_that_a_report_shows(
    tmp_path: Path, objective: object
) -> None:
    folder = tmp_path / "p"
    store = open_store(folder)
    space = {"space": [], "values": {}}
    store.begin(Header(algorithm="random", settings={}, objective=objective, seed=0, space=space))
    schedules = {1: LATER, 2: LATER}
    for number in range(9):
        attempt = 1 if number == 3 else 0
        new = Trial(number=number, values={}, schedule=schedules.get(number), attempt=attempt)
        store.put(new)
    both = ("loss", "cost")
    for each in (
        *(report(0, step, *both) for step in range(3)),
        *(report(1, step, *both) for step in range(3, 6)),
        report(2, 1, *both),  # before its first epoch
        *(report(3, step, *both) for step in range(5)),
        *(report(3, step, *both, attempt=1) for step in range(2)),
        *(report(4, step, *both) for step in range(2)),
        report(4, 2, "other"),  # the last step without the objective
        report(5, 3, "other"),
        report(5, 3, *both, execution=1),
        report(6, 20_000, *both),  # no epoch
        report(7, 1500, "loss"),
    ):
        store.report(each)
    ends = {"status": Status.COMPLETED, "score": 1.0, "loss": 1.0, "metrics": {"loss": 1.0}}
    store.finish(Trial(number=0, values={}, ended=0, **ends))
    store.finish(Trial(number=8, values={}, ended=1, **{**ends, "loss": 0.5, "score": 0.5}))
    store.close()

    ran = CliRunner().invoke(main, ["status", str(folder), "--json"])
    assert ran.exit_code == 0, ran.output
    said = json.loads(ran.stdout)
    facts = read_facts(folder)
    curves = {trial.number: len(trial.curve) for trial in facts.trials}
    assert said["epochs"] == sum(curves.values()) > 0
    assert {each["number"]: each["epochs"] for each in said["running"]} == {
        trial.number: curves[trial.number]
        for trial in facts.trials
        if trial.status is Status.RUNNING
    }
    if facts.several:
        assert (said["best"], said["front"]) == (None, [trial.number for trial in facts.front])
    else:
        assert said["best"]["number"] == facts.configurations[0].best.number == 8
        assert said["front"] is None
