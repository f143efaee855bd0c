"""Draws a board for a terminal, with Rich."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from afina.progress.board import Board, Ended, Running
from afina.progress.fronts import front_line, reached
from afina.progress.wording import duration, number, plural, reason, running_trials, time_left
from afina.space import Value
from afina.trials import Status
from afina.trials.text import printable

WIDEST = 84  # columns; beyond it the eye loses the row
BAR = 24  # columns of an epoch's bar
OTHER_ROWS = 11  # lines of the drawing that are no hyperparameters
LEAST_ROWS = 3  # of the hyperparameters
VALUE = 14  # columns that a trial's values take where several trials are shown


def draw(board: Board, now: float, width: int, height: int) -> RenderableType:
    """The whole live region.

    Args:
        board: What to draw.
        now: On the board's clock, in seconds.
        width: Of the terminal, in columns.
        height: Of the terminal, in lines; a long table is cut to it.
    """
    wide = min(width, WIDEST)
    parts: list[RenderableType] = [_head(board, now, wide)]
    if board.total:
        parts.append(_bar(board.done, board.total, wide))
    parts.append(_standing(board))
    room = height - OTHER_ROWS
    shown = board.newest(max(room - LEAST_ROWS, 1))
    if shown:
        columns = board.newest(max((wide - wide // 3) // VALUE - 1, 1))
        lines = len(shown) + (len(shown) < len(board.running)) if len(shown) > 1 else 2
        rows = max(room + 2 - lines, LEAST_ROWS)
        parts += [Text(), _table(board, columns, rows, wide), Text()]
    if len(shown) == 1 == len(board.running):
        parts += [_epochs(shown[0]), _metrics(board, shown[0])]
    elif shown:
        parts.append(_side_by_side(board, shown, wide))
    return Padding(Group(*parts), (1, 0, 0, 0))


def _head(board: Board, now: float, width: int) -> RenderableType:
    left = Text().append("Search", style="bold cyan")
    labels = [running.start.label for running in board.running.values()]
    if labels:
        left.append(f"  {running_trials(labels, board.done, board.total)}", style="bold")
    right = Text(duration(board.elapsed(now)) if now - board.began >= 1 else "", style="dim")
    remaining = board.seconds_left(now)
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


def _standing(board: Board) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    if board.several:
        line.append(front_line(board), style="bold green" if board.front else "dim")
    elif board.best is None:
        line.append(f"{board.objective.name}  no score yet", style="dim")
    else:
        line.append(f"{board.objective.name}  ", style="dim")
        line.append(f"best {number(board.best)}", style="bold green")
        if board.best_label is not None:
            line.append(f"  trial {board.best_label}", style="dim")
    if board.failed:
        line.append(f"  ·  {board.failed} failed", style="red")
    return line


def _table(board: Board, shown: list[Running], rows: int, width: int) -> RenderableType:
    best = board.best_values or {}
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
        head = "now" if len(board.running) == 1 else f"trial {running.start.label}"
        table.add_column(head, no_wrap=True, max_width=widest)
    table.add_column("best so far", no_wrap=True, max_width=widest, style="green")
    names = list(dict.fromkeys(name for running in shown for name in running.values))
    cut = names if len(names) <= rows else names[: rows - 1]
    for name in cut:
        # Texts, not strings: a name such as "[red]" is no markup.
        cells = [_cell(name, values) for values in (*(r.values for r in shown), best)]
        table.add_row(Text(printable(name)), *cells)
    if len(cut) < len(names):
        table.add_row(Text(f"and {len(names) - len(cut)} more", style="dim"))
    if not names:
        return Text("default configuration", style="dim")
    return table


def _cell(name: str, values: Mapping[str, Value]) -> Text:
    return Text(number(values[name])) if name in values else Text("-", style="dim")


def _side_by_side(board: Board, shown: list[Running], width: int) -> RenderableType:
    """A line for each of several trials."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    for running in shown:
        first = Text(f"trial {running.start.label}", style="bold")
        table.add_row(first, _epochs(running, BAR // 2), _metrics(board, running))
    hidden = len(board.running) - len(shown)
    note = [Text(f"and {hidden} more", style="dim")] if hidden else []
    return Group(_fixed(table, width), *note)


def _epochs(running: Running, bar: int = BAR) -> RenderableType:
    done = running.epoch.epoch + 1 if running.epoch else 0
    line = Text(no_wrap=True)
    if running.epoch is None and running.epochs is None:
        line.append("running", style="dim")
        return line
    of = f" of {running.epochs}" if running.epochs else ""
    line.append(f"epoch {done}{of}")
    if running.epoch is not None and (running.epoch.execution or running.epoch.executions):
        many = f" of {running.epoch.executions}" if running.epoch.executions else ""
        if running.epoch.executions != 1:
            line.append(f"  run {running.epoch.execution + 1}{many}", style="dim")
    if not running.epochs:
        return line
    row = Table.grid(padding=(0, 2, 0, 0))
    row.add_row(line, _bar(done, running.epochs, bar))
    return row


def _metrics(board: Board, running: Running) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    if running.epoch is None:
        return line
    metrics = running.epoch.metrics
    wanted = [name for name in board.objective.names if name in metrics]
    for name in [*wanted, *(name for name in metrics if name not in wanted)]:
        line.append(f"{name} ", style="dim")
        line.append(number(metrics[name], 4), style="bold" if name in wanted else "")
        line.append("   ")
    return line


def news(board: Board, ended: Ended) -> Text | None:
    """The line that a finished trial leaves behind: for a new best score and for a failure."""
    trial = ended.trial
    if ended.is_best and board.several:
        told = ", ".join(f"{name} {number(v)}" for name, v in reached(board.objective, trial))
        line = Text().append("★ ", style="green").append(f"trial {ended.label}  ")
        line.append(f"on the Pareto front: {told}", style="bold")
    elif ended.is_best and trial.score is not None:
        line = Text().append("★ ", style="green").append(f"trial {ended.label}  ")
        line.append(f"{board.objective.name} {number(trial.score)}", style="bold")
    elif trial.status in (Status.FAILED, Status.WAITING):
        line = Text().append("✗ ", style="red").append(f"trial {ended.label}  ")
        kind = trial.failure.kind.value if trial.failure else "error"
        again = ", to be run again" if trial.status is Status.WAITING else ""
        line.append(f"failed ({kind}{again}): {reason(trial.failure)}")
    else:
        return None
    line.append(f"  {duration(ended.seconds)}", style="dim")
    return line


def farewell(board: Board, now: float) -> Text:
    """What stays on the terminal when the search is over, or was broken off."""
    spent = duration(board.elapsed(now))
    done = plural(board.done, "trial")
    if board.reason is None:
        of = f" of {board.total}" if board.total else ""
        text = Text(f"Search stopped after {spent}: {board.done}{of} trials finished")
    else:
        text = Text(f"Search ended after {spent}: {board.reason}, {done} finished")
    text.append(f", {board.failed} failed." if board.failed else ".")
    if board.front:
        line = front_line(board)
        text.append(f"\n{line[0].upper()}{line[1:]}", style="bold")
    if board.best is None:
        return text
    text.append(f"\nBest {board.objective.name} {number(board.best, 6)}", style="bold")
    if board.best_label is not None:
        text.append(f" in trial {board.best_label}")
    if board.best_values:
        pairs = (f"{name}={number(value)}" for name, value in board.best_values.items())
        text.append(": " + ", ".join(pairs))
    return text
