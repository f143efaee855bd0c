"""How a model is trained: build, train, watch, keep the best state, give memory back.

One execution of a trial, from top to bottom:

    watch_execution       fresh Keras session, seeds, callbacks that watch the epochs     fit
      build_model         hypermodel + hyperparameters -> a checked, compiled model       build
      load_state          a promoted model takes over its parent's state                  checkpoint
      TrainerChooser.fit  asks each trainer `why_not`, trains with the first that can     choice
        |- your Trainer   if one was passed as training=                                  trainer
        |- FusedTrainer   an epoch is one compiled program, on JAX                fused/, epochs/
        |- TensorFlowTrainer   the same on TensorFlow                    on_tensorflow/, epochs/
        `- PlainTrainer   model.fit, on any backend                                       plain
      BestEpoch.save      the state of the best epoch -> a checkpoint file                callbacks
    release               gives back the memory of the finished trial                     memory

`Trainer` is the seam: any object with a `name`, `why_not(model, args, kwargs)` and
`fit(model, args, kwargs, account)`. `Account` collects which trainer trained a trial, why others
could not, and where the time went; the trial's notes keep it.

Where trials run side by side in threads, each holds the `python_turn` while Python of Keras or of
the user runs, and releases it while a compiled program is made or runs. `keras_parts` is the one
file that uses what Keras does not document. `lr_range_test` (in `lr_range`) finds learning rates by
a short training of its own. This room imports Keras.
"""

from afina.training.build import build_model, parameter_count
from afina.training.callbacks import NO_VARIABLES, BestEpoch, EpochReporter
from afina.training.checkpoint import (
    BUILD_CONFIG,
    CHECKPOINT,
    learning_rate,
    load_state,
    remove_checkpoint,
    save_snapshot,
    save_state,
)
from afina.training.choice import Mode, TrainerChooser, building, why_not_fused
from afina.training.compile_cache import compile_cache
from afina.training.copying import copy_callbacks
from afina.training.data import are_arrays, by_name, check_data, check_reusable
from afina.training.fit import ExecutionWatch, watch_execution
from afina.training.fused import Engine, FusedTrainer
from afina.training.guards import check_targets, scalars
from afina.training.memory import release, resident_bytes
from afina.training.plain import PlainTrainer, without_progress_bar
from afina.training.python_turn import python_turn
from afina.training.seeds import seeded, trial_seed
from afina.training.session import fresh_session
from afina.training.snapshot import take_snapshot
from afina.training.streams import Materialize, Streams
from afina.training.trainer import Account, CannotTrainError, Trainer

__all__ = [
    "Account",
    "Engine",
    "CannotTrainError",
    "FusedTrainer",
    "Materialize",
    "Mode",
    "PlainTrainer",
    "Streams",
    "Trainer",
    "TrainerChooser",
    "building",
    "compile_cache",
    "why_not_fused",
    "without_progress_bar",
    "python_turn",
    "build_model",
    "parameter_count",
    "watch_execution",
    "ExecutionWatch",
    "BestEpoch",
    "NO_VARIABLES",
    "EpochReporter",
    "check_targets",
    "scalars",
    "copy_callbacks",
    "take_snapshot",
    "CHECKPOINT",
    "BUILD_CONFIG",
    "save_state",
    "save_snapshot",
    "learning_rate",
    "load_state",
    "remove_checkpoint",
    "are_arrays",
    "by_name",
    "check_data",
    "check_reusable",
    "trial_seed",
    "seeded",
    "fresh_session",
    "release",
    "resident_bytes",
]
