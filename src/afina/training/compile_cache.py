"""Compiled programs on disk, so that a second search need not compile what the first one did.

JAX writes the files, whose names depend on all that a program depends on, JAX's version too. This
module chooses the folder and keeps it from filling the disk. If `JAX_COMPILATION_CACHE_DIR` names
a folder, JAX uses that one, and Afina leaves it alone.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import platformdirs

VARIABLE = "AFINA_COMPILE_CACHE"
"""Environment variable that names another folder for the programs, or is "off"."""

LARGEST = 512 * 2**20
"""Bytes that the folder may hold when a search begins; the oldest files are deleted first."""


def cache_folder() -> Path | None:
    """The folder for programs; None if they are not kept."""
    named = os.environ.get(VARIABLE)
    if named is not None and named.strip().lower() in ("", "0", "off", "no", "false"):
        return None
    return Path(named) if named else Path(platformdirs.user_cache_dir("afina")) / "programs"


@contextlib.contextmanager
def compile_cache() -> Iterator[None]:
    """Within the block, JAX reads compiled programs from the cache folder and adds new ones.

    Does nothing on other backends, if the user has set a folder, or if ours cannot be created.
    """
    folder = cache_folder()
    if keras.backend.backend() != "jax" or folder is None:
        yield
        return
    import jax

    if jax.config.jax_compilation_cache_dir or not _make(folder):
        yield
        return
    shrink(folder)
    settings: dict[str, Any] = {
        "jax_compilation_cache_dir": str(folder),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": 0,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    marker = folder / f"writing-{os.getpid()}"
    try:
        with contextlib.suppress(OSError):
            marker.touch()
        _configure(settings)
        yield
    finally:
        _configure(before)
        marker.unlink(missing_ok=True)


def _configure(settings: dict[str, Any]) -> None:
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()  # JAX opens its folder once and for all otherwise


def _make(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def shrink(folder: Path, largest: int = LARGEST) -> int:
    """Deletes the oldest programs until the folder holds at most `largest` bytes, and the halves of
    programs that a killed process left; returns how many files were deleted."""
    deleted = _delete_halves(folder)
    files = sorted(_entries(folder), key=lambda entry: entry[1].st_mtime)
    total = sum(stat.st_size for _, stat in files)
    for path, stat in files:
        if total <= largest:
            break
        path.unlink(missing_ok=True)
        total -= stat.st_size
        deleted += 1
    return deleted


def _entries(folder: Path) -> list[tuple[Path, os.stat_result]]:
    found = []
    for path in folder.glob("*-cache"):
        with contextlib.suppress(OSError):  # another process deleted it
            found.append((path, path.stat()))
    return found


def _delete_halves(folder: Path) -> int:
    """Deletes halves of programs. JAX writes a program under its final name, so a process that is
    killed meanwhile leaves half of one, which would stay for ever. It leaves a marker too."""
    deleted = 0
    for marker in folder.glob("writing-*"):
        if _is_alive(marker.name.removeprefix("writing-")):
            continue
        with contextlib.suppress(OSError):
            since = marker.stat().st_mtime
            for path, stat in _entries(folder):
                if stat.st_mtime >= since and not _is_whole(path):
                    path.unlink(missing_ok=True)
                    deleted += 1
            marker.unlink(missing_ok=True)
    return deleted


def _is_whole(path: Path) -> bool:
    from jax._src import compilation_cache as jax_cache

    try:
        jax_cache.extract_executable_and_time(jax_cache.decompress_executable(path.read_bytes()))
    except Exception:  # whatever a decompressor may raise
        return False
    return True


def _is_alive(pid: str) -> bool:
    if not pid.isdigit():
        return False
    if sys.platform == "win32":  # pragma: no cover - a signal of 0 would end the process there
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
