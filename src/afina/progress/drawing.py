"""Draws the progress of a search for a terminal, with Rich."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from afina.progress.search_progress import Ended, Running, SearchProgress
from afina.progress.wording import (
    duration,
    epoch_of,
    front_line,
    number,
    plural,
    reached,
    reason,
    running_trials,
    time_left,
)
from afina.space import Value
from afina.trials import Status
from afina.trials.text import printable

BAR = 24  # columns of an epoch's bar
OTHER_ROWS = 11  # lines of the drawing besides the hyperparameters
LEAST_ROWS = 3  # lines for hyperparameters, at least
VALUE = 14  # columns of a trial's values, if several trials are shown


def draw(progress: SearchProgress, now: float, width: int, height: int) -> RenderableType:
    """Draws the live region.

    Args:
        progress: What to draw.
        now: Seconds on the display's clock.
        width: Width of the terminal, in columns.
        height: Height of the terminal, in lines; a longer table is cut.
    """
    wide = width
    parts: list[RenderableType] = [_head(progress, now, wide)]
    if progress.total:
        parts.append(_bar(progress.done, progress.total, wide))
    parts.append(_standing(progress))
    room = height - OTHER_ROWS
    shown = progress.newest(max(room - LEAST_ROWS, 1))
    if shown:
        columns = progress.newest(max((wide - wide // 3) // VALUE - 1, 1))
        lines = len(shown) + (len(shown) < len(progress.running)) if len(shown) > 1 else 2
        rows = max(room + 2 - lines, LEAST_ROWS)
        parts += [Text(), _table(progress, columns, rows, wide), Text()]
    if len(shown) == 1 == len(progress.running):
        parts += [_epochs(shown[0]), _metrics(progress, shown[0])]
    elif shown:
        parts.append(_side_by_side(progress, shown, wide))
    return Padding(Group(*parts), (1, 0, 0, 0))


def _head(progress: SearchProgress, now: float, width: int) -> RenderableType:
    left = Text().append("Search", style="bold cyan")
    labels = [running.start.label for running in progress.running.values()]
    if labels:
        left.append(f"  {running_trials(labels, progress.done, progress.total)}", style="bold")
    right = Text(duration(progress.elapsed(now)) if now - progress.began >= 1 else "", style="dim")
    remaining = progress.seconds_left(now)
    if remaining is not None:
        right.append(f" · {time_left(remaining)}")
    row = Table.grid(expand=True)
    row.add_column(no_wrap=True)
    row.add_column(no_wrap=True, justify="right")
    row.add_row(left, right)
    return _fixed(row, width)


def _fixed(renderable: RenderableType, width: int) -> RenderableType:
    frame = Table.grid()
    frame.add_column(width=width, no_wrap=True)
    frame.add_row(renderable)
    return frame


def _bar(done: int, total: int, width: int) -> RenderableType:
    bar = ProgressBar(
        total=total,
        completed=min(done, total),
        width=width,
        style="bright_black",
        complete_style="cyan",
        finished_style="cyan",
    )
    return _fixed(bar, width)  # alone, a bar does not end its line


def _standing(progress: SearchProgress) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    if progress.several:
        line.append(front_line(progress), style="bold green" if progress.front else "dim")
    elif progress.best is None:
        line.append(f"{progress.objective.name}  no score yet", style="dim")
    else:
        line.append(f"{progress.objective.name}  ", style="dim")
        line.append(f"best {number(progress.best)}", style="bold green")
        if progress.best_label is not None:
            line.append(f"  trial {progress.best_label}", style="dim")
    if progress.failed:
        line.append(f"  ·  {progress.failed} failed", style="red")
    return line


def _table(progress: SearchProgress, shown: list[Running], rows: int, width: int) -> RenderableType:
    best = progress.best_values or {}
    alone = len(shown) == 1
    table = Table(
        box=None,
        pad_edge=False,
        padding=(0, 3 if alone else 2, 0, 0),
        header_style="dim",
        show_edge=False,
        width=None,
    )
    widest = width // 4 if alone else VALUE - 2
    table.add_column("hyperparameter", no_wrap=True, max_width=width // (2 if alone else 3))
    for running in shown:
        head = "now" if len(progress.running) == 1 else f"trial {running.start.label}"
        table.add_column(head, no_wrap=True, max_width=widest)
    table.add_column("best so far", no_wrap=True, max_width=widest, style="green")
    names = list(dict.fromkeys(name for running in shown for name in running.values))
    cut = names if len(names) <= rows else names[: rows - 1]
    for name in cut:
        # Texts, not strings: Rich would read a name such as "[red]" as markup.
        cells = [_cell(name, values) for values in (*(r.values for r in shown), best)]
        table.add_row(Text(printable(name)), *cells)
    if len(cut) < len(names):
        table.add_row(Text(f"and {len(names) - len(cut)} more", style="dim"))
    if not names:
        return Text("default configuration", style="dim")
    return table


def _cell(name: str, values: Mapping[str, Value]) -> Text:
    return Text(number(values[name])) if name in values else Text("-", style="dim")


def _side_by_side(progress: SearchProgress, shown: list[Running], width: int) -> RenderableType:
    """One line for each trial."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    for running in shown:
        first = Text(f"trial {running.start.label}", style="bold")
        table.add_row(first, _epochs(running, BAR // 2), _metrics(progress, running))
    hidden = len(progress.running) - len(shown)
    note = [Text(f"and {hidden} more", style="dim")] if hidden else []
    return Group(_fixed(table, width), *note)


def _epochs(running: Running, bar: int = BAR) -> RenderableType:
    line = Text(no_wrap=True)
    line.append(epoch_of(running, short=bar < BAR), style="dim" if running.epoch is None else "")
    if running.epoch is not None and (running.epoch.execution or running.epoch.executions):
        many = f" of {running.epoch.executions}" if running.epoch.executions else ""
        if running.epoch.executions != 1:
            line.append(f"  run {running.epoch.execution + 1}{many}", style="dim")
    if not running.epochs or running.epoch is None:
        return line
    row = Table.grid(padding=(0, 2, 0, 0))
    row.add_row(line, _bar(running.epoch.epoch + 1, running.epochs, bar))
    return row


def _metrics(progress: SearchProgress, running: Running) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    if running.epoch is None:
        return line
    metrics = running.epoch.metrics
    wanted = [name for name in progress.objective.names if name in metrics]
    for name in [*wanted, *(name for name in metrics if name not in wanted)]:
        line.append(f"{name} ", style="dim")
        line.append(number(metrics[name], 4), style="bold" if name in wanted else "")
        line.append("   ")
    return line


def news(progress: SearchProgress, ended: Ended) -> Text | None:
    """The line to print for a new best score or a failure; None for any other trial."""
    trial = ended.trial
    if ended.is_best and progress.several:
        scores = ", ".join(f"{name} {number(v)}" for name, v in reached(progress.objective, trial))
        line = Text().append("★ ", style="green").append(f"trial {ended.label}  ")
        line.append(f"on the Pareto front: {scores}", style="bold")
    elif ended.is_best and trial.score is not None:
        line = Text().append("★ ", style="green").append(f"trial {ended.label}  ")
        line.append(f"{progress.objective.name} {number(trial.score)}", style="bold")
    elif trial.status is Status.WAITING and trial.failure is None:
        line = Text().append("‖ ", style="yellow").append(f"trial {ended.label}  ")
        line.append("paused; its training is saved")
    elif trial.status in (Status.FAILED, Status.WAITING):
        line = Text().append("✗ ", style="red").append(f"trial {ended.label}  ")
        kind = trial.failure.kind.value if trial.failure else "error"
        again = ", to be run again" if trial.status is Status.WAITING else ""
        line.append(f"failed ({kind}{again}): {reason(trial.failure)}")
    else:
        return None
    line.append(f"  {duration(ended.seconds)}", style="dim")
    return line


def farewell(progress: SearchProgress, now: float) -> Text:
    """The summary that stays on the terminal after the search has ended or was interrupted."""
    spent = duration(progress.elapsed(now))
    done = plural(progress.done, "trial")
    if progress.reason is None:
        of = f" of {progress.total}" if progress.total else ""
        text = Text(f"Search stopped after {spent}: {progress.done}{of} trials finished")
    else:
        text = Text(f"Search ended after {spent}: {progress.reason}, {done} finished")
    text.append(f", {progress.failed} failed." if progress.failed else ".")
    if progress.front:
        line = front_line(progress)
        text.append(f"\n{line[0].upper()}{line[1:]}", style="bold")
    if progress.best is None:
        return text
    text.append(f"\nBest {progress.objective.name} {number(progress.best, 6)}", style="bold")
    if progress.best_label is not None:
        text.append(f" in trial {progress.best_label}")
    if progress.best_values:
        pairs = (f"{name}={number(value)}" for name, value in progress.best_values.items())
        text.append(": " + ", ".join(pairs))
    return text
