"""Errors of PostgreSQL and its driver, turned into messages that say what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence

from afina.errors import StoreError

_SAFE = "Nothing was changed: the trials finished so far are kept."

_SESSIONS = (
    "Afina needs a connection of its own: connect to the server itself, or set the pooler to "
    "pool_mode = session"
)

# What the server or libpq says, and what to do about it; the first that fits. Where waiting cannot
# help, the third entry says so.
_CAUSES: Sequence[tuple[Sequence[str], str, bool]] = (
    (
        ("unsupported startup parameter", "unsupported options parameter"),
        "This is a connection pooler such as PgBouncer, which refuses the settings of the "
        f"connection. {_SESSIONS} and ignore_startup_parameters = options.",
        True,
    ),
    (
        ("authentication failed", "no password supplied"),
        "Check the user and the password in the URL, in ~/.pgpass or in PGPASSWORD.",
        True,
    ),
    (
        ("no pg_hba.conf entry",),
        "Ask for an entry in the server's pg_hba.conf that lets this user connect from this "
        "machine, or try ?sslmode=require in the URL.",
        True,
    ),
    # Not "SSL" alone: a connection that breaks off says that too.
    (
        ("does not support SSL", "certificate"),
        "Check sslmode and the certificates in the URL.",
        True,
    ),
    (
        ("does not exist",),
        "Check the names of the user and the database in the URL, or create them: createuser and "
        "createdb.",
        True,
    ),
    (("invalid connection option",), "Check the options after the ? in the URL.", True),
    (
        ("permission denied for schema", "permission denied for table"),
        "Another user of the database has made this search. Connect as that user, or use another "
        "project_name. To share it, that user runs: GRANT ALL ON SCHEMA name TO user; GRANT ALL ON "
        "ALL TABLES IN SCHEMA name TO user.",
        True,
    ),
    (
        ("permission denied",),
        "Ask the owner of the database to run: GRANT CREATE, CONNECT ON DATABASE name TO user.",
        True,
    ),
    (
        ("too many", "remaining connection slots"),
        "Start fewer workers, or raise max_connections of the server: a worker takes two.",
        False,
    ),
    (
        ("read-only transaction",),
        "Connect to the primary server: this one is a replica, or takes no writes.",
        True,
    ),
    (
        ("resolve host", "translate host name", "refused", "timeout", "No such file", "No route"),
        "Check the host and the port in the URL, and that the server runs.",
        False,
    ),
)

_OTHER = (
    "Check that the server runs, and that this user may create a schema and tables in the database."
)


def refused(schema: str, place: str, said: str) -> StoreError:
    """The error for what the server or its driver has said.

    Args:
        schema: Of the search.
        place: The database, for messages.
        said: libpq's own words, which may name the host, but never the password.
    """
    advice = next((advice for texts, advice, _ in _CAUSES if _says(said, texts)), _OTHER)
    words = " ".join(re.split(r"\s+LINE \d+:", said)[0].split()).rstrip(".")
    return StoreError(f"The search {schema!r} in {place} cannot be used: {words}. {_SAFE} {advice}")


def is_hopeless(said: str) -> bool:
    """Whether the reason why no connection could be made will not pass by itself."""
    return next((hopeless for texts, _, hopeless in _CAUSES if _says(said, texts)), False)


def pooled(schema: str, place: str) -> StoreError:
    """The error of a worker whose transactions a pooler spreads over several connections."""
    return StoreError(
        f"The search {schema!r} in {place} cannot be used: a connection pooler gives each "
        f"transaction another connection of the server. {_SAFE} {_SESSIONS}."
    )


def _says(said: str, texts: Sequence[str]) -> bool:
    return any(text in said for text in texts)
