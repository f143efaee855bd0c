"""Beliefs about good configurations: where they come from, and how they fade."""

import dataclasses

import numpy as np
import pytest

from afina.errors import ArgumentError
from afina.search import Auto, BayesianOptimization, ModelBasedHalving, Situation
from afina.space import Boolean, Choice, Float, Int, Parent, Space
from afina.surrogates.acquisition import LogExpectedImprovement
from afina.surrogates.gaussian_process import GaussianProcess, kernel_mode
from afina.surrogates.geometry import Geometry
from afina.surrogates.prior import Weighted, prior_of, shipped
from afina.testing import check_algorithm
from afina.testing.toys import run
from afina.trials import Status, Trial


def every_kind():
    """A space with each kind of hyperparameter, active always and under a condition."""
    sgd = [Parent("kind", "sgd")]
    return Space(
        (
            Choice("kind", ["adam", "sgd", "rmsprop"], prior={"sgd": 4, "adam": 2}),
            Choice("act", ["relu", "tanh"], prior={"relu": 5}),
            Boolean("norm", prior={True: 3}),
            Int("layers", 1, 5, prior=2),
            Int("units", 8, 4096, sampling="log", prior=(64, 2)),
            Float("rate", 1e-5, 1e-1, sampling="log", prior=(1e-3, 3)),
            Float("inertia", 0.0, 1.0, prior=(0.9, 0.1), conditions=sgd),
            Choice("form", ["a", "b", "c"], prior=[1, 1, 9], conditions=sgd),
        )
    )


def believed(space, which="given"):
    return prior_of(Geometry(space), which)


def test_without_beliefs_there_is_no_prior():
    space = Space((Float("x", 0.0, 1.0), Choice("kind", ["a", "b"])))
    assert believed(space, "roles") is None
    assert believed(space, "given") is None
    assert believed(every_kind(), None) is None


def test_points_of_an_even_spread_move_to_where_the_density_is_high():
    space = every_kind()
    prior = believed(space)
    units = (np.arange(4000)[:, None] * np.sqrt([2, 3, 5, 7, 11, 13, 17, 19])) % 1.0
    places = prior.geometry.place(prior.shaped(units))
    rows = [prior.geometry.decode(place) for place in places]
    rates = np.log10([row["rate"] for row in rows])
    assert np.median(rates) == pytest.approx(-3, abs=0.15)
    assert ((rates > -3.5) & (rates < -2.5)).mean() > 0.5
    kinds = [row["kind"] for row in rows]
    assert kinds.count("sgd") > 1.5 * kinds.count("adam") > 1.5 * kinds.count("rmsprop")
    assert np.mean([row["norm"] for row in rows]) > 0.65
    assert np.mean([row["act"] == "relu" for row in rows]) > 0.7
    forms = [row["form"] for row in rows if "form" in row]
    assert forms.count("c") > 2 * forms.count("a")
    # Nothing is forbidden.
    assert rates.min() < -4.9
    assert rates.max() > -1.1
    assert {row["layers"] for row in rows} == {1, 2, 3, 4, 5}
    assert kinds.count("rmsprop") > 0


def test_the_gradient_of_an_acquisition_with_a_prior_is_its_derivative():
    space = every_kind()
    geometry, rng = Geometry(space), np.random.default_rng(0)
    points, known = geometry.uniform(8, rng), geometry.embed(geometry.uniform(6, rng))
    features = geometry.embed(points)
    kernel = kernel_mode(len(geometry.tunable), 1e-4)
    process = GaussianProcess(kernel, known, rng.standard_normal(6), geometry.groups)
    inner = LogExpectedImprovement(process, -1.0)
    worth = Weighted(inner, prior_of(geometry, "given"), 0.7)
    active = geometry.active(points)
    slopes = geometry.pull_back(points, active, worth.gradient(features)[1])
    for axis in geometry.real_axes:
        for side in (1e-6, -1e-6):
            moved = np.array(points)
            moved[:, axis] = np.clip(moved[:, axis] + side, 0, 1)
            step = moved[:, axis] - points[:, axis]
            found = (worth.value(geometry.embed(moved)) - worth.value(features)) / step
            assert found == pytest.approx(slopes[:, axis], rel=2e-3, abs=2e-3)


def test_an_entry_that_is_inactive_has_no_say():
    geometry = Geometry(every_kind())
    prior = prior_of(geometry, "given")
    worth = Weighted(_Nothing(), prior, 1.0)
    base = {"kind": "adam", "act": "relu", "norm": True, "layers": 2, "units": 64, "rate": 1e-3}
    other = {**base, "kind": "sgd", "form": "c", "inertia": 0.9}
    value = [worth.value(geometry.embed(geometry.encode([row])))[0] for row in (base, other)]
    alone = [prior.beliefs[n].logs for n in (0, 6, 7)]
    gained = (
        alone[0][1] - alone[0][0] + alone[2][2] + np.interp(0.9, prior.beliefs[6].knots, alone[1])
    )
    assert value[1] - value[0] == pytest.approx(gained)


class _Nothing:
    def value(self, features):
        return np.zeros(len(features))

    def gradient(self, features):
        return np.zeros(len(features)), np.zeros_like(features)


def test_a_prior_counts_less_with_each_trial():
    prior = believed(every_kind())
    weights = [prior.weight(trials) for trials in (0, 4, 8, 40)]
    assert weights == [1.0, 1.0, 0.5, 0.1]


def test_results_that_contradict_a_prior_end_it():
    geometry = Geometry(Space((Float("x", 0.0, 1.0, prior=(0.2, 0.1)), Float("y", 0.0, 1.0))))
    prior = prior_of(geometry, "given")
    features = geometry.embed(geometry.uniform(20, np.random.default_rng(0)))
    near = np.abs(features[:, 0] - 0.2)
    assert prior.trust(features, near) == 1
    assert prior.trust(features, -near) == 0
    assert prior.trust(features[:0], near[:0]) == 1  # nothing is known yet
    assert 0 < prior.trust(features, np.ones(20)) < 0.5  # results that say nothing fade it
    failed = np.where(near < 0.2, np.inf, near)  # trainings fail where they should be good
    assert prior.trust(features, failed) < 0.5
    weight = prior.influence(20, features, near)
    assert weight == prior.weight(20)
    assert prior.weighted(_Nothing(), weight).weight == weight
    assert isinstance(prior.weighted(_Nothing(), prior.influence(20, features, -near)), _Nothing)


def test_half_of_the_first_trials_spread_evenly_until_results_bear_a_prior_out():
    geometry = Geometry(Space((Float("x", 0.0, 1.0, prior=(0.2, 0.1)), Float("y", 0.0, 1.0))))
    prior = prior_of(geometry, "given")
    places = np.array([[0.9, 0.5], [0.2, 0.1], [0.25, 0.9], [0.7, 0.3]])
    features, near = geometry.embed(places), np.abs(places[:, 0] - 0.2)
    nothing = features[:0], near[:0]
    assert [prior.leads(n, *nothing) for n in range(7)] == [
        False,
        True,
        True,
        False,
        True,
        False,
        True,
    ]
    assert [prior.leads(n, features, near) for n in range(4, 8)] == [True] * 4
    assert [prior.leads(n, features, -near) for n in range(4, 8)] == [False] * 4


def test_the_trial_after_the_default_has_all_values_that_are_believed_in():
    space = every_kind()
    done = run(BayesianOptimization(seed=0), lambda values: 1.0, space, 4).trials
    first = done[1].values
    assert (first["kind"], first["act"], first["norm"]) == ("sgd", "relu", True)
    assert (first["layers"], first["form"]) == (2, "c")
    assert first["rate"] == pytest.approx(1e-3, rel=0.1)
    assert first["units"] == pytest.approx(64, rel=0.1)
    assert first["inertia"] == pytest.approx(0.9, abs=0.01)


def test_trials_that_a_prior_moved_say_so_in_their_notes():
    space = Space((Float("x", 0.0, 1.0, prior=(0.3, 0.1)), Float("y", 0.0, 1.0)))
    for search, count in ((BayesianOptimization(seed=0), 10), (Auto(seed=0, max_epochs=8), 6)):
        state, notes = search.init(), []
        for number in range(count):
            asked = search.ask(state, Situation(number=number, space=space))
            notes.append(asked.notes.get("prior"))
            loss = abs(asked.values["x"] - 0.3)
            trial = Trial(number=number, values=dict(asked.values), schedule=asked.schedule)
            done = dataclasses.replace(trial, status=Status.COMPLETED, loss=loss, score=loss)
            state = search.tell(state, done, space)
        assert notes[0] is None  # the default
        assert notes[1] == "x (given): counts 100%"
        assert notes[2] == "x (given): counts 100%"
        assert len(notes) < 9 or notes[9] == "x (given): counts 44%"


def test_without_a_prior_not_even_a_random_draw_follows_what_was_given():
    space = Space((Float("x", 0.0, 1.0, prior=(0.2, 0.01)), Float("y", 0.0, 1.0)))
    plain = Space((Float("x", 0.0, 1.0), Float("y", 0.0, 1.0)))
    for kwargs in ({}, {"max_epochs": 9}):
        tried = [
            [t.values for t in run(Auto(seed=1, prior=None, **kwargs), lambda v: 1.0, s, 30).trials]
            for s in (space, plain)
        ]
        assert tried[0] == tried[1]


def test_roles_are_read_only_where_they_count_and_a_given_prior_comes_first():
    rate = Float("learning_rate", 1e-6, 1.0, sampling="log")
    own = Float("lr", 1e-6, 1.0, sampling="log", prior=1e-5)
    assert believed(Space((rate,)), "given") is None
    (belief,) = believed(Space((rate,)), "roles").beliefs.values()
    assert belief.source == "learning_rate"
    peak = rate.prob_to_value(belief.knots[belief.density.argmax()])
    assert abs(np.log10(peak) - shipped()["learning_rate"]["middle"]) < 0.1
    (belief,) = believed(Space((own,)), "roles").beliefs.values()
    assert belief.source == "given"
    given = Float("speed", 1e-6, 1.0, sampling="log", role="learning_rate")
    assert believed(Space((given,)), "roles") is not None
    of_sgd = Float("lr", 1e-6, 1.0, sampling="log", conditions=[Parent("optimizer", "sgd")])
    space = Space((Choice("optimizer", ["sgd", "adam"]), of_sgd))
    assert believed(space, "roles") is None


@pytest.mark.first("Auto")
@pytest.mark.parametrize("make", [Auto, BayesianOptimization])
def test_a_search_with_a_prior_keeps_the_promises_of_every_algorithm(make):
    check_algorithm(lambda seed: make(seed=seed, prior="roles"), trials=12)


def test_an_unknown_prior_is_refused():
    for make in (Auto, BayesianOptimization, ModelBasedHalving):
        with pytest.raises(ArgumentError, match='must be "roles", "given" or None'):
            make(prior="all")


def bowl(values):
    return (np.log10(values["speed"]) + 3) ** 2 + (values["x"] - 0.3) ** 2


def bowls(middle):
    return Space((Float("speed", 1e-8, 1e2, sampling="log", prior=middle), Float("x", 0.0, 1.0)))


def best_of(space, trials, **settings):
    losses = []
    for seed in range(3):
        done = run(Auto(seed=seed, **settings), bowl, space, trials)
        losses.append(min(trial.loss for trial in done.trials))
    return float(np.mean(losses))


def test_a_right_prior_helps_at_once_and_a_wrong_one_is_soon_forgotten():
    right, wrong = bowls((1e-3, 3)), bowls((1e1, 3))
    assert best_of(right, 5) < 0.5 * best_of(right, 5, prior=None)
    assert best_of(wrong, 25) < 0.02  # a random search has .1
    assert best_of(wrong, 25, prior=None) < 0.02


def test_with_epochs_the_first_trainings_follow_a_prior_too():
    space = bowls((1e-3, 3))
    for prior, near in (("given", True), (None, False)):
        search, state, speeds = Auto(seed=0, max_epochs=27, prior=prior), None, []
        state = search.init()
        for number in range(9):
            asked = search.ask(state, Situation(number=number, space=space))
            speeds.append(np.log10(asked.values["speed"]))
            trial = Trial(
                number=number,
                values=dict(asked.values),
                schedule=asked.schedule,
                status=Status.FAILED,
            )
            state = search.tell(state, trial, space)
        assert (np.abs(np.array(speeds[1:]) + 3) < 2).mean() > 0.6 or not near
        assert near or (np.abs(np.array(speeds[1:]) + 3) < 2).mean() < 0.6


def test_a_search_says_which_prior_moves_its_proposals_and_how_much_results_trust_it():
    space = Space((Float("lr", 1e-6, 1.0, sampling="log"), Float("x", 0.0, 1.0, prior=0.5)))
    search = Auto(seed=0)

    def told(loss, count):
        state = search.init()
        for number, trial in enumerate(run(Auto(seed=0), loss, space, count).trials):
            state = search.tell(state, dataclasses.replace(trial, number=number), space)
        return search.explain(state, Situation(number=count, space=space))

    def near(values):
        return abs(np.log10(values["lr"]) + 2.8) + abs(values["x"] - 0.5)

    moved = "a prior of lr (learning_rate), x (given)"
    assert told(near, 8).endswith(f"{moved} counts 50%")
    assert told(lambda values: -near(values), 8).endswith(f"{moved} does not move it")
    silent = Auto(seed=0, prior=None)
    assert "prior" not in silent.explain(silent.init(), Situation(number=8, space=space))


def test_searches_without_beliefs_are_as_they_were():
    space = Space((Float("x", 0.0, 1.0), Choice("kind", ["a", "b", "c"])))

    def loss(values):
        return values["x"] + "abc".index(values["kind"])

    tried = [
        [trial.values for trial in run(Auto(seed=3, prior=prior), loss, space, 12).trials]
        for prior in (None, "given", "roles")
    ]
    assert tried[0] == tried[1] == tried[2]
