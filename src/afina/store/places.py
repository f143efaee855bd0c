"""What users name as the place of a search: a folder or a URL; read and shown, not opened."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from afina.errors import ArgumentError, wrong

STORAGE = "AFINA_STORAGE"
"""The environment variable that names the storage of searches to which none is given."""


URLS = '"memory:", "sqlite:///folder" or "postgresql://user@host/database"'
"""The URLs that a store has, for messages."""


def chosen_place(store: Any, storage: Any) -> Any:
    """What a user has given as `store=` or `storage=`, which mean the same.

    Returns:
        None if neither is given, and the environment names none.

    Raises:
        ArgumentError: Both are given.
    """
    if store is not None and storage is not None:
        rule = "must be None where store is given: the two mean the same"
        raise ArgumentError(wrong("storage", rule, hide_password(storage)))
    given = storage if store is None else store
    return os.environ.get(STORAGE) or None if given is None else given


def hide_password(where: Any) -> Any:
    """A URL as messages may show it; anything else as it is.

    Example:
        >>> hide_password("postgresql://me:secret@host/db")
        'postgresql://me:***@host/db'
    """
    if not isinstance(where, str):
        return where
    shown = _USER_AND_PASSWORD.sub(r"\1:***@", where)
    return _PASSWORD_OPTION.sub(r"\1***", shown)


# A password may hold "/", ":" and even "@", against the rules of URLs: all up to the last "@"
# before the options is hidden.
_USER_AND_PASSWORD = re.compile(r"([A-Za-z][\w+.-]*:/*[^:/@\s]*):[^@]*@(?:[^?]*@)?")
_PASSWORD_OPTION = re.compile(r"(?i)(\b(?:ssl)?password\s*=\s*)(?:'(?:[^'\\]|\\.)*'|[^&\s]*)")


def name_of_search(where: Path | str) -> str:
    """What to call the search in a folder or a database.

    Example:
        >>> name_of_search("postgresql://host/db?project=digits")
        'digits'
    """
    if not is_postgres(where):
        return Path(where).resolve().name
    named = re.search(r"[?&]project=([^&]+)", str(where))
    return named[1] if named else "afina"


def is_postgres(where: Any) -> bool:
    """Whether this is the URL of a PostgreSQL database."""
    return isinstance(where, str) and bool(re.match(r"(?i)postgres(ql)?(\+\w+)?://", where))


def folder_of(text: str) -> Path:
    """The folder that a path or a URL names.

    Raises:
        ArgumentError: It is a URL of another kind.

    Example:
        >>> str(folder_of("sqlite:///searches/digits"))
        'searches/digits'
    """
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):(/*)", text)  # "C:/folder" has none
    if scheme is None:
        if re.match(r"\s*\w+\s*=\s*\S+\s+\w+\s*=", text):
            advice = f"Write these settings as a URL: {_EXAMPLE}."
            raise _no_store(text, advice)
        return Path(text)
    kind, folder = scheme[1].lower().partition("+")[0], text[scheme.end() :]
    slashes = len(scheme[2])
    if (kind == "sqlite" and folder == ":memory:") or text.lower() in ("sqlite://", "sqlite:///"):
        raise _no_store(text, 'To keep the trials in memory, use "memory:".')
    if kind == "sqlite" and slashes >= 3 and folder:
        return Path(text[scheme.start(2) + 3 :])
    if kind in ("postgres", "postgresql"):
        raise _no_store(text, f"Two slashes follow the colon: {_EXAMPLE}.")
    if slashes >= 2 or kind in ("sqlite", "memory") or not folder:
        raise _no_store(text)
    return Path(text)  # a folder with a colon in its name


_EXAMPLE = "postgresql://user@host/database"


def _no_store(text: str, advice: str = "") -> ArgumentError:
    rule = f"must be a folder, or a URL: {URLS}"
    return ArgumentError(wrong("store", rule, hide_password(text), advice))
