"""One training of a group: its own random streams, and the way through its epochs."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from afina.training.fused.engine import Engine
from afina.training.fused.loop import Training, Work
from afina.training.fused.program import ModelState
from afina.training.fused.trainer import FusedTrainer
from afina.training.session import read_session, write_session
from afina.training.trainer import Account


@dataclass
class Streams:
    """The random streams of Python and NumPy and the Keras session that one training sees."""

    python: Any
    numpy: Any
    session: dict[str, Any]

    @classmethod
    def now(cls) -> Streams:
        """The process' own streams and session, as they are now."""
        return cls(random.getstate(), np.random.get_state(), read_session())

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Code in the block draws from these streams; the process' own are put back afterwards."""
        outside = Streams.now()
        self.write()
        try:
            yield
        finally:
            vars(self).update(vars(Streams.now()))
            outside.write()

    def write(self) -> None:
        """Makes them the process' streams and session."""
        random.setstate(self.python)
        np.random.set_state(self.numpy)
        write_session(self.session)


@dataclass
class GroupMember:
    """`model.fit(*args, **kwargs)` as one training of a group."""

    model: keras.Model
    """Compiled."""

    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    streams: Streams = field(default_factory=Streams.now)
    """What its training draws from: the process' streams as they were when the member was made."""

    account: Account = field(default_factory=Account)
    """Seconds that each part took; members share the time of what they do together equally."""

    _training: Training | None = field(default=None, init=False, repr=False)

    def training(self, engine: Engine) -> Training:
        """The member's training, with its model built; made at the first call.

        Raises:
            CannotFuseError: The training cannot be fused.
        """
        if self._training is None:
            with self.streams.inside():
                trainer = FusedTrainer(engine)
                self._training = trainer.training(self.model, self.args, self.kwargs, self.account)
        return self._training

    def key(self, engine: Engine) -> Any:
        """What the members of a group have in common, the program's key first.

        None if the program cannot be shared, or if the data do not fit on the device.

        Raises:
            CannotFuseError: The training cannot be fused.
        """
        own = self.training(engine)
        train, validation = own.train, own.validation
        if own.rows != train.size:
            return None
        with self.streams.inside():
            state = ModelState.of(self.model)
            key = engine.key(self.model, state, train, validation, own.plan, own.rows, own.device)
        data = id(train.arrays), None if validation is None else id(validation.arrays)
        return None if key is None else (key, *data)

    def run(self, engine: Engine) -> Any:
        """Trains it alone by fused epochs; returns the History, or the Exception that ended it."""
        training = self.training(engine)
        with self.streams.inside():
            try:
                return training.run()
            except Exception as error:
                return error


class MemberRun:
    """A member on its way through its epochs, from one call of a program to the next.

    Args:
        member: A member whose training has not begun.
        engine: The data and programs that trainings share.
    """

    def __init__(self, member: GroupMember, engine: Engine) -> None:
        self.member = member
        self.training = member.training(engine)
        self.work: Work | None = None
        """The call that it waits for; None before it begins and after it has ended."""

        self.result: Any = None
        """The History, or the Exception that ended the training."""

        self.left = self.training.given["epochs"] - self.training.first_epoch
        """Epochs that are still to be trained."""

        self._epochs = self.training.epochs()

    @property
    def kind(self) -> str | None:
        """The kind of work that it waits for: "train" or "validate"."""
        return None if self.work is None else self.work.kind

    def go_on(self, answer: Any = None) -> None:
        """Goes on to the next call of a program, or to the end.

        Args:
            answer: What the program returned; None to begin.
        """
        self._advance(lambda: self._epochs.send(answer))

    def go_on_alone(self) -> None:
        """Calls the member's own program, then goes on to the next call or to the end."""
        assert self.work is not None
        failed: Exception | None = None
        try:
            with self.member.streams.inside():
                answer = self.training.compute(self.work)
        except Exception as error:
            failed = error
        if failed is None:
            self.go_on(answer)
        else:
            thrown = failed
            self._advance(lambda: self._epochs.throw(thrown))

    def close(self) -> None:
        """Ends the training where it is, unless it has ended."""
        if self.work is not None:
            with self.member.streams.inside():
                self._epochs.close()

    def _advance(self, step: Callable[[], Work]) -> None:
        self.left -= self.kind == "train"
        self.work = None
        with self.member.streams.inside():
            try:
                self.work = step()
            except StopIteration as end:
                self.result = end.value
            except Exception as error:
                self.result = error
