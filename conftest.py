"""What holds for all tests and for the examples in docstrings."""

import contextlib
import gc
import importlib.util
import os
import signal
import sys

# Several tests run at once, each on small arrays: threads of their own would only wait for each
# other. Before anything imports NumPy.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

from hypothesis import settings

# Where bytecode is switched off, each of the many processes that the tests start would compile the
# package again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Before anything imports Keras: its own default is TensorFlow, which need not be installed.
os.environ.setdefault("KERAS_BACKEND", "jax")

# The tests compile hundreds of tiny programs, again and again the same: that is most of their
# time. They are kept from run to run, and compiled without the optimizations that pay only in
# long trainings. XLA's older emitter of loops runs them at half the speed, and compiles a step
# three times as fast; a program in one part, not in one for each thread, takes a third less again.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "true")
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
)
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent / ".pytest_cache" / "jax")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

# A run in the background of a script ignores Ctrl-C, and so would all that the tests start: those
# that interrupt a search would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Its errors raise whatever is asked of them, also by who looks for examples in docstrings.
collect_ignore = ["tests/broken_errors.py"]

# The dashboard's server needs the extra `web`; its tests say so where they are skipped.
if importlib.util.find_spec("starlette") is None:
    collect_ignore += [f"src/afina/dashboard/{name}.py" for name in ("app", "guard", "serve")]

# The same examples in every run, and no limit of time for one: a change is judged by what it
# changes, not by luck.
settings.register_profile("afina", derandomize=True, deadline=None)
settings.load_profile("afina")


WHOLE_RUN = contextlib.ExitStack()


def pytest_collection_finish() -> None:
    """What was imported stays: collections of garbage, which each search does, pass it over.

    The programs that JAX has compiled stay longer than in a search: thrown away after every second
    model, as they are where memory matters, each test would compile Keras' initializers again.
    """
    memory = sys.modules.get("afina.training.memory")
    if memory is None:
        gc.collect()
        gc.freeze()
    else:
        WHOLE_RUN.enter_context(memory.cheap_collections())
        memory._keeper.growth = 24 * memory.GROWTH


def pytest_unconfigure() -> None:
    """Ends what `pytest_collection_finish` began."""
    WHOLE_RUN.close()
