"""`afina work`: runs a script in several processes that share one search."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import click

from afina.errors import ArgumentError, wrong
from afina.store.places import STORAGE, folder_of, is_postgres


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("storage")
@click.option(
    "--script",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The Python script that searches.",
)
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    help="How many processes run the script.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def work(storage: str, script: Path | None, workers: int, arguments: Sequence[str]) -> None:
    """Run a script in several processes that share the search in STORAGE.

    STORAGE is a folder, or "postgresql://user@host/database". A tuner or Study of the script that
    names no store itself keeps its trials there, and so joins the search. ARGUMENTS are passed to
    the script. Ctrl-C ends all processes; start the command again to continue. Other machines join
    when they run the same command on the same database.

    \b
    Examples:
      afina work my_search --script train.py --workers 4
      afina work postgresql://me@host/tuning --script train.py --workers 8
    """
    if script is None:
        rule = "must name the script that builds and trains the models"
        advice = "A store keeps trials, not code: pass --script train.py."
        raise ArgumentError(wrong("--script", rule, "none", advice))
    if storage.lower().startswith("memory:"):
        rule = "must be a folder or a database, which several processes can share"
        raise ArgumentError(wrong("STORAGE", rule, storage))
    place = storage if is_postgres(storage) else str(folder_of(storage).resolve())
    code = run_workers([sys.executable, str(script), *arguments], workers, {STORAGE: place})
    if code:
        raise click.exceptions.Exit(code)


def run_workers(command: Sequence[str], count: int, variables: dict[str, str]) -> int:
    """Runs a command in several processes, and passes on the signals that end this one.

    Args:
        command: The program and its arguments.
        count: How many processes.
        variables: What is added to their environment.

    Returns:
        0 if all have ended well, else the exit code of one that has not. No process is started
        again: the others finish its trial.
    """
    running: list[subprocess.Popen[bytes]] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        del frame
        for process in running:
            if process.poll() is None:
                process.send_signal(number)

    environment = {**os.environ, **variables}
    ends = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, pass_on) for number in ends}
    try:
        for _ in range(count):
            # A session of its own: the terminal sends Ctrl-C to this process alone, which passes
            # it on once.
            running.append(subprocess.Popen(command, env=environment, start_new_session=True))
        codes = [process.wait() for process in running]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    failed = [code for code in codes if code]
    return 128 - failed[0] if failed and failed[0] < 0 else (failed or [0])[0]
