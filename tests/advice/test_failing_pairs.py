"""Values of two hyperparameters with which trainings fail together."""

import numpy as np
import pytest

from afina.advice import Verdict, Visibility, advice
from afina.advice.evidence import gather
from afina.advice.failing import failing_regions
from afina.advice.sample import sample_of
from afina.space import Choice, Float, Int, Parent, Space
from afina.trials import Failure, FailureKind, Status, Trial

ENTRIES = (
    Choice("optimizer", ["adam", "sgd"]),
    Float("rate", 1e-4, 1.0, sampling="log"),
    Int("units", 8, 256),
)
SPACE = Space(ENTRIES)


def trials_of(space, fails, count=40, kind=FailureKind.NOT_A_NUMBER, seed=0):
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        values = space.draw(rng)
        if fails(values, rng):
            ending = {"status": Status.FAILED, "failure": Failure(kind, "it broke")}
        else:
            loss = abs(np.log10(values["rate"]) + 2) + 0.05 * rng.standard_normal()
            ending = {"status": Status.COMPLETED, "loss": float(loss)}
        found.append(Trial(number=number, values=values, **ending))
    return found


def regions_of(trials, space=SPACE):
    failed = np.array([trial.loss is None for trial in trials])
    return failing_regions(sample_of(gather(trials, space)), failed)


def sgd_with_a_large_rate(values, rng):
    return values["optimizer"] == "sgd" and values["rate"] > 0.01


def large_in_both(values, rng):
    return values["units"] > 120 and values["rate"] > 0.003


@pytest.mark.parametrize(
    ("fails", "names"),
    [(sgd_with_a_large_rate, {"optimizer", "rate"}), (large_in_both, {"units", "rate"})],
)
def test_two_values_that_make_trainings_fail_together_are_found_and_nothing_else(fails, names):
    regions, pairs = regions_of(trials_of(SPACE, fails))
    assert regions == ()
    assert [{part.name for part in pair.parts} for pair in pairs] == [names]
    assert pairs[0].useless
    assert pairs[0].chance < 0.01


def test_one_guilty_hyperparameter_is_not_taken_for_two():
    regions, pairs = regions_of(trials_of(SPACE, lambda values, rng: values["rate"] > 0.03))
    assert [region.name for region in regions] == ["rate"]
    assert pairs == ()


def test_failures_by_chance_blame_no_pair():
    for seed in range(10):
        trials = trials_of(SPACE, lambda values, rng: rng.random() < 0.3, seed=seed)
        assert regions_of(trials)[1] == ()


def test_a_pair_within_a_branch_is_compared_with_trials_of_that_branch():
    space = Space((*ENTRIES, Float("momentum", 0.0, 0.99, conditions=[Parent("optimizer", "sgd")])))

    def fails(values, rng):
        return values.get("momentum", 0.0) > 0.6 and values["rate"] > 0.03

    _, (pair,) = regions_of(trials_of(space, fails, 120), space)
    assert {part.name for part in pair.parts} == {"momentum", "rate"}
    sgd = sum(trial.values["optimizer"] == "sgd" for trial in trials_of(space, fails, 120))
    assert pair.tried + pair.tried_elsewhere == sgd


def test_the_advice_names_the_pair_first_and_says_nothing_of_unexplained_failures():
    told = advice(trials_of(SPACE, sgd_with_a_large_rate), SPACE, method="ped_anova")
    (pair,) = told.failing_pairs
    assert told.recommendation.avoid_together == (pair,)
    assert told.recommendation.unexplained == 0
    first = str(told).splitlines()[0]
    assert "Avoid optimizer = 'sgd' together with rate from 0.0" in first
    assert f"{pair.failed} of {pair.tried} trainings failed there, 0 of " in first
    assert "do not explain" not in str(told)
    assert told.to_dict()["failing_pairs"][0]["parts"][0]["name"] == "optimizer"


def test_both_of_a_pair_matter_and_neither_is_dropped_for_it():
    told = advice(trials_of(SPACE, sgd_with_a_large_rate), SPACE, method="ped_anova")
    seen = {each.name: each for each in told.effects.single}
    assert seen["optimizer"].visibility is Visibility.MATTERS
    assert seen["optimizer"].failing
    ranges = {each.name: each for each in told.ranges}
    assert ranges["optimizer"].verdict is Verdict.KEEP


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        (FailureKind.NOT_A_NUMBER, "Their loss is not a number: try lower learning rates"),
        (FailureKind.OUT_OF_MEMORY, "They ran out of memory. Search smaller models"),
        (FailureKind.TIMEOUT, "They reached the time limit: raise trial_timeout"),
        (FailureKind.OVERSIZED, "Their models are too large: raise max_model_size"),
        (FailureKind.ERROR, "Read their error messages."),
    ],
)
@pytest.mark.parametrize(("share", "start"), [(0.3, "Go on with"), (0.6, "Fix the failures first")])
def test_unexplained_failures_come_with_what_to_do_about_their_reason(kind, remedy, share, start):
    trials = trials_of(SPACE, lambda values, rng: rng.random() < share, kind=kind)
    told = str(advice(trials, SPACE, method="ped_anova")).splitlines()[0]
    assert told.startswith(start)
    assert "the hyperparameters do not explain it" in told
    assert remedy in told
