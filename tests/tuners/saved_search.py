"""A search that a test starts in a process of its own, and stops by a signal.

Arguments: the folder, the executor, and whether its trainings pause so that they can be stopped.
"""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import keras
import models

import afina

PAUSE = 3  # the epoch before which a training waits


def run(folder, executor, pauses):
    folder = Path(folder)

    def wait(epoch, rate):
        if pauses and epoch == PAUSE and not (folder / "goes on").exists():
            (folder / f"waits {os.getpid()}").touch()
            while not (folder / "goes on").exists():
                time.sleep(0.02)
        return rate

    tuner = afina.RandomSearch(
        models.build,
        "val_loss",
        max_trials=2,
        seed=5,
        directory=folder,
        executor=executor,
        workers=1,
        checkpoint_every="2 epochs",
    )
    fit = {"epochs": 6, "validation_split": 0.25, "verbose": 0}
    callbacks = [
        keras.callbacks.LearningRateScheduler(wait),
        keras.callbacks.EarlyStopping("val_loss", patience=4),
    ]
    tuner.search(*models.data(), callbacks=callbacks, **fit)
    return tuner


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], pauses=True)
