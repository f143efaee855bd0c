from afina.advice import carry_over
from afina.space import Choice, Fixed, Float, Int, Parent, Space
from afina.trials import Failure, FailureKind, Status, Trial

OLD = Space(
    (
        Choice("optimizer", ["adam", "sgd"]),
        Float("momentum", 0, 1, conditions=[Parent("optimizer", "sgd")]),
        Int("units", 8, 64),
    )
)


def done(number, loss=1.0, **values):
    return Trial(number=number, values=values, status=Status.COMPLETED, loss=loss, score=loss)


def test_trials_inside_keep_their_losses_and_those_outside_are_left_out():
    new = Space((*OLD.entries[:2], Int("units", 32, 128)))
    trials = [
        done(0, 0.5, optimizer="sgd", momentum=0.9, units=48),
        done(1, 0.2, optimizer="adam", units=8),
        Trial(
            number=2,
            values={"optimizer": "adam", "units": 32},
            status=Status.FAILED,
            failure=Failure(FailureKind.ERROR, "no"),
        ),
        Trial(number=3, values={"optimizer": "adam", "units": 32}),
    ]
    found = carry_over(trials, OLD, new)
    assert [(t.number, t.loss) for t in found] == [(0, 0.5), (2, None)]
    assert found[0].values == {"optimizer": "sgd", "momentum": 0.9, "units": 48}


def test_a_frozen_one_matters_only_if_it_is_not_free():
    new = Space((Choice("optimizer", ["adam"]), Fixed("units", 8)))
    trials = [done(0, optimizer="adam", units=48), done(1, optimizer="adam", units=8)]
    assert [t.number for t in carry_over(trials, OLD, new)] == [1]
    free = carry_over(trials, OLD, new, free={"units"})
    assert [t.values for t in free] == [{"optimizer": "adam", "units": 8}] * 2


def test_a_branch_that_a_trial_never_entered_is_not_made_up():
    new = Space((Fixed("optimizer", "sgd"), *OLD.entries[1:]))
    trials = [done(0, optimizer="adam", units=8)]
    assert carry_over(trials, OLD, new, free={"optimizer"}) == []


def test_new_entries_are_at_their_default_and_lost_ones_must_have_been():
    new = Space((*OLD.entries[:2], Float("rate", 0.1, 1)))
    trials = [done(0, optimizer="adam", units=8), done(1, optimizer="adam", units=9)]
    found = carry_over(trials, OLD, new)
    assert [t.values for t in found] == [{"optimizer": "adam", "rate": 0.1}]
