"""What fused epochs have in common on all backends: everything but computing the steps.

    reasons          why a training cannot be fused: settings, model, arguments, callbacks
    DataCache        the arrays of `fit`, read and placed on the device once             (data)
      Samples          the samples of an epoch or a validation, and their order
    accepted_arguments, preparing   the arguments, or the refusal of a trainer     (accepting)
    EpochLoop        callbacks, stopping, validation and History around the steps        (loop)
      ProgramLoop      the same around an `EpochProgram`, which is simply called
    program_key      models of equal keys share a program                                (key)
    ModelNumbers     rates, factors and schedules as inputs of programs                  (numbers)
    without_widths   models of equal keys but for the widths of layers             (widths)
    ProgramCache     the programs of a search, by key                                    (programs)
    validation_batch_size   validation in larger batches, if that changes no number      (merging)

A trainer for a backend writes an `EpochProgram`: `run_epoch(order)` and `validate()` return logs;
`read_state` and `write_back` move the state between the model and the program, if it has its own.
"""

from afina.training.epochs.data import Arrays, Compressed, DataCache, Samples
from afina.training.epochs.key import is_all_kerass, program_key
from afina.training.epochs.loop import EpochLoop, EpochProgram, Logs, ProgramLoop
from afina.training.epochs.merging import is_mergeable, validation_batch_size
from afina.training.epochs.programs import ProgramCache

__all__ = [
    "Arrays",
    "Compressed",
    "DataCache",
    "EpochLoop",
    "EpochProgram",
    "Logs",
    "ProgramCache",
    "ProgramLoop",
    "Samples",
    "is_all_kerass",
    "is_mergeable",
    "program_key",
    "validation_batch_size",
]
