"""Large NumPy arrays that several processes read: written once, mapped by everybody."""

from __future__ import annotations

import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afina.run.orphans import make_folder, remove_folder

Array = NDArray[Any]

SMALLEST = 2**16
"""Bytes; smaller arrays are copied into the call."""

# By path, so that one array that is met twice is one array again.
_mapped: weakref.WeakValueDictionary[str, Array] = weakref.WeakValueDictionary()


class SharedArrays:
    """The files of the arrays that were shared so far, in a folder of their own.

    An array is known by its identity: it is written when it is first met, and its file goes when
    nobody refers to it any more, or at `close`. Changes to an array that has been written do not
    reach the other processes.
    """

    def __init__(self) -> None:
        self.folder, held = make_folder()
        self._known: dict[int, tuple[weakref.ref[Array], Path]] = {}
        self._lock = threading.Lock()
        self._count = 0
        self._full = False
        self._farewell = weakref.finalize(self, remove_folder, self.folder, held)

    def path_of(self, value: object) -> str | None:
        """The file of a large array. None if the value is not one, or cannot be written."""
        if not is_shared(value):
            return None
        array: Any = value
        with self._lock:
            known = self._known.get(id(array))
            if known is not None:
                return str(known[1])
            return self._write(array)

    def _write(self, array: Array) -> str | None:
        path = self.folder / f"{self._count}.npy"
        if self._full:
            return None
        try:
            np.save(path, array, allow_pickle=False)
        except OSError:
            # The disk is full: arrays then travel inside the calls, which is slower but works.
            self._full = True
            path.unlink(missing_ok=True)
            return None
        self._count += 1
        key, known = id(array), self._known

        def forget(reference: object) -> None:
            # Called at any moment, in any thread: no lock.
            del reference
            known.pop(key, None)
            _remove(path)

        known[key] = (weakref.ref(array, forget), path)
        return str(path)

    def close(self) -> None:
        """Removes the files; arrays that are mapped stay readable."""
        self._known.clear()
        self._farewell()


def is_shared(value: object) -> bool:
    """Whether a value is an array that is large enough to travel by itself, and can."""
    if type(value) not in (np.ndarray, np.memmap):  # what subclasses add would be lost
        return False
    array: Any = value
    return bool(array.nbytes >= SMALLEST) and _survives(array.dtype)


def place(name: str, array: Array) -> None:
    """Has `mapped` return this array for a name that is no file; the caller keeps the array."""
    _mapped[name] = array


def mapped(path: str) -> Array:
    """The array in a file, its memory shared with all processes that map it.

    A process may write to it; the others do not see that.
    """
    array = _mapped.get(path)
    if array is None:
        # A plain array over the map: the type that its owner had.
        array = np.asarray(np.load(path, mmap_mode="c"))
        _mapped[path] = array
    return array


def _survives(dtype: np.dtype[Any]) -> bool:
    """Whether NumPy's file format gives this type back, as it does not for objects or bfloat16."""
    if dtype.hasobject:
        return False
    described = np.lib.format.dtype_to_descr(dtype)
    return bool(np.lib.format.descr_to_dtype(described) == dtype)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:  # Windows, while somebody maps it: the folder goes at the end
        return
