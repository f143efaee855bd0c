"""Contract checks and cheap objectives, for our tests and for other people's plug-ins."""

from afina.testing.algorithms import check_algorithm
from afina.testing.toys import run

__all__ = ["check_algorithm", "run"]
