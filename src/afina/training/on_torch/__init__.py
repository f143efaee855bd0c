"""Fused epochs on PyTorch: Keras' own train step, traced once into a list of operations.

    TorchTrainer       why_not: `reasons` in `epochs`, and PyTorch's own                 (trainer)
      ProgramLoop      the loop of `epochs` around
        TorchProgram   calls of the steps of one model, batch by batch                   (program)
          TorchBatches the order of `fit`, from the same draws                           (batches)
          Recordings   recorded steps, shared by models of other widths and rates          (sharing)
            resized      a recording made over for another model                          (resizing)
          read_code    whether each step runs code of the user's alike                    (own_code)
          trace        `model.train_step` as a list of operations, compared with Keras   (tracing)
            Recording    the operations, before anything is taken out                   (recording)
            leaf       a call that stays a call in the trace                             (leaves)
              drawing_anew            random draws by the seeds in the variables         (draws)
              updating_by_few_kernels Adam, Nadam                                        (updates)
              looping_by_few_calls    GRU and LSTM                                       (recurrent)
            simplified drops from a trace what each step need not do                     (passes)
              keep_layouts            pictures are copied into no other layout           (layouts)

A step of Keras on PyTorch spends most of its time in Python: in layers, losses, metrics, the
optimizer and the engine that finds gradients. The trace holds none of that, and calls what is
left. The variables of the model, its optimizer and its metrics are arguments of it, and so is the
batch. So one trace serves all models of an equal key, each trained in its own variables.
"""

from afina.training.on_torch.trainer import TorchTrainer

__all__ = ["TorchTrainer"]
