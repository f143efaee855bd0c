"""SQL statements that are run with every trial, compiled once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, CursorResult, Executable


class Statement:
    """A statement whose text is kept for SQLite: SQLAlchemy takes longer to look it up than SQLite
    takes to run it.

    Args:
        statement: With parameters of the same names at each call.
    """

    def __init__(self, statement: Executable) -> None:
        self._statement = statement
        self._text: str | None = None
        self._places: tuple[str, ...] = ()

    def run(
        self, connection: Connection, values: Mapping[str, Any] | None = None
    ) -> CursorResult[Any]:
        """Executes the statement.

        Args:
            connection: To the database.
            values: Of its parameters.
        """
        given = {} if values is None else dict(values)
        if connection.dialect.name != "sqlite":
            return connection.execute(self._statement, given)
        if self._text is None:
            compiled: Any = self._statement.compile(  # type: ignore[attr-defined]
                dialect=connection.dialect, column_keys=list(given)
            )
            self._places = tuple(compiled.positiontup or ())
            self._text = str(compiled)
        return connection.exec_driver_sql(self._text, tuple(given[n] for n in self._places))
