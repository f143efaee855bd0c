import functools
import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import qmc

from afina.errors import ArgumentError
from afina.search import TPE, QuasiRandom, Situation, sobol
from afina.space import Boolean, Choice, Fixed, Float, Int, Parent, Space
from afina.surrogates.geometry import Geometry
from afina.testing import check_algorithm
from afina.testing.toys import run, sphere_space


def test_it_keeps_what_algorithms_promise():
    check_algorithm(lambda seed: QuasiRandom(seed))


def test_without_scrambling_it_is_the_sequence_that_scipy_knows():
    theirs = qmc.Sobol(len(sobol.TABLE), scramble=False, bits=sobol.BITS).random(256)
    directions = [sobol._directions(*entry) for entry in sobol.TABLE]
    for index, row in enumerate(theirs):
        places = [k for k in range(8) if (index ^ (index >> 1)) >> k & 1]  # Gray code
        mine = [
            functools.reduce(operator.xor, [numbers[k] for k in places], 0) / 2**sobol.BITS
            for numbers in directions
        ]
        assert mine == row.tolist()


@given(st.integers(0, 2**40), st.integers(0, 300), st.integers(0, 8))
def test_each_power_of_two_of_points_meets_each_part_of_a_coordinate_once(seed, dimension, power):
    units = [sobol.unit(seed, dimension, index) for index in range(2**power)]
    assert sorted(int(u * 2**power) for u in units) == list(range(2**power))


@pytest.mark.parametrize("shift", [0, 40, 64, 1000])
def test_it_is_more_even_than_chance_also_where_the_table_has_ended(shift):
    def design(seed):
        return np.array([[sobol.unit(seed, shift + d, i) for d in range(8)] for i in range(64)])

    mine = np.median([qmc.discrepancy(design(seed)) for seed in range(9)])
    chance = np.median(
        [qmc.discrepancy(np.random.default_rng(seed).random((64, 8))) for seed in range(9)]
    )
    assert mine < 0.75 * chance


def test_two_uses_of_one_dimension_of_the_table_are_unlike():
    size = len(sobol.TABLE)
    one, two = ([sobol.unit(1, d, i) for i in range(256)] for d in (5, 5 + size))
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.2
    cells = {(int(8 * a), int(8 * b)) for a, b in zip(one, two, strict=True)}
    assert len(cells) > 32  # of 64; on a line it would be 8


def test_the_first_point_is_the_default_configuration_and_all_are_full():
    on = [Parent("norm", True)]
    space = Space((Boolean("norm"), Choice("kind", list("abc"), default="c", conditions=on)))
    geometry = Geometry(space)
    for index in range(6):
        point = sobol.point(geometry, index, 3)
        assert point.shape == (1, geometry.dim)
        assert not np.isnan(point).any()
    assert geometry.decode(sobol.point(geometry, 0, 3)[0]) == {"norm": False}


def test_entries_found_later_leave_the_draws_of_the_others():
    small = Space((Float("a", 0, 1), Fixed("f", 1), Int("n", 1, 1), Choice("c", list("xyz"))))
    # `n` has found more values, which gives it an axis, and `late` is new.
    large = Space((*small.entries[:2], Int("n", 1, 9), small.entries[3], Float("late", 0, 1)))
    for index in range(1, 9):
        one, two = (
            Geometry(space).decode(sobol.point(Geometry(space), index, 5)[0])
            for space in (small, large)
        )
        assert (one["a"], one["c"]) == (two["a"], two["c"])


def test_choices_and_whole_numbers_come_evenly():
    space = Space((Choice("c", list("abcd")), Int("n", 1, 16), Boolean("b")))
    rows = [dict(t.values) for t in run(QuasiRandom(seed=2), lambda v: 0.0, space, 33).trials[1:]]
    assert max(sum(r["c"] == c for r in rows) for c in "abcd") <= 10  # 8 if none were replaced
    assert {row["n"] for row in rows} == set(range(1, 17))


def test_proposals_hang_on_the_number_alone():
    space = sphere_space(3)
    search = QuasiRandom(seed=4)
    done = run(search, lambda values: 0.0, space, 20)
    for trial in done.trials:
        answer = search.ask(search.init(), Situation(number=trial.number, space=space))
        assert answer.values == trial.values


@pytest.mark.parametrize("seed", [-1, 1.5, True, None])
def test_a_seed_is_a_whole_number_from_0_up(seed):
    with pytest.raises(ArgumentError, match="seed"):
        QuasiRandom(seed)


def test_the_default_configuration_is_not_rounded():
    space = Space((Float("rate", 1e-4, 1e-1, sampling="log", default=1e-3),))
    for kind in (QuasiRandom, TPE):
        search = kind(seed=0)
        answer = search.ask(search.init(), Situation(number=0, space=space))
        assert answer.values == {"rate": 1e-3}
