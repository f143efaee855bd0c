"""How a model is trained: build, plain fit, checkpoints, guards, memory. Imports Keras."""

from afina.training.build import build_model, parameter_count
from afina.training.callbacks import NO_VARIABLES, BestEpoch, EpochReporter, OnEpoch
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
from afina.training.data import check_data, check_reusable
from afina.training.fit import Fit, plain_fit, run_execution, watch_execution
from afina.training.fused import Engine, FusedTrainer
from afina.training.guards import DivergenceGuard, ObjectiveGuard, missing_objective, scalars
from afina.training.memory import release, resident_bytes
from afina.training.plain import PlainTrainer, without_progress_bar
from afina.training.python_turn import python_turn
from afina.training.seeds import seeded, trial_seed
from afina.training.session import fresh_session
from afina.training.snapshot import Snapshot, apply_snapshot, take_snapshot
from afina.training.trainer import Account, CannotTrainError, Trainer

__all__ = [
    "Account",
    "Engine",
    "CannotTrainError",
    "FusedTrainer",
    "Mode",
    "PlainTrainer",
    "Trainer",
    "TrainerChooser",
    "building",
    "compile_cache",
    "why_not_fused",
    "without_progress_bar",
    "python_turn",
    "build_model",
    "parameter_count",
    "run_execution",
    "watch_execution",
    "plain_fit",
    "Fit",
    "BestEpoch",
    "NO_VARIABLES",
    "EpochReporter",
    "OnEpoch",
    "DivergenceGuard",
    "ObjectiveGuard",
    "missing_objective",
    "scalars",
    "copy_callbacks",
    "Snapshot",
    "take_snapshot",
    "apply_snapshot",
    "CHECKPOINT",
    "BUILD_CONFIG",
    "save_state",
    "save_snapshot",
    "learning_rate",
    "load_state",
    "remove_checkpoint",
    "check_data",
    "check_reusable",
    "trial_seed",
    "seeded",
    "fresh_session",
    "release",
    "resident_bytes",
]
