"""Fused epochs on JAX: Keras' own train step, repeated over a whole epoch in one compiled program.

    FusedTrainer         why_not: `reasons` in `epochs`
      Training           the loop of `epochs`, over calls of programs                   (loop)
        Plan             how samples are cut into batches                               (plan)
        Engine           what the trainings of one search share                         (engine)
          DataCache      the arrays of `fit`, placed on the device once                 (data)
          ProgramCache   compiled programs, found by the key of the model
            Program      lax.scan of `model.train_step` over the batches                (program)

What other backends need too lies in `afina.training.epochs`.

A program is traced from one model and serves every model of an equal key: weights, optimizer state,
the learning rate, and numbers such as dropout rates (`epochs.numbers`) are its inputs. What makes
programs quicker, or quicker to compile:

    initializers         new weights without compiling a program for each shape
    packing              small variables end to end, updated by one piece of code
    draws                random numbers without a loop for each draw
    partial              the last, smaller batch filled up instead of compiled once more
    convolutions         the layout that XLA's CPU backend computes quickly in loops
    sparse               a first Dense layer on inputs that are nearly all zero
    tables               a first Embedding layer, of whose rows a batch reads a few
    active_rows, deferred   Adam updates only the kernel rows that a batch reads; the steps of the
                         others stay pending until they are read

`group` trains several models of one program together, `member` is one of them, and `sweep` is the
training of a learning-rate range test. A model gets the weights that `fit` would give it, but for
rounding.
"""

from afina.training.fused.engine import CannotFuseError, Engine
from afina.training.fused.initializers import quick_initializers
from afina.training.fused.trainer import FusedTrainer

__all__ = ["CannotFuseError", "Engine", "FusedTrainer", "quick_initializers"]
