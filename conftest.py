"""What holds for all tests and for the examples in docstrings."""

import os

# Before anything imports Keras: its own default is TensorFlow, which need not be installed.
os.environ.setdefault("KERAS_BACKEND", "jax")
