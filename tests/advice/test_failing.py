"""Which values make trainings fail: all splits are tested at once."""

import numpy as np
from scipy.stats import hypergeom

import afina
from afina.advice.evidence import gather
from afina.advice.failing import by_chance, failing_regions
from afina.advice.sample import sample_of
from afina.trials import Failure, FailureKind, Status, Trial


def test_the_chance_of_a_region_is_the_tail_of_the_hypergeometric_distribution() -> None:
    rng = np.random.default_rng(0)
    for total in (2, 7, 60, 900):
        bad = int(rng.integers(1, total))
        tried = rng.integers(1, total, size=20)
        failed = rng.integers(np.maximum(0, tried + bad - total), np.minimum(tried, bad) + 1)
        found = by_chance(failed, tried, bad, total)
        more = failed * (total - tried) > (bad - failed) * tried
        expected = np.where(more, hypergeom.sf(failed - 1, total, bad, tried), 1.0)
        np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_thousands_of_different_values_are_tested_and_the_guilty_range_is_found() -> None:
    hp = afina.HyperParameters()
    hp.Float("rate", 0.0, 1.0)
    hp.Choice("kind", ["a", "b", "c"])
    space = hp.to_space()
    rng = np.random.default_rng(1)
    trials = []
    for number in range(4000):
        values = space.draw(rng)
        bad = values["rate"] > 0.9 or (values["kind"] == "b" and rng.random() < 0.5)
        failure = Failure(FailureKind.ERROR, "it broke") if bad else None
        status = Status.FAILED if bad else Status.COMPLETED
        loss = None if bad else float(rng.random())
        trials.append(
            Trial(number=number, values=values, status=status, loss=loss, failure=failure)
        )
    sample = sample_of(gather(trials, space))
    failed = np.array([trial.loss is None for trial in trials])
    regions, pairs = failing_regions(sample, failed)
    assert pairs == ()
    first, second = sorted(regions, key=lambda each: each.name)
    assert (first.name, first.above, first.below) == ("kind", "b", "b")
    assert second.name == "rate"
    assert 0.89 < second.above < 0.91
    assert second.failed == second.tried
