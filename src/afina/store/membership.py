"""Who works on a search in a database server, so that nobody deletes it under their hands.

    a worker's connection ── shared lock, as long as it is open
    deletion ─────────────── the same lock alone: refused while a worker is connected

The server ends a lock with its connection. A worker that comes back after a deletion finds other
tables than those that it knew; see `check_same`.
"""

from __future__ import annotations

import sqlalchemy as sql
from sqlalchemy import Connection
from sqlalchemy.schema import DropSchema

from afina.errors import ProjectLockedError, StoreError
from afina.store.tables import CLAIMS

_JOINED = "afina_joined"
_KEY = "20202, hashtext(:schema)"
_SHARED = sql.text(f"SELECT pg_advisory_lock_shared({_KEY})")
_ALONE = sql.text(f"SELECT pg_try_advisory_xact_lock({_KEY})")


def join(connection: Connection, schema: str) -> None:
    """Holds a search as one of its workers, until the connection ends.

    Args:
        connection: To the database.
        schema: Of the search.
    """
    if _JOINED not in connection.info:
        connection.execute(_SHARED, {"schema": schema})
        connection.info[_JOINED] = True


def check_same(known: int | None, found: int, schema: str, place: str) -> int:
    """Which tables a search has now.

    Args:
        known: Those that this worker has written to; None before.
        found: Those that are there.
        schema: Of the search.
        place: The database, for messages.

    Raises:
        StoreError: They are others.
    """
    if known is not None and known != found:
        raise was_deleted(schema, place)
    return found


def was_deleted(schema: str, place: str) -> StoreError:
    """The error of a worker whose search is not there any more."""
    return StoreError(
        f"The search {schema!r} in {place} was deleted while this worker was away. Nothing was "
        "changed. Create the tuner again to continue with what is there now."
    )


def delete_schema(connection: Connection, schema: str, place: str) -> None:
    """Deletes a search with all its tables, in the open transaction.

    Args:
        connection: To the database.
        schema: Of the search.
        place: The database, for messages.

    Raises:
        ProjectLockedError: A worker is connected.
    """
    if not connection.execute(_ALONE, {"schema": schema}).scalar_one():
        raise ProjectLockedError(
            f"The search {schema!r} in {place} is being worked on by {_workers(connection, schema)}"
            ". Nothing was changed. Wait for that search to end, stop it, or use another "
            "project_name. To join it, leave out overwrite=True."
        )
    connection.execute(DropSchema(schema, cascade=True, if_exists=True))


def _workers(connection: Connection, schema: str) -> str:
    owners = []
    if sql.inspect(connection).has_table(CLAIMS.name, schema=schema):
        query = sql.select(CLAIMS.c.owner).distinct().order_by(CLAIMS.c.owner)
        owners = [owner.split(" ", 3) for owner in connection.execute(query).scalars()]
    named = [f"process {parts[0]} on {parts[-1]}" for parts in owners[:3]]
    more = len(owners) - len(named)
    return ", ".join([*named, *([f"{more} more"] * bool(more))]) or "another process"
