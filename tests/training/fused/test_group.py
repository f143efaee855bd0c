"""Trainings of a group come to what each comes to alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import pytest

from afina.errors import ArgumentError
from afina.training import fresh_session
from afina.training.fused import CannotFuseError, Engine, FusedTrainer
from afina.training.fused.group import Group, alike
from afina.training.fused.member import GroupMember

from .conftest import Make, Trained, arrays, assert_same, layers, sequential, train

pytestmark = pytest.mark.service  # `make test` searches with groups: tests/tuners/test_groups.py

X, Y = arrays()
TOLERANCE = 1e-5


def small(rate: float = 1e-2, *, units: int = 5, optimizer: Any = keras.optimizers.Adam) -> Make:
    return lambda: sequential(
        layers.Dense(units, activation="relu"), optimizer=optimizer(rate), metrics=["mae"]
    )


def rich(rate: float) -> Make:
    """With every kind of state."""
    return lambda: sequential(
        layers.Dense(5, use_bias=False),  # a bias would be trained by rounding errors alone
        layers.BatchNormalization(),
        layers.Dropout(0.4),
        optimizer=keras.optimizers.Adam(rate),
        metrics=["mae"],
    )


@dataclass
class Case:
    """A member to be."""

    make: Make
    callbacks: Callable[[], list[Any]] = list
    kwargs: dict[str, Any] = field(default_factory=dict)

    def arguments(self) -> dict[str, Any]:
        common = {"verbose": 0, "batch_size": 16, "epochs": 3, "validation_split": 0.3}
        return {**common, **self.kwargs}


def members_of(cases: Sequence[Case], data: Sequence[Any] = (X, Y)) -> list[GroupMember]:
    members = []
    for seed, case in enumerate(cases):
        fresh_session()
        keras.utils.set_random_seed(seed)
        model = case.make()
        members.append(
            GroupMember(model, data, {**case.arguments(), "callbacks": case.callbacks()})
        )
    return members


def trained(member: GroupMember) -> Trained:
    with member.streams.inside():
        draw = float(np.random.rand())
    return Trained(member.model, member.model.history, draw, member.kwargs["callbacks"])


def alone(cases: Sequence[Case], data: Sequence[Any] = (X, Y)) -> list[Trained]:
    fit = FusedTrainer().fit
    return [
        train(fit, case.make, *data, seed=seed, callbacks=case.callbacks, **case.arguments())
        for seed, case in enumerate(cases)
    ]


def assert_as_alone(
    cases: Sequence[Case], data: Sequence[Any] = (X, Y), *, worth: int = 10_000
) -> Group:
    group = Group(Engine(), members_of(cases, data), worth=worth)
    results = group.run()
    assert group.failure is None
    for result, member, single in zip(results, group.members, alone(cases, data), strict=True):
        assert result is member.model.history
        assert_same(trained(member), single, tolerance=TOLERANCE)
    return group


class Draws(keras.callbacks.Callback):  # type: ignore[misc]
    """Draws numbers, and tells when."""

    def __init__(self, name: str = "", told: list[Any] | None = None) -> None:
        super().__init__()
        self.name, self.told = name, [] if told is None else told
        self.drawn: list[float] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.told.append((self.name, epoch))
        self.drawn += [random.random(), float(np.random.rand())]
        logs["drawn"] = self.drawn[-1]


class StopsAtNan(keras.callbacks.Callback):  # type: ignore[misc]
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.model.stop_training = not np.isfinite(logs["loss"])


class Does(keras.callbacks.Callback):  # type: ignore[misc]
    """Does something at the end of the second epoch."""

    def __init__(self, something: Callable[[keras.Model], None]) -> None:
        super().__init__()
        self.something = something
        self.calls: list[str] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.calls.append(f"end of {epoch}")
        if epoch == 1:
            self.something(self.model)

    def on_train_end(self, logs: Any = None) -> None:
        self.calls.append("end")


def fails(model: keras.Model) -> None:
    raise RuntimeError("as told")


def interrupts(model: keras.Model) -> None:
    raise KeyboardInterrupt


# -- the same numbers -----------------------------------------------------------------------------


def test_members_get_the_numbers_that_they_get_alone() -> None:
    assert_as_alone([Case(rich(1e-2)), Case(rich(1e-3)), Case(rich(1e-1))])


def test_each_trains_as_many_epochs_as_it_is_given_and_as_its_callbacks_allow() -> None:
    kinds = keras.callbacks
    stopping = Case(
        small(0.5),
        lambda: [kinds.EarlyStopping(patience=1, restore_best_weights=True)],
        {"epochs": 8},
    )
    slowing = Case(
        small(0.3),
        lambda: [kinds.ReduceLROnPlateau(monitor="loss", patience=1, min_delta=10.0)],
        {"epochs": 6},
    )
    first = Case(small(), kwargs={"epochs": 5, "initial_epoch": 3, "validation_freq": 2})
    none = Case(small(), kwargs={"epochs": 0})
    group = assert_as_alone([first, stopping, slowing, none])
    epochs = [len(member.model.history.epoch) for member in group.members]
    assert epochs[0] == 2
    assert epochs[1] < 8
    assert epochs[2:] == [6, 0]
    assert float(group.members[2].model.optimizer.learning_rate) < 0.3


def test_nan_in_one_leaves_the_others_alone() -> None:
    sgd = keras.optimizers.SGD
    mad = Case(small(1e30, optimizer=sgd), lambda: [StopsAtNan()])
    group = assert_as_alone([Case(small(0.01, optimizer=sgd)), mad])
    sane, lost = (member.model.history.history["loss"] for member in group.members)
    assert len(sane) == 3
    assert np.isfinite(sane).all()
    assert len(lost) < 3
    assert not np.isfinite(lost[-1])


def test_callbacks_draw_what_they_draw_alone() -> None:
    cases = [Case(small(), lambda: [Draws()], {"epochs": epochs}) for epochs in (2, 3)]
    group = assert_as_alone(cases)
    mine = [member.kwargs["callbacks"][0].drawn for member in group.members]
    assert mine == [each.callbacks[0].drawn for each in alone(cases)]


def test_the_processs_own_streams_stay_as_they_are() -> None:
    group = Group(Engine(), members_of([Case(small(), lambda: [Draws()])] * 2))
    before = random.getstate(), np.random.get_state()[1].tolist()
    group.run()
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


def test_weights_and_orders_that_are_not_shuffled_are_taken_as_alone() -> None:
    weights = np.linspace(0.1, 1.0, len(X)).astype("float32")
    cases = [Case(small(), kwargs={"shuffle": shuffle}) for shuffle in (False, "batch", True)]
    for case in cases:
        case.kwargs["sample_weight"] = weights
    assert_as_alone(cases)


def test_sparse_inputs_are_shared() -> None:
    draws = np.random.default_rng(0)
    x = (draws.random((45, 1200)) < 0.01).astype("float32")
    cases = [
        Case(lambda rate=rate: sequential(layers.Dense(4), columns=1200, optimizer=rate))
        for rate in ("adam", "adam")
    ]
    data = x, draws.random((45, 1)).astype("float32")
    group = assert_as_alone(cases, data)
    own = group.members[0].training(group.engine)
    assert own.train.arrays.is_sparse
    assert own.plan.filler is not None


# -- who takes part -------------------------------------------------------------------------------


def test_members_take_turns_at_the_ends_of_epochs() -> None:
    told: list[Any] = []
    cases = [
        Case(small(), lambda: [Draws("a", told)], {"epochs": 2}),
        Case(small(), lambda: [Draws("b", told)]),
    ]
    Group(Engine(), members_of(cases)).run()
    assert told == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("b", 2)]


def test_what_a_callback_raises_is_its_members_result() -> None:
    bad = Case(small(), lambda: [Does(fails)], {"epochs": 4})
    members = members_of([Case(small()), bad, Case(small(0.1))])
    results = Group(Engine(), members).run()
    assert isinstance(results[1], RuntimeError)
    assert members[1].kwargs["callbacks"][0].calls == ["end of 0", "end of 1"]
    singles = alone([Case(small()), Case(small()), Case(small(0.1))])
    for place in (0, 2):
        assert_same(trained(members[place]), singles[place], tolerance=TOLERANCE)


def test_an_interrupt_ends_them_all() -> None:
    cases = [Case(small(), lambda: [Does(interrupts)]), Case(small(), lambda: [Does(print)])]
    members = members_of(cases)
    with pytest.raises(KeyboardInterrupt):
        Group(Engine(), members).run()
    assert members[1].kwargs["callbacks"][0].calls == ["end of 0"]


def test_few_that_are_left_get_a_smaller_program() -> None:
    cases = [Case(small(), kwargs={"epochs": epochs}) for epochs in (1, 1, 5, 3)]
    assert assert_as_alone(cases, worth=0).width == 1
    assert assert_as_alone(cases).width == 4


def test_who_changes_its_model_goes_on_alone() -> None:
    def freezes(model: keras.Model) -> None:
        model.layers[0].trainable = False
        model.compile("sgd", "mse")

    assert_as_alone([Case(small()), Case(small(), lambda: [Does(freezes)]), Case(small())])


def test_where_the_group_fails_members_go_on_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(group: Group, seats: Any) -> Any:
        raise MemoryError("no room for so many")

    monkeypatch.setattr(Group, "_together", full)
    cases = [Case(small()), Case(small(0.1))]
    group = Group(Engine(), members_of(cases))
    group.run()
    assert group.failure == "no room for so many"
    for member, single in zip(group.members, alone(cases), strict=True):
        assert_same(trained(member), single, tolerance=0.0)


# -- which members, and whether it pays -----------------------------------------------------------


def test_members_must_be_alike() -> None:
    other, engine = X.copy(), Engine()
    members = members_of([Case(small()), Case(small(units=6))])
    with pytest.raises(ArgumentError, match="other programs for sequential"):
        Group(engine, members)
    with pytest.raises(ArgumentError, match="other data for sequential"):
        Group(engine, [members[0], *members_of([Case(small())], (other, Y))])
    with pytest.raises(ArgumentError, match="at least one"):
        Group(engine, [])


def test_members_of_unknown_parts_cannot_be_grouped() -> None:
    def own() -> keras.Model:
        return sequential(layers.Lambda(lambda x: 2 * x))

    members = members_of([Case(own), Case(own)])
    with pytest.raises(ArgumentError, match="of Keras' own parts"):
        Group(Engine(), members)
    assert alike(Engine(), members) == [[members[0]], [members[1]]]


def test_data_that_do_not_fit_cannot_be_shared() -> None:
    members = members_of([Case(small()), Case(small())])
    with pytest.raises(ArgumentError, match="fit the device"):
        Group(Engine(memory=1), members)


def test_members_are_sorted_by_what_they_can_be_grouped_with() -> None:
    cases = [Case(small(units=units)) for units in (5, 6, 5, 7, 6)]
    members = members_of(cases)
    a, b, c, d, e = members
    assert alike(Engine(), members) == [[a, c], [b, e], [d]]


def test_what_cannot_be_fused_cannot_be_grouped() -> None:
    members = members_of([Case(small(), kwargs={"steps_per_epoch": 2})])
    with pytest.raises(CannotFuseError, match="steps_per_epoch"):
        Group(Engine(), members).run()


def test_a_second_group_compiles_nothing() -> None:
    engine = Engine()
    for compiled in (1, 1):
        Group(engine, members_of([Case(small(0.1)), Case(small(0.2))])).run()
        assert engine.programs.compiled == compiled


@pytest.mark.first("1")
@pytest.mark.parametrize("steps", [1, 50])
def test_whether_it_pays_is_measured_once_and_changes_nothing(steps: int) -> None:
    engine, cases = Engine(), [Case(small(0.1)), Case(small())]
    group = Group(engine, members_of(cases))
    gain = group.gain(steps=steps)
    assert gain > 0
    assert Group(engine, members_of(cases)).gain(steps=steps) == gain
    assert group.pays(least=gain)
    assert not group.pays(least=gain + 1e-3)
    group.run()
    for member, single in zip(group.members, alone(cases), strict=True):
        assert_same(trained(member), single, tolerance=TOLERANCE)


def test_one_after_another_is_as_alone_to_the_bit() -> None:
    cases = [Case(rich(1e-2)), Case(rich(1e-3), lambda: [Draws()])]
    group = Group(Engine(), members_of(cases))
    results = group.run(together=False)
    for result, member, single in zip(results, group.members, alone(cases), strict=True):
        assert result is member.model.history
        assert_same(trained(member), single, tolerance=0.0)


def test_a_group_of_one_is_trained_alone() -> None:
    cases = [Case(small())]
    group = Group(Engine(), members_of(cases))
    assert not group.pays(least=0.5)
    group.run()
    assert_same(trained(group.members[0]), alone(cases)[0], tolerance=0.0)


def test_the_time_is_parted_among_members() -> None:
    group = Group(Engine(), members_of([Case(small()), Case(small())]))
    group.run()
    one, two = (member.account for member in group.members)
    assert one == two
    assert min(one.trace, one.compile, one.train, one.validate) > 0
