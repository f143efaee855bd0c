"""SQL statements that are run with every trial, compiled once."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sql
from sqlalchemy import Connection, Executable

Row = Mapping[Any, Any]


class Statement:
    """A statement that goes straight to SQLite's driver, as a text that is made once: SQLAlchemy
    takes several times as long to pass a statement on as SQLite takes to run it.

    Args:
        statement: With parameters of the same names at each call.
    """

    def __init__(self, statement: Executable) -> None:
        self._statement = statement
        self._text: str | None = None
        self._places: tuple[str, ...] = ()
        self._names: tuple[str, ...] = ()

    def prepare(self, connection: Connection, names: Collection[str]) -> None:
        """Makes the text now, rather than in the first turn, in which others wait.

        Args:
            connection: To the database.
            names: Of the parameters.
        """
        if self._text is not None or connection.dialect.name != "sqlite":
            return
        compiled: Any = self._statement.compile(  # type: ignore[attr-defined]
            dialect=connection.dialect, column_keys=list(names)
        )
        self._places = tuple(compiled.positiontup or ())
        if isinstance(self._statement, sql.Select):
            self._names = tuple(column.name for column in self._statement.selected_columns)
        self._text = str(compiled)

    def run(self, connection: Connection, values: Mapping[str, Any] | None = None) -> None:
        """Executes a statement that returns nothing.

        Args:
            connection: To the database.
            values: Of its parameters.
        """
        if connection.dialect.name == "sqlite":
            self._run(connection, values or {})
        else:
            connection.execute(self._statement, dict(values or {}))

    def rows(self, connection: Connection, values: Mapping[str, Any] | None = None) -> list[Row]:
        """The rows that a statement returns, by column.

        Args:
            connection: To the database.
            values: Of its parameters.
        """
        if connection.dialect.name == "sqlite":
            found = self._run(connection, values or {})
            return [dict(zip(self._names, row, strict=True)) for row in found]
        found = connection.execute(self._statement, dict(values or {}))
        return [row._mapping for row in found]

    def row(self, connection: Connection, values: Mapping[str, Any] | None = None) -> Row | None:
        """The only row; None if there is none."""
        found = self.rows(connection, values)
        return found[0] if found else None

    def _run(self, connection: Connection, values: Mapping[str, Any]) -> Any:
        if self._text is None:
            self.prepare(connection, values)
        driver: Any = connection.connection.driver_connection
        given = [values[name] for name in self._places]
        try:
            return driver.execute(self._text, given).fetchall()
        except sqlite3.Error as error:  # as SQLAlchemy's own would say
            raise sql.exc.DBAPIError.instance(
                self._text, None, error, sqlite3.Error, dialect=connection.dialect
            ) from error
