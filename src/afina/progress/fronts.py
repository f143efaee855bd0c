"""How a search with several objectives is told: each objective by its name, and the front."""

from __future__ import annotations

from afina.progress.board import Board
from afina.progress.wording import number
from afina.trials import MultiObjective, Objective, Trial


def reached(objective: Objective, trial: Trial) -> list[tuple[str, float]]:
    """What a trial reached in each objective, as the user measures it; empty where in none.

    Args:
        objective: Of the search.
        trial: Completed.
    """
    if not isinstance(objective, MultiObjective) or not objective.losses(trial.metrics):
        return []
    return [(part.name, part.get_value(trial.metrics)) for part in objective.objectives]


def front_line(board: Board) -> str:
    """The front in one line: how many trials, and the best in each objective."""
    if not isinstance(board.objective, MultiObjective) or not board.front:
        return "no trial on the Pareto front yet"
    count = len(board.front)
    said = [f"{count} {'trial' if count == 1 else 'trials'} on the Pareto front"]
    for part in board.objective.objectives:
        rows = [(part.get_value(each.trial.metrics), each.label) for each in board.front]
        value, label = min(rows, key=lambda row, part=part: part.loss(row[0]))  # type: ignore[misc]
        said.append(f"best {part.name} {number(value)} (trial {label})")
    return ", ".join(said)
