"""The folder of a project: who may look into it."""

from __future__ import annotations

from pathlib import Path

PRIVATE = 0o700
"""Only its owner may read a project. Data, models and tracebacks may hold what is nobody else's
business, and the usual umask lets everybody on the machine read new files."""


def make_project_folder(folder: Path) -> None:
    """Makes the folder of a project, for its owner alone; an existing one stays as it is.

    To share a project, make its folder before the search, or change its mode: `chmod g+rx FOLDER`.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=PRIVATE, exist_ok=True)
