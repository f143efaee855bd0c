"""What commands take as FOLDER: a project's folder, or the URL of the store that holds a search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

_FOLDER: click.Path = click.Path(exists=True, file_okay=False, path_type=Path)


class _Place(click.ParamType):  # type: ignore[type-arg]
    """A folder as a Path, a database as its URL."""

    name = "folder"

    def convert(self, value: Any, param: Any, ctx: Any) -> Path | str:
        from afina.store.places import folder_of, is_postgres

        if is_postgres(value):
            return str(value)
        if isinstance(value, str):
            value = str(folder_of(value))
        return Path(str(_FOLDER.convert(value, param, ctx)))


PLACE = _Place()
"""A tuner's `directory/project_name`, or "postgresql://user@host/database?project=name"."""
