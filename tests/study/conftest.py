"""What the tests of several workers look at."""

import pytest

from afina.store.write_queue import place_in_line


@pytest.fixture
def waits(monkeypatch):
    """The waits for other workers, in SQLite's line."""
    seen = []

    def counted(file, patience):
        seen.append(file)
        return place_in_line(file, patience)

    monkeypatch.setattr("afina.store.writer.place_in_line", counted)
    return seen
