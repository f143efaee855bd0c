"""What holds for all tests and for the examples in docstrings."""

import os
from pathlib import Path

# Before anything imports Keras: its own default is TensorFlow, which need not be installed.
os.environ.setdefault("KERAS_BACKEND", "jax")

# The tests compile hundreds of tiny programs, again and again the same: that is most of their
# time. They are kept from run to run, and compiled without the optimizations that pay only in
# long trainings.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "true")
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent / ".pytest_cache" / "jax")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
