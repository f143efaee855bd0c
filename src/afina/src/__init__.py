"""Keras Tuner's module path `keras_tuner.src`: `afina.src.x` is `afina.x`."""

from afina.alias import Alias

Alias(("afina.src",)).install()
