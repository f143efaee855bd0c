"""Trials that are trained together: the same search as one after the other."""

import random
from collections import Counter

import keras
import numpy as np
import pytest

import afina as kt
from afina.errors import ArgumentError
from afina.training.fused.group import Group
from afina.tuners import groups
from afina.tuners.groups import check_group_trials, count_together
from tests.tuners.grouped import (
    TOLERANCE,
    assert_same,
    build,
    grid,
    layers,
    like,
    notes,
    random_search,
    search,
    trials,
    trials_of,
)


class Drawing(keras.callbacks.Callback):
    """Draws from all streams, and lets them into the weights."""

    def on_epoch_begin(self, epoch, logs=None):
        noise = random.random() + np.random.rand() + float(keras.random.uniform(()))
        kernel = self.model.layers[0].kernel
        kernel.assign(kernel + 1e-2 * noise)


TUNERS = {
    "random": lambda **kwargs: kt.RandomSearch(
        build, "val_loss", max_trials=6, executions_per_trial=2, **kwargs
    ),
    "hyperband": lambda **kwargs: kt.Hyperband(build, "val_loss", max_epochs=4, factor=2, **kwargs),
}


# -- the same search ------------------------------------------------------------------------------


@pytest.mark.first("hyperband")
@pytest.mark.parametrize("name", TUNERS)
def test_groups_give_the_same_trials_and_curves_as_one_by_one(name, tmp_path):
    found = {}
    for count in (1, 3):
        random.seed(1)
        keras.utils.set_random_seed(2)
        tuner = TUNERS[name](
            group_trials=count,
            workers=1,
            seed=1,
            directory=tmp_path,
            project_name=f"p{count}",
        )
        expected = random.getstate(), np.random.get_state()[1].tolist()
        found[count] = trials_of(search(tuner, callbacks=[Drawing()]))
        assert (random.getstate(), np.random.get_state()[1].tolist()) == expected
        assert {t.notes["training"] for t in tuner.oracle.trials.values()} == {"fused"}
        assert all("group" in t.notes for t in tuner.oracle.trials.values()) == (count == 3)
        assert tuner.get_best_models()
    assert_same(found[1], found[3])
    together = [note for note in notes(tuner) if note.endswith("together")]
    assert len(together) >= len(found[1]) // 2


def test_models_are_checkpointed_at_their_best_epoch(tmp_path):
    tuner = search(random_search(tmp_path), epochs=4)
    single = search(random_search(tmp_path, "single", group_trials=1), epochs=4)
    assert notes(tuner) == ["3 together"] * 3
    for mine, other in zip(tuner.get_best_models(3), single.get_best_models(3), strict=True):
        for a, b in zip(mine.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, atol=TOLERANCE)
        assert int(mine.optimizer.iterations) == int(other.optimizer.iterations)


def test_hooks_are_called_for_each_trial(tmp_path):
    calls = []

    class Told(kt.RandomSearch):
        def on_trial_begin(self, trial):
            calls.append(("begin", trial.trial_id))
            super().on_trial_begin(trial)

        def on_epoch_end(self, trial, model, epoch, logs=None):
            calls.append((epoch, trial.trial_id))

        def on_trial_end(self, trial):
            super().on_trial_end(trial)
            calls.append((trial.status, trial.trial_id))

    search(Told(like, "val_loss", max_trials=2, seed=1, group_trials=2, directory=tmp_path))
    assert calls == [
        (what, number) for what in ("begin", 0, 1, "COMPLETED") for number in ("0", "1")
    ]


def test_a_search_that_learns_from_each_trial_asks_for_several_at_once(tmp_path):
    tuners = [
        kt.BayesianOptimization(
            like,
            "val_loss",
            max_trials=6,
            num_initial_points=3,
            seed=1,
            group_trials=3,
            directory=tmp_path,
            project_name=name,
        )
        for name in ("a", "b")
    ]
    found = [trials_of(search(tuner)) for tuner in tuners]
    assert notes(tuners[0]) == ["3 together"] * 6
    assert found[0] == found[1]


# -- members that end otherwise than the others ---------------------------------------------------


# -- who is trained alone -------------------------------------------------------------------------


def test_unlike_models_are_trained_alone(tmp_path):
    tuner = search(grid(tmp_path, lambda hp: build(hp, hp.Choice("width", [4, 5, 6]))))
    assert notes(tuner) == ["alone: no other of its program and epochs"] * 3


@pytest.mark.service  # every other way of training
def test_trainings_that_are_not_fused_take_part_in_no_group(tmp_path):
    def make(hp):
        model = like(hp)
        if hp.Choice("eager", [False, True]):
            model.run_eagerly = True
        else:
            hp.Choice("any", [1, 2], parent_name="eager", parent_values=[False])
        return model

    tuner = search(grid(tmp_path, make))
    found = Counter((t.notes["training"][:4], t.notes["group"]) for t in trials(tuner))
    assert found == {
        ("fit:", "alone: it is not fused"): 1,
        ("fuse", "2 together"): 2,
    }


def test_models_with_code_of_the_users_are_trained_alone(tmp_path):
    def make(hp):
        model = like(hp)
        model.add(layers.Lambda(lambda x: x))
        return model

    tuner = search(random_search(tmp_path, make=make))
    assert set(notes(tuner)) == {"alone: not made of Keras' own parts only, or the data do not fit"}


@pytest.mark.service  # a kind of model beside those above
def test_models_that_their_first_batch_builds_get_the_same_numbers(tmp_path):
    def make(hp):
        model = keras.Sequential([layers.Dense(hp.Choice("n", [3, 4]), "relu"), layers.Dense(1)])
        rate = hp.Choice("rate", [0.01, 0.02])
        model.compile(keras.optimizers.Adam(rate), "mse", metrics=["mae"])
        return model

    found = {}
    for count in (1, 2, 4):
        tuner = random_search(tmp_path, f"p{count}", make, group_trials=count, max_trials=4)
        found[count] = trials_of(search(tuner))
    assert_same(found[1], found[2])
    assert_same(found[1], found[4])
    assert notes(tuner) == ["2 together"] * 4


@pytest.mark.usefixtures("own_programs")
def test_where_a_group_fails_its_trials_go_on_alone(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise MemoryError("no room for so many")

    monkeypatch.setattr("afina.training.fused.group.trace_batched", full)
    tuner = search(random_search(tmp_path))
    assert all(note.startswith("alone: the train step cannot become") for note in notes(tuner))
    monkeypatch.undo()
    monkeypatch.setattr(Group, "_together", full)
    later = search(random_search(tmp_path, "later"))
    assert set(notes(later)) == {"alone: begun with 3 together, but no room for so many"}
    single = trials_of(search(random_search(tmp_path, "single", group_trials=1)))
    assert trials_of(tuner) == trials_of(later) == single


class OwnTrial(kt.RandomSearch):
    def run_trial(self, trial, *args, **kwargs):
        return super().run_trial(trial, *args, **kwargs)


def test_where_no_training_can_be_fused_all_run_one_by_one(tmp_path):
    tuner = OwnTrial(like, "val_loss", max_trials=2, group_trials=2, directory=tmp_path)
    assert notes(search(tuner)) == ["alone: OwnTrial overrides run_trial"] * 2


def test_the_time_is_parted_among_the_trials(tmp_path):
    tuner = search(random_search(tmp_path))
    parts = [dict(p.split() for p in t.notes["seconds"].split(", ")) for t in trials(tuner)]
    assert len({(p["trace"], p["compile"], p["train"]) for p in parts}) == 1
    assert all(float(value) >= 0 for p in parts for value in p.values())


# -- how many -------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "all", None])
def test_other_numbers_of_trials_together_are_refused(bad, tmp_path):
    with pytest.raises(ArgumentError, match="group_trials: must be"):
        kt.RandomSearch(build, "val_loss", group_trials=bad, directory=tmp_path)


def test_groups_and_workers_exclude_each_other(tmp_path):
    with pytest.raises(ArgumentError, match="workers: must be 1"):
        kt.RandomSearch(build, "val_loss", group_trials=2, workers=2, directory=tmp_path)
    check_group_trials(1, 2)
    check_group_trials("auto", 2)


def test_auto_is_one_on_a_cpu_and_eight_on_one_gpu(monkeypatch):
    def free():
        return None

    assert count_together("auto", "auto", why_one=free) == 1
    monkeypatch.setattr(groups, "accelerators", lambda: ["gpu"])
    assert count_together("auto", "auto", why_one=free) == groups.MOST
    assert count_together("auto", 2, why_one=free) == 1
    assert count_together("auto", "auto", why_one=lambda: "a reason") == 1
    assert count_together(5, 1, why_one=lambda: "a reason") == 5
    monkeypatch.setattr(groups, "accelerators", lambda: ["gpu0", "gpu1"])
    assert count_together("auto", "auto", why_one=free) == 1


@pytest.mark.parametrize("gain", [2.0, 1.1])
def test_auto_groups_where_it_has_seen_enough_steps_and_it_pays(gain, tmp_path, monkeypatch):
    monkeypatch.setattr(groups, "accelerators", lambda: ["gpu"])
    monkeypatch.setattr(groups, "MOST", 2)
    monkeypatch.setattr(groups, "WORTH", 2 * 2 * 2 * 2)  # steps, epochs, members, batches
    monkeypatch.setattr(Group, "gain", lambda self, **kwargs: gain)
    tuner = search(random_search(tmp_path, group_trials="auto", workers=1, max_trials=7))
    *pairs, last = notes(tuner)
    why = "2 together" if gain > 1.3 else "alone: together only 1.10 times as fast"
    assert pairs == ["alone: too few steps to compile a program for several"] * 2 + [why] * 4
    assert last == "alone: no other trial to train it with"
    single = search(random_search(tmp_path, "single", group_trials=1, workers=1, max_trials=7))
    assert_same(trials_of(single), trials_of(tuner))


def test_a_second_batch_compiles_nothing(tmp_path):
    tuner = search(random_search(tmp_path, max_trials=6))
    assert tuner._trainer.engine.programs.compiled == 1
