"""Exit codes that more than one command has; `afina.cli` lists all."""

NOTHING_COMPLETED = 3
"""No trial of the search was completed."""
