"""Which of 46 topics a newswire is about: Hyperband on a dense network, all of it on one page."""

import afina as kt  # before Keras, so that it can choose an installed backend
import keras
import numpy as np
from afina.demos import load_reuters
from afina.demos.data import multi_hot

news = load_reuters(num_words=10_000)  # real newswires, or a stand-in: news.source says which
print(news.source)

half = len(news.x_test) // 2  # of what Keras keeps for testing: the first half is to choose by
x_train, y_train = multi_hot(news.x_train), news.y_train
x_val, y_val = multi_hot(news.x_test[:half]), news.y_test[:half]
x_test, y_test = multi_hot(news.x_test[half:]), news.y_test[half:]


def build(hp):
    model = keras.Sequential([keras.Input((10_000,)), keras.layers.Dense(128, activation="relu")])
    for _ in range(hp.Int("hp_layers", 1, 5)):
        units = hp.Int("hp_units", min_value=32, max_value=512, step=32)
        model.add(keras.layers.Dense(units, activation="relu"))
    model.add(keras.layers.Dense(len(news.topics), activation="softmax"))
    model.compile(
        optimizer=keras.optimizers.Adam(hp.Float("learning_rate", 1e-4, 1e-2, sampling="log")),
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
    project_name="reuters-example",
)
stop_early = keras.callbacks.EarlyStopping(monitor="val_loss", patience=3)
tuner.search(x_train, y_train, epochs=10, validation_data=(x_val, y_val), callbacks=[stop_early])

[best] = tuner.get_best_hyperparameters(1)
print("Best hyperparameters:", best.values)

# Train past the best epoch to find it, then anew up to it.
stop_late = keras.callbacks.EarlyStopping(monitor="val_loss", patience=5)
model = build(best)
history = model.fit(
    x_train, y_train, epochs=20, validation_data=(x_val, y_val), callbacks=[stop_late]
)
best_epoch = int(np.argmax(history.history["val_accuracy"])) + 1
print("Best epoch:", best_epoch)

model = build(best)
model.fit(x_train, y_train, epochs=best_epoch)
loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
print(f"Test accuracy: {accuracy:.4f}")

predicted = model.predict(x_test[:3], verbose=0).argmax(axis=1)
for place, topic in enumerate(predicted):
    text, true = news.decode(news.x_test[half + place]), news.topics[y_test[place]]
    print(f"\n{news.topics[topic]} (it is {true}): {text[:200]} ...")
