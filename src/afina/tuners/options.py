"""The keyword options that every tuner takes, with their types: for editors and type checkers.

    ProjectOptions            where a project is kept, who runs it; `SklearnTuner` takes these
    └── TunerOptions          and how its models are trained; the tuners for Keras models take these

`Tuner` itself names most of them as parameters and takes the rest, `TrainingOptions`, by keyword.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

from afina.run import ExecutorLike
from afina.space.slips import meant
from afina.store import TrialStore
from afina.study import SearchListener
from afina.training import Trainer


class RunOptions(TypedDict, total=False):
    """Where trials are kept, and who runs them."""

    store: TrialStore | str | Path | None
    """Where the trials are kept: a folder, a URL ("postgresql://user@host/database",
    "sqlite:///folder", "memory:"), or any `afina.store.TrialStore`; None is the project's
    folder."""

    storage: TrialStore | str | Path | None
    """Another name of `store`."""

    executor: ExecutorLike | None
    """Who runs the trials: "serial", "threads", "processes", "ray" or any `afina.run.Executor`;
    None chooses by the other options."""

    trial_timeout: float | None
    """Seconds that one trial may run; one that runs for longer fails. None is no limit."""

    learn_from: str | Path | list[str | Path] | None
    """The folder of an earlier project, or several: the search begins with what their trials
    taught. They do not count as trials of this one."""

    listeners: Sequence[SearchListener] | None
    """Objects that follow each trial while it runs, such as `afina.integrations.MLflowListener`."""


class IdentityOptions(RunOptions, total=False):
    """What `BaseTuner` takes besides its parameters."""

    tuner_id: str | None
    """Kept for Keras Tuner's users: the name under which the tuner asks its oracle."""

    logger: Any
    """Kept for Keras Tuner's users; ignored with a DeprecationWarning."""


class ProjectOptions(IdentityOptions, total=False):
    """Where a project is kept, and who runs its trials."""

    directory: str | Path | None
    """The folder in which projects lie; None is the working directory."""

    project_name: str | None
    """The project's own folder in it; None is "untitled_project"."""

    overwrite: bool
    """True deletes the existing project and starts anew; False continues it."""


class TrainingOptions(RunOptions, total=False):
    """How trials are trained and which models are kept; see `Tuner` for each."""

    cv: Any
    """A number of folds, a splitter or pairs of row numbers, to cross-validate each trial; None
    validates as `search` says."""

    keep_checkpoints: int | None
    """Of how many trials, best first, the models stay on disk; None keeps all. Default 10."""

    training: Literal["auto", "fit", "fused"] | Trainer
    """Whether an epoch is trained as one compiled program, or a trainer to ask first. Default
    "auto"."""

    workers: int | Literal["auto"]
    """How many trials are trained side by side. Default "auto"."""

    train_on: Literal["jax"] | None
    """The backend that trains the trials, in a process of its own; None is the script's own."""

    group_trials: int | Literal["auto"]
    """How many trials at most are trained together in one program. Default "auto"."""

    narrow: int | Literal["auto"] | None
    """After how many trials the space is narrowed to what they advise; None never does."""

    sparse_inputs: bool
    """Whether a first Dense layer may skip inputs that are zero. Default True."""

    checkpoint_every: float | str | None
    """How often a running training is saved: seconds, a text such as "5 epochs", or None for never.
    Default 300 seconds."""

    halve_batch_on_oom: bool
    """Whether a trial for which memory runs out is tried again with half the batch. Default
    False."""

    materialize: bool | Literal["auto"]
    """Whether streams of data are read into arrays. Default "auto"."""


class TunerOptions(ProjectOptions, TrainingOptions, total=False):
    """The keyword options of every tuner for Keras models; see `Tuner` for each.

    Example:
        >>> options: TunerOptions = {"project_name": "digits", "executions_per_trial": 2}
        >>> sorted(set(options) - set(TunerOptions.__annotations__))
        []
    """

    max_model_size: int | None
    """Trials whose model has more trainable parameters fail without training."""

    optimizer: Any
    """Replaces the one that the model was compiled with."""

    loss: Any
    """Replaces the loss."""

    metrics: Any
    """Replaces the metrics."""

    distribution_strategy: Any
    """TensorFlow's; each trial runs in its scope."""

    executions_per_trial: int
    """How often each configuration is trained; the score is the mean. Default 1."""


def unrecognized(names: Iterable[str], tuner: type) -> str:
    """The message for keyword arguments that a tuner does not know.

    Args:
        names: The names of the arguments.
        tuner: The class that got them.

    Example:
        >>> unrecognized(["projet_name"], type("T", (), {"__init__": lambda self, project_name: 0}))
        "Unrecognized arguments ['projet_name']. Did you mean project_name?"
    """
    names = sorted(names)
    known: set[str] = set()
    for base in tuner.__mro__[:-1]:
        if "__init__" in vars(base):
            known |= set(inspect.signature(vars(base)["__init__"]).parameters)
    known -= {"self", "args", "kwargs"}
    if "executions_per_trial" in known:
        known |= set(TunerOptions.__annotations__)
    others = {**_INSTEAD}
    if "hyperband_iterations" in known:
        others["max_trials"] = _NO_MAX_TRIALS
    instead = dict.fromkeys(others[name] for name in names if name in others)
    near = [meant(name, sorted(known)) for name in names if name not in others]
    advice = " and ".join(match for match in near if match)
    asked = [f"Did you mean {advice}?"] if advice else []
    return " ".join([f"Unrecognized arguments {names}.", *instead, *asked])


_NO_MAX_TRIALS = (
    "Hyperband has no max_trials: hyperband_iterations and max_epochs say how much it trains, and "
    "max_total_epochs or time_budget limit it."
)

_INSTEAD = {
    "max_epochs": "Pass epochs= to search().",
    "epochs": "Pass epochs= to search().",
    "batch_size": "Pass batch_size= to search().",
    "validation_split": "Pass validation_split= to search().",
    "validation_data": "Pass validation_data= to search().",
    "callbacks": "Pass callbacks= to search().",
}
"""What to do instead of an argument that other tuners have, or `search`."""
