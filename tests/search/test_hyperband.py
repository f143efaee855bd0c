import itertools
from collections import Counter, defaultdict
from dataclasses import replace

import pytest

from afina.errors import ArgumentError
from afina.search import Done, Hyperband, Situation, Suggestion, Wait
from afina.search.fidelity.brackets import plan
from afina.search.untried import key_of
from afina.space import Boolean, Choice, Float, Space
from afina.testing.toys import conditional_loss, conditional_space, run, sphere, sphere_space
from afina.trials import Failure, FailureKind, Status, Trial


def by_rung(trials):
    rungs = defaultdict(list)
    for trial in sorted(trials, key=lambda t: t.number):
        s = trial.schedule
        rungs[s.iteration, s.bracket, s.rung].append(trial)
    return rungs


def sizes(trials):
    return {rung: len(members) for rung, members in by_rung(trials).items()}


@pytest.mark.parametrize("workers", [1, 2, 7, 50])
@pytest.mark.parametrize(("max_epochs", "factor"), [(10, 3), (8, 2), (27, 3), (20, 2.5)])
def test_every_rung_is_run_as_planned(max_epochs, factor, workers):
    search = Hyperband(max_epochs=max_epochs, factor=factor, seed=1)
    done = run(search, sphere, sphere_space(2), 10_000, workers)
    planned = {
        (0, bracket.number, rung.index): rung.size
        for bracket in plan(max_epochs, factor)
        for rung in bracket.rungs
    }
    assert sizes(done.trials) == planned
    assert len(done.trials) == sum(bracket.trials for bracket in plan(max_epochs, factor))
    for bracket in plan(max_epochs, factor):
        for rung in bracket.rungs:
            for trial in by_rung(done.trials)[0, bracket.number, rung.index]:
                schedule = trial.schedule
                assert (schedule.start_epoch, schedule.end_epoch) == (
                    rung.start_epoch,
                    rung.end_epoch,
                )
    assert done.done == Done(f"all {len(plan(max_epochs, factor))} brackets are finished")


def test_one_worker_finishes_bracket_after_bracket():
    done = run(Hyperband(max_epochs=10, seed=1), sphere, sphere_space(2), 1000)
    steps = [(t.schedule.bracket, t.schedule.rung) for t in done.trials]
    assert [step for step, _ in itertools.groupby(steps)] == [
        (2, 0),
        (2, 1),
        (2, 2),
        (1, 0),
        (1, 1),
        (0, 0),
    ]


@pytest.mark.parametrize("workers", [1, 3, 20])
def test_a_bracket_is_successive_halving(workers):
    done = run(Hyperband(max_epochs=27, seed=4), sphere, sphere_space(2), 1000, workers)
    rungs = by_rung(done.trials)
    for bracket in plan(27, 3):
        survivors = rungs[0, bracket.number, 0]
        for index in range(1, len(bracket.rungs)):
            best = sorted(survivors, key=lambda t: t.loss)[: bracket.sizes[index]]
            promoted = rungs[0, bracket.number, index]
            assert {t.schedule.parent for t in promoted} == {t.number for t in best}
            survivors = promoted


def test_a_promoted_trial_has_the_values_of_its_parent_and_starts_where_it_stopped():
    done = run(Hyperband(max_epochs=9, seed=2), conditional_loss, conditional_space(), 500, 4)
    known = {trial.number: trial for trial in done.trials}
    promoted = [t for t in done.trials if t.schedule.parent is not None]
    assert len(promoted) == 3 + 1 + 2
    for trial in promoted:
        parent = known[trial.schedule.parent]
        assert trial.values == parent.values
        assert trial.schedule.start_epoch == parent.schedule.end_epoch
        assert trial.schedule.rung == parent.schedule.rung + 1
        assert trial.schedule.bracket == parent.schedule.bracket
    assert max(Counter(t.schedule.parent for t in promoted).values()) == 1


def test_no_configuration_is_drawn_twice_while_the_space_has_new_ones():
    space = Space((Choice("a", list(range(10))), Choice("b", list(range(5)))))
    done = run(Hyperband(max_epochs=8, factor=2, seed=3), sphere, space, 500, 3)
    fresh = [key_of(t.values, space) for t in done.trials if t.schedule.rung == 0]
    assert len(fresh) == 8 + 6 + 4 + 4
    assert len(set(fresh)) == len(fresh)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_space_that_runs_out_repeats_between_brackets_but_not_on_a_rung(workers):
    space = Space((Choice("a", list(range(13))),))
    done = run(Hyperband(max_epochs=8, factor=2, seed=3), sphere, space, 500, workers)
    assert len(done.trials) == sum(bracket.trials for bracket in plan(8, 2))
    for (_, _, rung), members in by_rung(done.trials).items():
        if rung == 0:
            assert len({t.values["a"] for t in members}) == len(members)
    first_two = [t.values["a"] for t in done.trials if t.schedule.rung == 0][:13]
    assert len(set(first_two)) == 13


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_a_space_too_small_for_a_rung_shrinks_the_bracket(workers):
    space = Space((Choice("a", list(range(10))),))
    done = run(Hyperband(max_epochs=27, factor=3, seed=1), sphere, space, 500, workers)
    assert sizes(done.trials) == {
        (0, 3, 0): 10,
        (0, 3, 1): 4,
        (0, 3, 2): 2,
        (0, 3, 3): 1,
        (0, 2, 0): 10,
        (0, 2, 1): 4,
        (0, 2, 2): 2,
        (0, 1, 0): 6,
        (0, 1, 1): 2,
        (0, 0, 0): 4,
    }
    assert isinstance(done.done, Done)


def test_iterations_repeat_all_brackets_with_new_draws():
    search = Hyperband(max_epochs=9, iterations=2, seed=1)
    done = run(search, sphere, sphere_space(2), 500, 3)
    assert len(done.trials) == 2 * sum(bracket.trials for bracket in plan(9, 3))
    fresh = [t.values["x0"] for t in done.trials if t.schedule.rung == 0]
    assert len(set(fresh)) == len(fresh)
    assert {t.schedule.iteration for t in done.trials} == {0, 1}


@pytest.mark.parametrize("endless", [None, 0])
def test_without_a_number_of_iterations_it_never_ends(endless):
    search = Hyperband(max_epochs=3, iterations=endless, seed=1)
    done = run(search, sphere, sphere_space(2), 200, 4)
    assert len(done.trials) == 200
    assert done.done is None
    assert len(done.state.brackets) <= 3


@pytest.mark.parametrize("workers", [1, 4])
def test_failed_trials_never_leave_a_bracket_unfinished(workers):
    def fails_often(values):
        if values["x0"] < 0.3:
            raise RuntimeError("too low")
        return sphere(values)

    search = Hyperband(max_epochs=27, seed=5)
    done = run(search, fails_often, sphere_space(2), 500, workers)
    rungs = by_rung(done.trials)
    assert isinstance(done.done, Done)
    for bracket in plan(27, 3):
        ready = rungs[0, bracket.number, 0]
        assert len(ready) == bracket.sizes[0]
        for index in range(1, len(bracket.rungs)):
            fit = sorted((t for t in ready if t.loss is not None), key=lambda t: t.loss)
            ready = rungs[0, bracket.number, index]
            wanted = fit[: bracket.sizes[index]]
            assert {t.schedule.parent for t in ready} == {t.number for t in wanted}


def test_failures_on_a_later_rung_let_the_bracket_finish():
    search, space = Hyperband(max_epochs=27, seed=5), sphere_space(2)
    state, done = search.init(), {}
    for number in range(500):
        answer = search.ask(state, Situation(number=number, space=space))
        if isinstance(answer, Done):
            break
        trial = Trial(number=number, values=answer.values, schedule=answer.schedule, ended=number)
        if answer.schedule.rung == 1 and number % 3:
            why = Failure(FailureKind.OUT_OF_MEMORY, "too large")
            trial = replace(trial, status=Status.FAILED, failure=why)
        else:
            trial = replace(trial, status=Status.COMPLETED, loss=sphere(answer.values))
        state = search.tell(state, trial, space)
        done[number] = trial
    assert isinstance(answer, Done)
    counts = sizes(done.values())
    alive = sum(t.loss is not None for t in by_rung(done.values())[0, 3, 1])
    assert alive < 9
    assert counts[0, 3, 2] == min(3, alive)


def test_when_all_fail_every_first_rung_is_still_tried():
    def broken(values):
        raise RuntimeError("always")

    done = run(Hyperband(max_epochs=10, seed=1), broken, sphere_space(2), 500)
    assert sizes(done.trials) == {(0, 2, 0): 12, (0, 1, 0): 6, (0, 0, 0): 4}


def test_a_trial_is_promoted_as_soon_as_it_is_sure_to_go_on():
    search, space = Hyperband(max_epochs=9, seed=1), sphere_space(2)  # 9 trials, then 3, then 1
    state, trials = search.init(), []
    for number in range(9):
        answer = search.ask(state, Situation(number=number, space=space, running=tuple(trials)))
        trials.append(Trial(number=number, values=answer.values, schedule=answer.schedule))
    for told in range(7):
        running = tuple(trials[told:])
        answer = search.ask(state, Situation(number=9, space=space, running=running))
        assert answer.schedule.bracket == 1, f"{told} of 9 cannot tell who is among the best three"
        ended = replace(trials[told], status=Status.COMPLETED, loss=float(told), ended=told)
        state = search.tell(state, ended, space)
    answer = search.ask(state, Situation(number=9, space=space, running=tuple(trials[7:])))
    assert (answer.schedule.rung, answer.schedule.parent) == (1, 0)


def test_workers_open_the_next_bracket_rather_than_wait():
    search, space = Hyperband(max_epochs=3, seed=1), sphere_space(2)
    running = []
    for number in range(5):
        situation = Situation(number=number, space=space, running=tuple(running))
        answer = search.ask(search.init(), situation)
        assert isinstance(answer, Suggestion)
        running.append(Trial(number=number, values=answer.values, schedule=answer.schedule))
    assert [t.schedule.bracket for t in running] == [1, 1, 1, 0, 0]
    situation = Situation(number=5, space=space, running=tuple(running))
    assert search.ask(search.init(), situation) == Wait()


def test_a_first_build_that_may_discover_entries_is_waited_for():
    search = Hyperband(max_epochs=9, seed=1)
    first = search.ask(search.init(), Situation(number=0, space=Space(())))
    running = (Trial(number=0, values=first.values, schedule=first.schedule),)
    situation = Situation(number=1, space=Space(()), running=running)
    assert search.ask(search.init(), situation) == Wait()
    grown = Situation(number=1, space=Space((Float("x", 0.0, 1.0),)), running=running)
    assert search.ask(search.init(), grown).schedule.bracket == 2


def test_a_tiny_space_with_many_workers_ends():
    done = run(Hyperband(max_epochs=100, seed=1), lambda v: 1.0, Space((Boolean("a"),)), 500, 8)
    assert isinstance(done.done, Done)
    assert all(count <= 2 for count in sizes(done.trials).values())


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_epochs": 0},
        {"factor": 1},
        {"iterations": -1},
        {"iterations": 1.5},
        {"seed": -1},
        {"sampler": "tpe"},
    ],
)
def test_arguments_out_of_range_are_refused(wrong):
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        Hyperband(**wrong)


def test_a_model_draws_fresh_configurations_once_there_are_results():
    space = sphere_space(3)
    plain = run(Hyperband(max_epochs=9, seed=2), sphere, space, 22)
    search = Hyperband(max_epochs=9, seed=2, sampler="model")
    done = run(search, sphere, space, 22)
    assert sizes(done.trials) == sizes(plain.trials)
    one, other = ([t for t in run.trials if t.parent is None] for run in (plain, done))
    assert [t.values for t in one[:9]] == [t.values for t in other[:9]]
    later = [t.loss for t in other[10:]]
    assert sum(later) / len(later) < sum(t.loss for t in one[10:]) / len(one[10:])
    assert plain.state.history.segments == ()


def test_with_a_model_a_search_hangs_on_who_ends_when_and_still_replays():
    search = Hyperband(max_epochs=9, seed=1, sampler="model")
    assert not search.order_independent
    assert Hyperband(max_epochs=9).order_independent
    done = run(search, sphere, sphere_space(2), 18, 3)
    state = search.init()
    for trial in done.trials:
        state = search.tell(state, trial, sphere_space(2))
    assert state == done.state
    question = Situation(number=18, space=sphere_space(2))
    assert search.ask(state, question) == search.ask(done.state, question)
