"""The tables of a project, in SQL that every database understands.

JSON is stored as text, so one codec serves all databases; SQLite's `json_extract` and
PostgreSQL's `::json` read it. Keep statements of a single dialect out of this file.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, Integer, MetaData, String, Table, Text

FORMAT = 1
"""Version of the tables below. Raise it when an older Afina could no longer read them."""

METADATA = MetaData()

META = Table(
    "meta",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),  # one row, 0
    # Every version of Afina must be able to read these two, to say what it cannot read.
    Column("format", Integer, nullable=False),
    Column("afina", String(40), nullable=False),  # version of the package that made the project
    Column("header", Text),
    Column("space", Text),
    Column("crc", BigInteger),  # of the two above; see `codec.checksum`
)

TRIALS = Table(
    "trials",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("status", String(20), nullable=False),
    Column("values", Text, nullable=False),
    Column("score", Float(53)),
    Column("loss", Float(53)),
    Column("best_step", Integer),
    Column("metrics", Text, nullable=False),
    Column("failure_kind", String(40)),
    Column("failure_message", Text),
    Column("bracket", Integer),
    Column("rung", Integer),
    Column("start_epoch", Integer),
    Column("end_epoch", Integer),
    Column("parent", Integer),
    Column("iteration", Integer),
    Column("ranges", Text, nullable=False),
    Column("known", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("ended", Integer, unique=True),
    Column("seconds", Float(53), nullable=False),
    Column("notes", Text, nullable=False),
    Column("crc", BigInteger),  # of all but this and the next; None if an older Afina wrote it
    Column("revision", BigInteger),  # of the search when the row was last written
)

BY_REVISION = Index("trials_by_revision", TRIALS.c.revision)
"""Finds what is new without reading the rest."""

CLAIMS = Table(
    "claims",
    METADATA,
    Column("trial", Integer, primary_key=True, autoincrement=False),
    Column("owner", String(200), nullable=False),  # the worker that runs it
    # The last sign of life of the owner: the database's time in seconds, or a count that goes up.
    Column("beat", Float(53), nullable=False),
)
"""Which trials are running, and under whose lease. An older Afina does not know it."""

COUNTER = Table(
    "counter",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),  # one row, 0
    Column("revision", BigInteger, nullable=False),
)
"""The revision of the search, which goes up with each change: a small row, as it is written with
each of them."""

# No foreign key: reports may come before their trial's row.
REPORTS = Table(
    "reports",
    METADATA,
    Column("trial", Integer, primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("execution", Integer, primary_key=True, autoincrement=False),
    Column("step", Integer, primary_key=True, autoincrement=False),
    Column("metrics", Text, nullable=False),
)

NOTES = Table(
    "notes",
    METADATA,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

UNCHECKED = ("crc", "revision")
"""The columns that no checksum covers."""

ADDED = {META.name: ("crc",), TRIALS.name: UNCHECKED}
"""Columns that the tables of the first projects lack."""

NEW_TABLES = (CLAIMS, COUNTER)
"""Tables that the first projects lack."""
