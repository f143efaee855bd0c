"""Contract checks and cheap objectives, for our tests and for other people's plug-ins."""

from afina.testing.algorithms import check_algorithm
from afina.testing.stores import STORE_CHECKS, check_store
from afina.testing.toys import run

__all__ = ["STORE_CHECKS", "check_algorithm", "check_store", "run"]
