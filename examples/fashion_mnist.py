"""Which of ten kinds of clothing a picture shows: Hyperband on a dense network, on one page."""

import afina as kt  # before Keras, so that it can choose an installed backend
import keras
import numpy as np
from afina.demos import load_fashion_mnist

data = load_fashion_mnist()  # real pictures, or a stand-in: data.source says which
print(data.source)


def build(hp):
    model = keras.Sequential(
        [
            keras.Input(data.x_train.shape[1:]),
            keras.layers.Flatten(),
            keras.layers.Dense(hp.Int("units", 32, 512, step=32), activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(hp.Choice("learning_rate", [1e-2, 1e-3, 1e-4])),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


tuner = kt.Hyperband(
    build,
    objective="val_accuracy",
    max_epochs=10,
    factor=3,
    seed=0,
    directory="demo-output",
    project_name="fashion-mnist-example",
)
stop_early = keras.callbacks.EarlyStopping(monitor="val_loss", patience=3)
tuner.search(data.x_train, data.y_train, epochs=10, validation_split=0.2, callbacks=[stop_early])

[best] = tuner.get_best_hyperparameters(1)
print("Best hyperparameters:", best.values)

# Train past the best epoch to find it, then anew up to it.
stop_late = keras.callbacks.EarlyStopping(monitor="val_loss", patience=5)
model = build(best)
history = model.fit(
    data.x_train, data.y_train, epochs=20, validation_split=0.2, callbacks=[stop_late]
)
best_epoch = int(np.argmax(history.history["val_accuracy"])) + 1
print("Best epoch:", best_epoch)

model = build(best)
model.fit(data.x_train, data.y_train, epochs=best_epoch)
loss, accuracy = model.evaluate(data.x_test, data.y_test, verbose=0)
print(f"Test accuracy: {accuracy:.4f}")
