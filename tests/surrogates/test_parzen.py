import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from afina.search.untried import listed
from afina.space import Boolean, Choice, Float, Int, Parent, Space
from afina.surrogates.bandwidths import bandwidths
from afina.surrogates.geometry import Geometry
from afina.surrogates.parzen import (
    NARROWEST,
    NARROWEST_OF_CELLS,
    Columns,
    mixture,
)

from ..space.strategies import spaces


def encoded(columns, space, count, seed=0):
    """(count, columns) rows of random configurations, NaN where inactive."""
    rng = np.random.default_rng(seed)
    rows = [space.sample(rng) for _ in range(count)]
    return columns.read(columns.geometry.encode(rows))


def full(columns, space, rows):
    """The points of configurations as rows without NaN, and where they are active."""
    encoded = columns.read(columns.geometry.encode(rows))
    active = ~np.isnan(encoded)
    return np.where(active, encoded, 0.0), active


def normal(x):
    return 0.5 * (1 + math.erf(x / math.sqrt(2)))


def plain_density(columns, rows, weights, prior, point, active):
    """The mixture's density at one point, by the text at the head of the module."""
    parts = columns.geometry.tunable
    total = 0.0
    for number, row in enumerate([*rows, [math.nan] * columns.count]):
        kernel = (*weights, prior)[number] / (sum(weights) + prior)
        for c in range(columns.count):
            if not active[c]:
                continue
            part, x, seen = parts[c], point[c], [r[c] for r in rows if not math.isnan(r[c])]
            mean = row[c]
            if c in columns.categories:
                size = len(part.values)
                own = (len(seen) + 1) / (len(seen) + size)
                if math.isnan(mean):
                    kernel *= 1 / size
                else:
                    kernel *= own if x == mean else (1 - own) / (size - 1)
                continue
            cell = None
            if part.positions is not None:
                middles = (part.positions[1:] + part.positions[:-1]) / 2
                edges = [0.0, *middles, 1.0]
                index = int(np.abs(part.positions - x).argmin())
                if max(np.diff(edges)) > NARROWEST:
                    cell = edges[index], edges[index + 1]
            if math.isnan(mean):
                kernel *= 1.0 if cell is None else cell[1] - cell[0]
                continue
            width = plain_width(seen, mean, part)
            whole = normal((1 - mean) / width) - normal(-mean / width)
            if cell is None:
                bell = math.exp(-0.5 * ((x - mean) / width) ** 2)
                kernel *= bell / width / math.sqrt(2 * math.pi) / whole
            else:
                kernel *= normal((cell[1] - mean) / width) - normal((cell[0] - mean) / width)
                kernel /= whole
        total += kernel
    return total


def plain_width(seen, mean, part):
    others = sorted(seen)
    others.remove(mean)
    gaps = [mean - max(o for o in others if o <= mean)] if any(o <= mean for o in others) else []
    gaps += [min(o for o in others if o >= mean) - mean] if any(o >= mean for o in others) else []
    gaps = gaps or [mean, 1 - mean]
    least = max(NARROWEST, (len(seen) + 1) ** -2)
    if part.positions is not None:
        least = max(least, NARROWEST_OF_CELLS / len(part.positions))
    return min(max(*gaps, least), 1.0)


def log_density(mixture, rows, active):
    return logsumexp(mixture.kernel_logs(rows, active), axis=1)


@settings(max_examples=60)
@given(spaces(), st.integers(0, 12), st.integers(0, 10**6))
def test_the_density_equals_that_of_the_plain_sum(space, count, seed):
    columns = Columns(Geometry(space))
    rows = encoded(columns, space, count, seed)
    for c in columns.numbers:  # ties: which of equals has which neighbour is not defined
        known = rows[~np.isnan(rows[:, c]), c]
        assume(len(set(known)) == len(known))
    rng = np.random.default_rng(seed)
    weights = rng.random(count)
    asked = [space.sample(rng) for _ in range(5)]
    points, active = full(columns, space, asked)
    fast = log_density(mixture(columns, rows, weights, 0.7), points, active)
    slow = [
        plain_density(columns, rows.tolist(), weights.tolist(), 0.7, point, on)
        for point, on in zip(points.tolist(), active, strict=True)
    ]
    assert np.allclose(fast, np.log(slow), rtol=1e-9, atol=1e-9)


@settings(max_examples=60)
@given(spaces(max_entries=4, continuous=False), st.integers(0, 30), st.integers(0, 10**6))
def test_over_all_configurations_of_a_finite_space_it_sums_up_to_1(space, count, seed):
    assume((space.size(3000) or 0) > 1)
    columns = Columns(Geometry(space))
    rows = encoded(columns, space, count, seed)
    density = mixture(columns, rows, np.ones(count), 1.0)
    points, active = full(columns, space, [values for _, values in listed(space)])
    mass = np.exp(log_density(density, points, active))
    # Numbers of very many values count by the density at their middle.
    narrow = [c for c in columns.smooth.tolist() if c in columns.edges]
    for c in narrow:
        edges = columns.edges[c]
        sizes = np.diff(edges)[np.searchsorted(edges[1:-1], points[:, c])]
        mass *= np.where(active[:, c], sizes, 1.0)
    assert mass.sum() == pytest.approx(1.0, abs=0.02 if narrow else 1e-9)


def test_over_real_numbers_under_a_condition_it_integrates_to_1():
    on = [Parent("kind", ["b", "c"])]
    space = Space((Choice("kind", list("abc")), Float("x", 0, 1, conditions=on), Float("y", 0, 1)))
    columns = Columns(Geometry(space))
    density = mixture(columns, encoded(columns, space, 9), np.arange(9.0), 1.0)
    nodes, sizes = np.polynomial.legendre.leggauss(80)
    nodes, sizes = (nodes + 1) / 2, sizes / 2
    total = 0.0
    for kind in range(3):
        xs = nodes if kind else nodes[:1]
        grid = np.array([[kind, x, y] for x in xs for y in nodes])
        active = np.ones(grid.shape, bool)
        active[:, 1] = kind > 0
        mass = np.exp(log_density(density, grid, active)).reshape(len(xs), 80)
        total += (mass @ sizes) @ (sizes if kind else [1.0])
    assert total == pytest.approx(1.0, abs=1e-6)


def test_samples_come_as_often_as_their_density_says():
    on = [Parent("flag", True)]
    space = Space((Boolean("flag"), Int("n", 1, 4), Choice("c", list("pqr"), conditions=on)))
    columns = Columns(Geometry(space))
    density = mixture(columns, encoded(columns, space, 6, 3), np.array([3.0, 1, 1, 1, 1, 0]), 1.0)
    drawn = density.sample(40_000, np.random.default_rng(0))
    active = columns.active(drawn)
    drawn = np.where(active, drawn, -1.0)
    rows, counts = np.unique(drawn, axis=0, return_counts=True)
    expected = np.exp(log_density(density, np.where(rows < 0, 0.0, rows), rows >= 0))
    assert expected.sum() == pytest.approx(1.0, abs=1e-9)
    assert np.abs(counts / 40_000 - expected).max() < 0.01


@given(spaces(), st.integers(0, 10**6))
def test_rows_written_and_read_again_are_the_same(space, seed):
    columns = Columns(Geometry(space))
    rows = columns.uniform(20, np.random.default_rng(seed))
    assert np.allclose(columns.read(columns.write(rows)), rows)
    for point in columns.write(rows):
        values = columns.geometry.decode(point)
        assert set(values) == {entry.name for entry in space.active(values)}


@given(spaces(), st.integers(0, 10**6))
def test_where_entries_are_active_agrees_with_the_space(space, seed):
    columns = Columns(Geometry(space))
    rows = columns.uniform(20, np.random.default_rng(seed))
    active = columns.active(rows)
    for row, on in zip(rows, active, strict=True):
        values = columns.geometry.decode(columns.write(row[None])[0])
        known = ~np.isnan(columns.read(columns.geometry.encode([values])))[0]
        assert known.tolist() == on.tolist()


def test_the_order_of_the_hyperparameters_changes_no_density():
    entries = (Float("x", 0, 1), Choice("c", list("abc")), Int("n", 1, 5), Boolean("b"))
    rng = np.random.default_rng(0)
    tried = [Space(entries).sample(rng) for _ in range(12)]
    asked = [Space(entries).sample(rng) for _ in range(6)]

    def densities(space):
        columns = Columns(Geometry(space))
        rows = columns.read(columns.geometry.encode(tried))
        density = mixture(columns, rows, np.arange(12.0), 1.0)
        return log_density(density, *full(columns, space, asked))

    assert np.allclose(densities(Space(entries)), densities(Space(entries[::-1])), rtol=1e-12)


def test_bandwidths_are_the_gaps_to_the_farther_neighbours():
    numbers = np.array([[0.5, 0.1, 0.9, 0.6, math.nan], [0.2, *[math.nan] * 4]])
    widths = bandwidths(numbers, np.array([0.03, 0.03]))
    assert widths[0] == pytest.approx([0.4, 0.4, 0.3, 0.3, 1.0])
    assert widths[1] == pytest.approx([0.8, 1, 1, 1, 1])
    crowd = bandwidths(np.full((1, 50), 0.5), np.array([0.03]))
    assert np.all(crowd == 0.03)
