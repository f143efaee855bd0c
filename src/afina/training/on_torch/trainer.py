"""`TorchTrainer`: trains models by traced steps on PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from afina.training import torch_parts
from afina.training.epochs import DataCache, ProgramCache, ProgramLoop, is_all_kerass, reasons
from afina.training.epochs.accepting import accepted_arguments, check_room, preparing
from afina.training.on_torch.batches import TorchBatches
from afina.training.on_torch.own_code import read_code
from afina.training.on_torch.program import TorchProgram
from afina.training.on_torch.recurrent import why_too_long
from afina.training.on_torch.sharing import Recordings
from afina.training.on_torch.tracing import Step
from afina.training.plain import fitting_threads
from afina.training.trainer import Account

STEPS = 16
"""How many traced steps are kept, the most recently used ones; a training needs one to four."""

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
"""Where a module of PyTorch's keeps code that runs around its steps."""


class TorchTrainer:
    """Trains by steps that were traced once; a `Trainer`.

    Args:
        always: Whether to trace for however few steps.
    """

    name = "fused"

    def __init__(self, *, always: bool = False) -> None:
        self.data = DataCache(_place, batches=TorchBatches)
        self.programs: ProgramCache[Step] = ProgramCache(STEPS)
        self.always = always
        self.recordings = Recordings()
        self._refused: dict[Any, str] = {}

    def forget(self) -> None:
        """Forgets the data; they are read again when they are needed."""
        self.data.forget()

    def why_not(
        self, model: keras.Model, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> str | None:
        """Why `model.fit(*args, **kwargs)` cannot be fused; None if it can be tried."""
        return reasons.why_not(model, args, kwargs, backend="torch") or _why_not_here(
            model, reasons.fit_arguments(args, kwargs)
        )

    def fit(
        self,
        model: keras.Model,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        account: Account | None = None,
    ) -> Any:
        """Does what `model.fit(*args, **kwargs)` does; returns the History.

        Args:
            model: Compiled.
            args: Positional arguments of `fit`.
            kwargs: Keyword arguments of `fit`.
            account: Where to add the seconds that each part took.

        Raises:
            CannotTrainError: `why_not` names a reason, or the train step cannot be traced. No epoch
                has been trained, and no callback has been called.
        """
        kwargs, account = kwargs or {}, account or Account()
        given = accepted_arguments(self, model, args, kwargs)

        def make(loop: ProgramLoop) -> TorchProgram:
            shared = self.programs, self._refused, self.recordings
            return TorchProgram(loop, *shared, account, always=self.always)

        with preparing():
            training = ProgramLoop(self.data, model, given, make)
        check_room(training)
        with fitting_threads(model, given):
            return training.run()


def _why_not_here(model: keras.Model, given: Any) -> str | None:
    """A reason that holds on PyTorch only; None if there is none."""
    lacking = torch_parts.what_is_missing()
    if lacking is not None:
        return lacking
    if model.jit_compile:
        return "the model is compiled with jit_compile=True, so torch.compile runs its steps"
    if given["shuffle"] == "batch":
        return 'shuffle="batch" draws the order of each batch when it is taken'
    impure = None if is_all_kerass(model) else read_code(model).impure
    if impure is not None:
        return f"PyTorch runs code of your own at each step: {impure}"
    if any(type(each).__name__ == "TorchModuleWrapper" for each in model.modules()):
        return "the model holds modules of PyTorch's"
    if any(getattr(each, hook, None) for each in model.modules() for hook in HOOKS):
        return "the model has hooks of PyTorch's"
    return why_too_long(model)


def _place(leaf: Any, device: Any) -> Any:
    del device  # Keras knows its device
    return keras.ops.convert_to_tensor(np.array(leaf))
