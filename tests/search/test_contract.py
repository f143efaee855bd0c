import pytest

from afina.search import Grid, Hyperband, Random
from afina.testing import check_algorithm


def test_random_search_keeps_what_algorithms_promise():
    check_algorithm(lambda seed: Random(seed))


def test_grid_search_keeps_what_algorithms_promise():
    check_algorithm(lambda seed: Grid(), draws=False)


@pytest.mark.parametrize("max_epochs", [1, 9, 100])
def test_hyperband_keeps_what_algorithms_promise(max_epochs):
    check_algorithm(
        lambda seed: Hyperband(max_epochs=max_epochs, iterations=None, seed=seed),
        trials=40,
        exhausts=False,
    )
