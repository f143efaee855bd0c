"""Search for the Pareto front."""

import dataclasses
import math
import statistics

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from afina.errors import ArgumentError
from afina.search import ParetoSearch, Random, Situation, Suggestion
from afina.search.multi_objective import MODEL_LIMIT, _kept, front_targets
from afina.space import Choice, Float, Int, Parent, Space
from afina.testing import check_algorithm
from afina.testing.toys import sphere_space
from afina.trials import Failure, FailureKind, Status, Trial
from afina.trials.pareto import hypervolume, pareto_order

BROKEN = Failure(FailureKind.ERROR, "broken")


def ended(number, values, losses):
    """A trial with these losses; None for a failed one."""
    if losses is None:
        return Trial(number=number, values=values, status=Status.FAILED, failure=BROKEN)
    several = tuple(losses) if len(losses) > 1 else ()
    return Trial(
        number=number, values=values, status=Status.COMPLETED, loss=sum(losses), losses=several
    )


def search(algorithm, losses, space, trials):
    """The losses of all trials, and their values."""
    state, found, tried = algorithm.init(), [], []
    for number in range(trials):
        values = asked(algorithm, state, space, number)
        found.append(losses(values))
        tried.append(values)
        state = algorithm.tell(state, ended(number, values, found[-1]), space)
    return found, tried


def asked(algorithm, state, space, number, running=()):
    answer = algorithm.ask(state, Situation(number=number, space=space, running=tuple(running)))
    assert isinstance(answer, Suggestion)
    return dict(answer.values)


def told(algorithm, rows, space):
    state = algorithm.init()
    for number, (values, losses) in enumerate(rows):
        state = algorithm.tell(state, ended(number, values, losses), space)
    return state


def to_corners(values):
    """Squared distances from two points: the front is the line between them."""
    x = np.array([values[name] for name in sorted(values)])
    return float(((x - 0.5) ** 2).sum()), float(((x + 0.5) ** 2).sum())


def rows_of(space, losses, count):
    drawn = [space.sample(np.random.default_rng(i)) for i in range(count)]
    return [(values, losses(values)) for values in drawn]


@dataclasses.dataclass(frozen=True)
class Several:
    """A search whose trials get more losses than the one that a check gives them."""

    inner: ParetoSearch
    count: int

    name = "several"
    order_independent = False
    fixed_settings = frozenset()

    def settings(self):
        return self.inner.settings()

    def init(self):
        return self.inner.init()

    def ask(self, state, situation):
        return self.inner.ask(state, situation)

    def tell(self, state, trial, space):
        if trial.loss is not None:
            size = sum(float(v) for v in trial.values.values() if isinstance(v, int | float))
            more = (math.sin(size), -size, math.cos(3 * size))[: self.count - 1]
            trial = dataclasses.replace(trial, losses=(trial.loss, *more))
        return self.inner.tell(state, trial, space)


@pytest.mark.first("2")
@pytest.mark.parametrize("objectives", [2, 4])
def test_it_keeps_what_algorithms_promise(objectives):
    check_algorithm(lambda seed: Several(ParetoSearch(seed), objectives), trials=12)


def test_with_one_objective_too_it_keeps_them_and_beats_random_search():
    check_algorithm(ParetoSearch, trials=12, beats_random=True)


def zdt1(values):
    x = [values[f"x{i}"] for i in range(5)]
    g = 1 + 9 * sum(x[1:]) / 4
    return x[0], g * (1 - math.sqrt(x[0] / g))


def three(values):
    """Squared distances from three points."""
    x = np.array([values[f"x{i}"] for i in range(3)])
    return tuple(float(((x - corner) ** 2).sum()) for corner in 0.6 * np.eye(3))


def network(values):
    """Error against size: the best optimizer has a momentum of its own."""
    momentum = values.get("momentum", 0.0)
    error = {"adam": 0.2, "sgd": 0.3 - 0.2 * momentum, "rms": 0.25}[values["optimizer"]]
    error += 0.05 * (math.log10(values["rate"]) + 3 - momentum) ** 2
    units = values["units"] * values["layers"]
    return error + 1 / math.sqrt(units), math.log(units)


UNIT = Space(tuple(Float(f"x{i}", 0.0, 1.0, default=0.5) for i in range(5)))
NETWORK = Space(
    (
        Choice("optimizer", ["adam", "sgd", "rms"]),
        Float("rate", 1e-5, 1.0, sampling="log"),
        Float("momentum", 0.0, 0.9, conditions=[Parent("optimizer", ["sgd"])]),
        Int("units", 4, 256, sampling="log"),
        Int("layers", 1, 3),
    )
)


@pytest.mark.first("zdt1-space0-reference0")
@pytest.mark.parametrize(
    ("losses", "space", "reference"),
    [
        (zdt1, UNIT, (1.1, 6.0)),
        (three, sphere_space(3), (2.0, 2.0, 2.0)),
        (network, NETWORK, (1.0, 7.0)),
    ],
)
def test_its_front_is_better_than_that_of_random_search(losses, space, reference):
    mine, chance = (
        statistics.median(
            hypervolume(np.array(search(kind(seed), losses, space, 30)[0]), np.array(reference))
            for seed in range(3)
        )
        for kind in (ParetoSearch, Random)
    )
    assert mine > chance
    # and than that of random search with three times the trials
    patient = search(Random(0), losses, space, 90)[0]
    assert mine > hypervolume(np.array(patient), np.array(reference))


@pytest.mark.parametrize("objectives", [2, 5])
def test_shifting_and_scaling_of_an_objective_changes_nothing(objectives):
    space = sphere_space(2)
    algorithm = ParetoSearch(seed=0)

    def losses(values):
        return (*to_corners(values), *values.values(), values["x0"] ** 2)[:objectives]

    def scaled(values):
        return tuple(loss * 4**place - 64 for place, loss in enumerate(losses(values)))

    one, two = (
        asked(algorithm, told(algorithm, rows_of(space, f, 12), space), space, 12)
        for f in (losses, scaled)
    )
    assert list(one.values()) == pytest.approx(list(two.values()), abs=1e-4)


def test_an_objective_that_does_not_vary_does_not_count():
    space = sphere_space(3)
    algorithm = ParetoSearch(seed=0)

    def one(values):
        return to_corners(values)[:1]

    _, alone = search(algorithm, one, space, 14)
    _, beside = search(algorithm, lambda values: (5.0, *one(values)), space, 14)
    assert alone == beside
    constant, _ = search(algorithm, lambda values: (1.0, 2.0), space, 14)
    assert len(constant) == 14


def test_of_two_objectives_that_agree_it_finds_the_common_best():
    def losses(values):
        loss = to_corners(values)[0]
        return loss, 3 * loss - 1

    found, _ = search(ParetoSearch(seed=1), losses, sphere_space(3), 25)
    assert min(found)[0] < 0.01


def test_when_all_trials_failed_it_draws_on():
    space = sphere_space(2)
    algorithm = ParetoSearch(seed=0)
    state = told(algorithm, rows_of(space, lambda values: None, 12), space)
    assert asked(algorithm, state, space, 12) != asked(algorithm, state, space, 13)


@pytest.mark.first("inf", "None")
@pytest.mark.parametrize("wild", [math.inf, 1e300, 1e9, None])
def test_diverged_and_failed_trials_do_not_blind_it(wild):
    def losses(values):
        if values["x0"] > 0.6:
            return None if wild is None else (wild, 0.5)
        return to_corners(values)

    found, tried = search(ParetoSearch(seed=0), losses, sphere_space(2), 30)
    assert sum(values["x0"] > 0.6 for values in tried) < 15
    kept = np.array([row for row in found if row is not None])
    whole = 2.0**2 * (1 - 1 / 6)  # the front is (sqrt(2) - sqrt(y))^2, up to (2, 2)
    assert hypervolume(kept, np.array([2.0, 2.0])) > 0.9 * whole


def test_workers_that_ask_at_the_same_time_get_proposals_that_lie_apart():
    space = sphere_space(2)
    algorithm = ParetoSearch(seed=0)
    state = told(algorithm, rows_of(space, to_corners, 8), space)
    running = []
    for number in range(8, 14):
        values = asked(algorithm, state, space, number, running)
        running.append(Trial(number=number, values=values))
    points = np.array([list(trial.values.values()) for trial in running])
    gaps = np.linalg.norm(points[:, None] - points[None], axis=2)[np.triu_indices(6, 1)]
    assert gaps.min() > 0.001


def test_trials_that_lack_the_losses_of_the_others_are_left_out():
    space = sphere_space(2)
    algorithm = ParetoSearch(seed=0)
    rows = rows_of(space, to_corners, 10)
    stranger = ({"x0": 0.1, "x1": 0.1}, (-99.0,))
    plain = asked(algorithm, told(algorithm, rows, space), space, 20)
    assert asked(algorithm, told(algorithm, [*rows, stranger], space), space, 20) == plain


def test_more_trials_than_the_models_can_hold_still_give_a_good_proposal():
    space = sphere_space(2)
    algorithm = ParetoSearch(seed=0)
    rows = rows_of(space, to_corners, MODEL_LIMIT + 50)
    proposal = to_corners(asked(algorithm, told(algorithm, rows, space), space, len(rows)))
    assert math.sqrt(proposal[0]) + math.sqrt(proposal[1]) < math.sqrt(2) + 0.1  # near the line

    losses = np.array([losses for _, losses in rows])
    kept = _kept(losses, MODEL_LIMIT)
    assert len(kept) == len(set(kept.tolist())) == MODEL_LIMIT
    assert set(pareto_order(losses)[: MODEL_LIMIT // 2].tolist()) <= set(kept.tolist())


@settings(max_examples=60)
@given(
    st.lists(
        st.floats(allow_nan=False) | st.sampled_from([0.0, 1.0, 2.0, math.nan]),
        min_size=1,
        max_size=9,
    )
)
@example([0.0, 1e96, 1e-212])
def test_targets_keep_the_order_and_failed_trials_are_as_bad_as_the_worst(losses):
    column = np.array(losses)
    targets = front_targets(column[:, None])[:, 0]
    assert np.isfinite(targets).all()
    if targets.any():
        assert targets.mean() == pytest.approx(0, abs=1e-9)
        assert targets.std() == pytest.approx(1)
    filled = np.where(np.isnan(column), math.inf, column)
    in_order = targets[np.argsort(filled, kind="stable")]
    assert (np.diff(in_order) >= 0).all()


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"num_initial_points": 0}])
def test_arguments_out_of_range_are_refused(wrong):
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        ParetoSearch(**wrong)
