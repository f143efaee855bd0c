"""Fused epochs on TensorFlow: Keras' own train step, repeated inside one TensorFlow function.

    TensorFlowTrainer    why_not: `reasons` in `epochs`, and TensorFlow's own            (trainer)
      ProgramLoop        the loop of `epochs` around
        TensorFlowProgram  calls of the functions of one model                           (program)
          StepLoop       `model.train_step` in a `tf.while_loop`, compiled by XLA or not (program)
            Tracing      what one call does: steps on samples of arrays             (tracing)
        StreamProgram    the same for data that come batch by batch               (streaming)
        XLA or not       by what the model is made of                                    (xla)
          StandIns       variables of unknown lengths: one trace for many widths       (stand_ins)
            sibling_shapes which lengths follow the widths of layers                  (siblings)
          updates by one operation of TensorFlow's for each variable                   (updates)
          layers by fewer passes over large arrays                                (quick_layers)
            used_lengths what pooling leaves out of images                        (unused_edges)
    take_apart           frees the graphs of functions that are gone                     (graphs)

The variables of the model, its optimizer and its metrics are arguments of the function, and so are
the data and their order. So one function serves all models of an equal key, each trained in its own
variables; nothing is copied at the ends of epochs.
"""

from afina.training.on_tensorflow.trainer import TensorFlowTrainer

__all__ = ["TensorFlowTrainer"]
