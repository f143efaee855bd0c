"""Which overrides of `HyperModel.fit` may run side by side in threads."""

from typing import ClassVar

import keras
import pytest

import afina as kt
from afina.tuners.own_code import keeps_nothing
from tests.tuners import models

SIZES = (8, 16)
SEEN = []


class Base(kt.HyperModel):
    def build(self, hp):
        return models.build(hp)


class Passing(Base):
    def fit(self, hp, model, *args, **kwargs):
        return model.fit(*args, batch_size=hp.Choice("batch_size", SIZES), **kwargs)


class Calling(kt.HyperModel):
    def build(self, hp):
        return models.build(hp)

    def fit(self, hp, model, *args, callbacks=(), **kwargs):
        kwargs["batch_size"] = hp.Int("batch_size", 8, 16)
        stop = keras.callbacks.EarlyStopping(patience=max(1, 2))
        model.optimizer.learning_rate = 0.1
        return super().fit(hp, model, *args, callbacks=[*callbacks, stop], **kwargs)


class Looping(Base):
    def fit(self, hp, model, *args, **kwargs):
        def schedule(epoch, rate):
            return rate / (1 + epoch)

        found = [keras.callbacks.LearningRateScheduler(schedule) for _ in range(1)]
        kwargs["callbacks"] = found + kwargs["callbacks"]
        return model.fit(*args, **kwargs)


class InSelf(Base):
    def fit(self, hp, model, *args, **kwargs):
        self.model = model
        return self.model.fit(*args, **kwargs)


class ReadingSelf(Base):
    def fit(self, hp, model, *args, **kwargs):
        return model.fit(*args, batch_size=self.size, **kwargs)


class Aliased(Base):
    def fit(self, hp, model, *args, **kwargs):
        me = self
        me.model = model
        return me.model.fit(*args, **kwargs)


class InAList(Base):
    def fit(self, hp, model, *args, **kwargs):
        SEEN.append(model)
        return SEEN[-1].fit(*args, **kwargs)


class InItsClass(Base):
    def fit(self, hp, model, *args, **kwargs):
        Base.model = model
        return Base.model.fit(*args, **kwargs)


class InAGlobal(Base):
    def fit(self, hp, model, *args, **kwargs):
        global LAST
        LAST = model
        return LAST.fit(*args, **kwargs)


class ByAFunction(Base):
    def fit(self, hp, model, *args, **kwargs):
        return helped(model).fit(*args, **kwargs)


class ByABase(Passing):
    def fit(self, hp, model, *args, **kwargs):
        return super().fit(hp, model, *args, **kwargs)


class OfItsClass(Base):
    seen: ClassVar = []

    def fit(self, hp, model, *args, **kwargs):
        OfItsClass.seen.append(model)
        return OfItsClass.seen[-1].fit(*args, **kwargs)


class BySetattr(Base):
    def fit(self, hp, model, *args, **kwargs):
        super().__setattr__("model", model)
        return model.fit(*args, **kwargs)


class Unreadable(Base):
    pass


def helped(model):
    SEEN.append(model)
    return model


exec("def fit(self, hp, model, *args, **kwargs): return model.fit(*args, **kwargs)", globals())
Unreadable.fit = globals().pop("fit")


@pytest.mark.parametrize("kind", [Passing, Calling, Looping])
def test_an_override_that_uses_its_arguments_alone_keeps_nothing(kind):
    assert keeps_nothing(kind().fit, kt.HyperModel)


@pytest.mark.parametrize(
    "kind",
    [
        InSelf,
        ReadingSelf,
        Aliased,
        InAList,
        InItsClass,
        InAGlobal,
        ByAFunction,
        ByABase,
        OfItsClass,
        BySetattr,
        Unreadable,
    ],
)
def test_an_override_that_may_keep_something_is_told_apart(kind):
    assert not keeps_nothing(kind().fit, kt.HyperModel)


def test_trials_of_an_override_that_keeps_nothing_run_side_by_side(tmp_path):
    def why_one(hypermodel):
        tuner = kt.RandomSearch(hypermodel, "val_loss", directory=tmp_path, overwrite=True)
        return tuner._why_one_worker()

    assert why_one(Passing()) is None
    assert why_one(InSelf()) == "InSelf overrides fit"
