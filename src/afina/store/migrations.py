"""The tables of a search in a database server: made, checked, brought up to date."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import sqlalchemy as sql
from sqlalchemy import Connection
from sqlalchemy.schema import CreateSchema

from afina.errors import ProjectVersionError
from afina.store.tables import BY_REVISION, COUNTER, FORMAT, META, METADATA


def prepare_schema(connection: Connection, schema: str, place: str, *, change: bool) -> None:
    """Makes the tables of a search, or adds what an older Afina has not made.

    Args:
        connection: To the database; with `change`, a transaction is open.
        schema: Of the search.
        place: The database, for messages.
        change: Whether anything may be changed.

    Raises:
        ProjectVersionError: Another version of Afina made them.
    """
    if change:
        # One worker at a time, also before there is a row to lock.
        lock = sql.text("SELECT pg_advisory_xact_lock(20201, hashtext(:name))")
        connection.execute(lock, {"name": schema})
        connection.execute(CreateSchema(schema, if_not_exists=True))
        METADATA.create_all(connection)
        _add_columns(connection, schema)
        BY_REVISION.create(connection, checkfirst=True)
        if connection.execute(sql.select(META.c.format)).one_or_none() is None:
            connection.execute(META.insert().values(id=0, format=FORMAT, afina=afina_version()))
        if connection.execute(sql.select(COUNTER.c.revision)).one_or_none() is None:
            connection.execute(COUNTER.insert().values(id=0, revision=0))
    found = connection.execute(sql.select(META.c.format, META.c.afina)).one_or_none()
    if found is not None and found.format != FORMAT:
        raise ProjectVersionError(
            f"The search {schema!r} in {place} is in format {found.format}, written by Afina "
            f"{found.afina}. This is Afina {afina_version()}, which reads and writes format "
            f"{FORMAT}. Nothing was changed. Use that version of Afina, or another project_name."
        )


def _add_columns(connection: Connection, schema: str) -> None:
    for table in METADATA.sorted_tables:
        there = {each["name"] for each in sql.inspect(connection).get_columns(table.name, schema)}
        for column in table.columns:
            if column.name not in there:
                kind = column.type.compile(connection.dialect)
                name = f'"{schema}"."{table.name}"'
                connection.exec_driver_sql(f'ALTER TABLE {name} ADD COLUMN "{column.name}" {kind}')


def afina_version() -> str:
    """The version of this package."""
    try:
        return version("afina")
    except PackageNotFoundError:  # run from a source folder
        return "(unknown version)"
