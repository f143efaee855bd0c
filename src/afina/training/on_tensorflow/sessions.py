"""A traced function in a TensorFlow session of its own, which computes in one thread.

All functions of a process share TensorFlow's threads, so trainings side by side would wait for each
other. A session has threads of its own, and the size of that pool is its own too. The model's
values go into variables of the call and come back from them: calls of one function do not disturb
each other.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

OWN_THREADS = "TF_OVERRIDE_GLOBAL_THREADPOOL"
"""TensorFlow's name for: a device that is made now has threads of its own."""

_lock = threading.Lock()


class OneThread:
    """A concrete function in a session; calls of several threads run side by side.

    Args:
        concrete: Its first inputs are the model's variables. It holds nothing else from outside:
            see `can_have_session`.
        shapes: The shapes of the variables; lengths that are None differ among models.
        dtypes: Their types.
    """

    def __init__(self, concrete: Any, shapes: Sequence[Any], dtypes: Sequence[Any]) -> None:
        import tensorflow as tf

        self._outputs = concrete.structured_outputs
        self._dtypes = dtypes
        inputs = concrete.graph.inputs
        graph = tf.Graph()
        with graph.as_default():
            self._used = [place for place in range(len(shapes)) if inputs[place].consumers()]
            values = [
                tf.compat.v1.placeholder(dtypes[place], shapes[place]) for place in self._used
            ]
            handles = [_fresh_handle(dtype) for dtype in dtypes]
            filled = [
                tf.raw_ops.AssignVariableOp(resource=handles[place], value=value)
                for place, value in zip(self._used, values, strict=True)
            ]
            rest = [
                tf.compat.v1.placeholder(each.dtype, each.shape) for each in inputs[len(shapes) :]
            ]
            with tf.control_dependencies(filled):
                handles = [tf.identity(handle) for handle in handles]
            found = _as_list(concrete._inference_function.call_flat(*handles, *rest))
            logs = [tf.identity(each) for each in found]
            with tf.control_dependencies([*logs, *(each.op for each in found)]):
                after = [
                    tf.raw_ops.ReadVariableOp(resource=handles[place], dtype=dtypes[place])
                    for place in self._used
                ]
            with tf.control_dependencies(after):
                freed = [tf.raw_ops.DestroyResourceOp(resource=handles[p]) for p in self._used]
            with tf.control_dependencies(freed):
                end = tf.no_op()
        session = _session(graph)
        self._count = len(logs)
        self._run = session.make_callable([*logs, *after, end], feed_list=[*values, *rest])
        finalizer = weakref.finalize(self, session.close)
        finalizer.atexit = False

    def __call__(self, values: Sequence[Any], rest: Sequence[Any]) -> dict[str, Any]:
        """Runs the function; gives the values that it changes back to the model's variables.

        Args:
            values: The model's variables.
            rest: Its other inputs.

        Returns:
            The logs.
        """
        import tensorflow as tf

        found = self._run(*[_array(values[place]) for place in self._used], *map(_array, rest))
        for place, value in zip(self._used, found[self._count : -1], strict=True):
            tf.raw_ops.AssignVariableOp(resource=values[place].handle, value=value)
        logs: dict[str, Any] = tf.nest.pack_sequence_as(self._outputs, found[: self._count])
        return keras.tree.map_structure(np.asarray, logs)  # type: ignore[no-any-return]

    def try_on(self, shapes: Sequence[Any], rest: Sequence[Any]) -> None:
        """Runs the function on zeros of these shapes in place of a model's values."""
        zeros = [np.zeros(shapes[p], self._dtypes[p].as_numpy_dtype) for p in self._used]
        self._run(*zeros, *map(_array, rest))


def can_have_session(concrete: Any) -> bool:
    """Whether all that a function needs is given to it: a table of words, say, lives elsewhere."""
    from afina.training.on_tensorflow.xla import has_gpu

    return not concrete.captured_inputs and not has_gpu()


def _fresh_handle(dtype: Any) -> Any:
    """A variable that each call makes for itself."""
    import tensorflow as tf
    from tensorflow.python.eager import context

    return tf.raw_ops.VarHandleOp(
        dtype=dtype, shape=tf.TensorShape(None), shared_name=context.anonymous_name()
    )


def _session(graph: Any) -> Any:
    import tensorflow as tf

    config = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=1, inter_op_parallelism_threads=1, use_per_session_threads=True
    )
    with _own_threads():
        return tf.compat.v1.Session(graph=graph, config=config)


@contextlib.contextmanager
def _own_threads() -> Iterator[None]:
    with _lock:
        before = os.environ.get(OWN_THREADS)
        os.environ[OWN_THREADS] = "1"
        try:
            yield
        finally:
            if before is None:
                del os.environ[OWN_THREADS]
            else:
                os.environ[OWN_THREADS] = before


def _as_list(found: Any) -> list[Any]:
    return list(found) if isinstance(found, list | tuple) else [found]


def _array(value: Any) -> Any:
    """A tensor or variable as a NumPy array, which shares its memory where that is possible."""
    read = getattr(value, "read_value", None)
    tensor = value if read is None else read()
    numpy = getattr(tensor, "_numpy", None)
    return tensor if numpy is None else numpy()
