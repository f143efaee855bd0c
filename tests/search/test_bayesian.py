import math
import statistics
import threading

import numpy as np
import pytest

from afina.errors import ArgumentError
from afina.search import BayesianOptimization, Done, Random, Situation, Suggestion
from afina.search.bayesian import MODEL_LIMIT, BayesianState, _kept
from afina.space import Boolean, Choice, Fixed, Float, Int, Parent, Space
from afina.surrogates.threads import one_blas_thread
from afina.testing import check_algorithm
from afina.testing.toys import conditional_space, run, sphere, sphere_space
from afina.trials import Failure, FailureKind, Status, Trial


def grid_space():
    return Space((Int("a", 0, 4), Choice("b", [1, 2, 4, 8, 16]), Choice("c", ["p", "q", "r", "s"])))


def grid_loss(values):
    return (values["a"] - 3) ** 2 + abs(math.log2(values["b"]) - 1) + "rspq".index(values["c"])


def asked(search, state, space, number, running=()):
    answer = search.ask(state, Situation(number=number, space=space, running=tuple(running)))
    assert isinstance(answer, Suggestion)
    return dict(answer.values)


def told(search, rows, space):
    """The state after trials of these (values, loss); loss None for a failed one."""
    state = search.init()
    for number, (values, loss) in enumerate(rows):
        if loss is None:
            failure = Failure(FailureKind.ERROR, "broken")
            trial = Trial(number=number, values=values, status=Status.FAILED, failure=failure)
        else:
            trial = Trial(number=number, values=values, status=Status.COMPLETED, loss=loss)
        state = search.tell(state, trial, space)
    return state


@pytest.mark.first("log_ei")
@pytest.mark.parametrize("acquisition", ["log_ei", "lcb"])
def test_it_keeps_what_algorithms_promise(acquisition):
    check_algorithm(
        lambda seed: BayesianOptimization(seed=seed, acquisition=acquisition),
        trials=12,
        beats_random=True,
    )


def test_on_a_grid_of_100_it_repeats_nothing_finds_the_best_early_and_then_ends():
    done = run(BayesianOptimization(seed=0), grid_loss, grid_space(), 110)
    assert len({tuple(t.values.items()) for t in done.trials}) == len(done.trials) == 100
    assert done.done == Done("all 100 combinations have been tried")
    order = [t.loss for t in done.trials]
    assert order.index(min(order)) < 25


def test_the_first_trial_is_the_default_configuration_and_the_next_ones_spread():
    search = BayesianOptimization(seed=3, num_initial_points=9)
    space = Space((Float("x", 0.0, 1.0, default=0.4), Choice("c", list("abcd"), default="b")))
    done = run(search, lambda values: 0.0, space, 9)
    first, *others = [dict(t.values) for t in done.trials]
    assert first == {"x": 0.4, "c": "b"}
    # a Sobol sequence: each eighth of x once, each category twice
    assert sorted(int(8 * row["x"]) for row in others) == list(range(8))
    assert sorted(row["c"] for row in others) == sorted("abcd" * 2)


@pytest.mark.parametrize(
    ("entries", "given", "trials", "points"),
    [
        (1, None, None, 4),
        (3, None, None, 5),
        (5, None, None, 6),
        (5, None, 100, 6),
        (5, None, 20, 5),
        (5, None, 10, 4),
        (20, None, None, 6),
        (5, 3, 100, 3),
    ],
)
def test_the_model_takes_over_after_the_initial_points(entries, given, trials, points):
    space = sphere_space(entries)
    search = BayesianOptimization(seed=0, num_initial_points=given)
    # The second after them: the first may spread too, where so few results say nothing.
    rows = [(v := space.sample(np.random.default_rng(i)), v["x0"]) for i in range(points + 2)]
    other = [(values, -loss) for values, loss in rows]
    for count in (*range(1, points), points + 1):
        situation = Situation(number=count, space=space, max_trials=trials)
        one, two = (
            search.ask(told(search, r[:count], space), situation).values for r in (rows, other)
        )
        # Only a model looks at the losses.
        assert (one == two) == (count < points)


def test_where_the_model_knows_nothing_every_third_trial_spreads():
    space = sphere_space(3)
    search = BayesianOptimization(seed=0)
    rng = np.random.default_rng(0)
    rows = [(space.sample(rng), float(rng.standard_normal())) for _ in range(13)]
    spread = [
        asked(search, told(search, rows[:count], space), space, count)
        == asked(search, told(search, [(v, -x) for v, x in rows[:count]], space), space, count)
        for count in range(5, 14)
    ]
    # Of mirrored results only a model makes two things. In noise it sees something at times.
    assert sum(spread[0::3]) >= 2
    assert not any(spread[1::3] + spread[2::3])


def test_an_entry_found_during_the_initial_points_leaves_the_draws_of_the_others():
    search = BayesianOptimization(seed=0, num_initial_points=8)
    small, large = sphere_space(2), sphere_space(3)
    rows = [(small.sample(np.random.default_rng(i)), 1.0) for i in range(3)]
    before = asked(search, told(search, rows, small), small, 3)
    after = asked(search, told(search, rows, small), large, 3)
    assert before.items() < after.items()


def test_a_search_rebuilt_from_any_prefix_goes_on_as_the_straight_one():
    search = BayesianOptimization(seed=5)
    space = conditional_space()
    space = Space((*space.entries, Float("rate", 1e-4, 1.0, sampling="log")))
    straight = run(search, lambda v: (math.log10(v["rate"]) + 2) ** 2 + v["layers"], space, 16)
    for prefix in (1, 5, 9, 15):
        state = BayesianOptimization(seed=5).init()
        for trial in straight.trials[:prefix]:
            state = search.tell(state, trial, space)
        values = asked(search, state, space, prefix)
        assert values == straight.trials[prefix].values


def test_workers_that_ask_at_the_same_time_get_proposals_that_lie_apart():
    space = sphere_space(2)
    search = BayesianOptimization(seed=0)
    rows = [(v := space.sample(np.random.default_rng(i)), sphere(v)) for i in range(8)]
    state = told(search, rows, space)
    running = []
    for number in range(8, 14):
        values = asked(search, state, space, number, running)
        running.append(Trial(number=number, values=values))
    points = np.array([[t.values["x0"], t.values["x1"]] for t in running])
    gaps = np.linalg.norm(points[:, None] - points[None], axis=2)[np.triu_indices(6, 1)]
    assert gaps.min() > 0.001


@pytest.mark.first("0.6-6-0.02-log_ei", "0.0-16-0.11-log_ei")
@pytest.mark.parametrize("acquisition", ["log_ei", "lcb"])
@pytest.mark.parametrize(("wall", "most", "best"), [(0.6, 6, 0.02), (0.0, 16, 0.11)])
def test_it_leaves_a_region_where_trials_fail(acquisition, wall, most, best):
    # At a wall of 0 the best result there is, 0.09, lies on the brink, where some have to fail.
    space = sphere_space(2)

    def loss(values):
        if values["x0"] > wall:
            raise RuntimeError("out of memory")
        return sphere(values)

    done = run(BayesianOptimization(seed=1, acquisition=acquisition), loss, space, 30)
    failed = [t.number for t in done.trials if t.status is Status.FAILED]
    assert 0 < len(failed) <= most
    assert done.best < best


def test_noise_at_the_bottom_of_a_bowl_is_not_taken_for_its_shape():
    space = sphere_space(4)
    reached = []
    for seed in range(3):
        noise = np.random.default_rng(seed)
        done = run(
            BayesianOptimization(seed=seed),
            lambda values, noise=noise: sphere(values) + 0.05 * noise.standard_normal(),
            space,
            25,
        )
        reached += [sphere(trial.values) for trial in done.trials[-5:]]
    assert np.median(reached) < 0.06


def test_a_plateau_does_not_keep_it():
    # A fifth of the space is equally good, and its rim promises more than there is.
    space = sphere_space(2)

    def loss(values):
        return 1.0 if max(abs(values["x0"]), abs(values["x1"])) < 0.45 else 1.5 + abs(values["x0"])

    runs = [run(BayesianOptimization(seed=seed), loss, space, 40).trials[20:] for seed in (0, 1)]
    assert sum(trial.loss == 1.0 for trials in runs for trial in trials) <= 17


@pytest.mark.parametrize("wild", [math.inf, 1e300, 1e9])
def test_diverged_losses_do_not_blind_it(wild):
    space = sphere_space(2)
    search = BayesianOptimization(seed=0)
    state, best = search.init(), math.inf
    for number in range(25):
        values = asked(search, state, space, number)
        loss = wild if values["x0"] > 0.5 else sphere(values)
        best = min(best, loss)
        trial = Trial(number=number, values=values, status=Status.COMPLETED, loss=loss)
        state = search.tell(state, trial, space)
    assert best < 0.01


def test_when_all_trials_failed_it_draws_on():
    space = sphere_space(2)
    search = BayesianOptimization(seed=0)
    rows = [(space.sample(np.random.default_rng(i)), None) for i in range(12)]
    state = told(search, rows, space)
    assert asked(search, state, space, 12) != asked(search, state, space, 13)


def test_it_finds_the_right_branch_of_a_conditional_space():
    adam, sgd = [Parent("optimizer", ["adam"])], [Parent("optimizer", ["sgd"])]
    space = Space(
        (
            Choice("optimizer", ["rms", "adam", "sgd"]),
            Float("beta", 0.0, 1.0, conditions=adam),
            Float("momentum", 0.0, 1.0, conditions=sgd),
            Boolean("nesterov", conditions=sgd),
        )
    )

    def loss(values):
        if values["optimizer"] == "sgd":
            return (values["momentum"] - 0.8) ** 2 + 0.1 * (not values["nesterov"])
        return 0.5 + (values.get("beta", 0.5) - 0.2) ** 2

    bests = [run(BayesianOptimization(seed=s), loss, space, 25).best for s in range(3)]
    assert max(bests) < 0.005


def test_on_a_space_of_many_kinds_it_beats_random_search():
    space = Space(
        (
            Float("rate", 1e-5, 1.0, sampling="log"),
            Int("units", 8, 512, sampling="log"),
            Choice("activation", ["relu", "tanh", "gelu", "elu"]),
            Boolean("norm"),
            Float("dropout", 0.0, 0.8, step=0.1),
        )
    )

    def loss(values):
        return (
            (math.log10(values["rate"]) + 2.5) ** 2
            + (math.log2(values["units"]) - 7) ** 2 / 4
            + ["gelu", "elu", "relu", "tanh"].index(values["activation"]) / 2
            + (0.0 if values["norm"] else 0.5)
            + values["dropout"]
        )

    mine, chance = (
        statistics.median(run(kind(seed=s), loss, space, 30).best for s in range(5))
        for kind in (BayesianOptimization, Random)
    )
    assert mine < chance / 3


def test_a_search_that_stalls_looks_elsewhere_now_and_then():
    space = sphere_space(2)
    search = BayesianOptimization(seed=0)

    def cliff(values):  # a wide plateau around a good start, and a better, small hole far off
        x, y = values["x0"], values["x1"]
        if abs(x - 0.8) < 0.1 and abs(y + 0.8) < 0.1:
            return 0.0
        return 1.0 if math.hypot(x + 0.5, y - 0.5) < 0.4 else 2.0

    done = run(search, cliff, space, 60)
    late = [t for t in done.trials if t.number >= 30]
    away = [t for t in late if math.hypot(t.values["x0"] + 0.5, t.values["x1"] - 0.5) > 0.5]
    assert len(away) >= 5


def test_of_very_many_trials_the_model_sees_the_best_the_last_and_some_of_all_times():
    losses = np.random.default_rng(0).random(1000)
    kept = _kept(losses.tolist(), MODEL_LIMIT)
    assert len(kept) == len(set(kept)) == MODEL_LIMIT
    assert set(np.argsort(losses)[: MODEL_LIMIT // 2]) <= set(kept)
    assert set(range(1000 - MODEL_LIMIT // 4, 1000)) <= set(kept)
    assert np.histogram(kept, bins=10, range=(0, 1000))[0].min() >= 10
    assert _kept([None, 1.0], MODEL_LIMIT).tolist() == [0, 1]


def test_more_trials_than_the_model_can_hold_still_give_a_good_proposal():
    space = sphere_space(3)
    search = BayesianOptimization(seed=0)
    rng = np.random.default_rng(0)
    rows = [(v := space.sample(rng), sphere(v)) for _ in range(MODEL_LIMIT + 53)]
    proposal = asked(search, told(search, rows, space), space, len(rows))
    assert sphere(proposal) < min(loss for _, loss in rows)


def test_values_that_the_space_no_longer_allows_are_read_as_its_nearest():
    space = Space((Int("units", 1, 8), Float("rate", 0.0, 1.0)))
    search = BayesianOptimization(seed=0, num_initial_points=1)
    rows = [({"units": 64, "rate": 0.5, "gone": "x"}, 1.0), ({"units": 2}, 0.5)]
    values = asked(search, told(search, rows, space), space, 2)
    assert set(values) == {"units", "rate"}


def test_a_space_of_fixed_values_has_one_combination():
    space = Space((Fixed("a", 1),))
    search = BayesianOptimization(seed=0, num_initial_points=1)
    assert asked(search, search.init(), space, 0) == {"a": 1}
    for count in (1, 3):
        state = told(search, [({"a": 1}, float(i)) for i in range(count)], space)
        answer = search.ask(state, Situation(number=count, space=space))
        assert answer == Done("the only combination has been tried")


def test_a_state_is_told_trials_and_nothing_else():
    search = BayesianOptimization(seed=0)
    assert search.init() == BayesianState()
    one = told(search, [({"x0": 0.0}, 1.0)], sphere_space(1))
    again = told(search, [({"x0": 0.0}, 1.0)], sphere_space(1))
    assert one == again != search.init()


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_initial_points": 0},
        {"num_initial_points": True},
        {"alpha": 0.0},
        {"alpha": math.nan},
        {"beta": -1.0},
        {"acquisition": "ucb"},
        {"seed": -1},
    ],
)
def test_arguments_out_of_range_are_refused(wrong):
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        BayesianOptimization(**{"seed": 0, **wrong})


def test_linear_algebra_is_on_one_thread_for_every_caller_and_then_as_before():
    threadpoolctl = pytest.importorskip("threadpoolctl")

    def threads():
        return [
            i["num_threads"] for i in threadpoolctl.threadpool_info() if i["user_api"] == "blas"
        ]

    def caller():
        with one_blas_thread():
            seen.append(threads())

    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before, seen = threads(), []
        workers = [threading.Thread(target=caller) for _ in range(4)]
        caller()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        after = threads()
    assert 2 in before
    assert seen == [[1] * len(before)] * 5
    assert after == before
