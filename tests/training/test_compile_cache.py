from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import keras
import pytest

from afina.training.compile_cache import (
    LARGEST,
    VARIABLE,
    cache_folder,
    compile_cache,
    shrink,
)

CHILD = """
import json, os, sys
import jax, keras
from afina.training import compile_cache

def count():
    folder = os.environ["AFINA_COMPILE_CACHE"]
    files = os.listdir(folder) if os.path.isdir(folder) else []
    return len([f for f in files if f.endswith("-cache")])

told = {"before": count()}
with compile_cache():
    told["folder"] = jax.config.jax_compilation_cache_dir
    told["marker"] = [f for f in os.listdir(told["folder"]) if f.startswith("writing-")]
    hits = []
    jax.monitoring.register_event_listener(
        lambda event, **_: hits.append(event) if event.endswith("cache_hits") else None
    )
    jax.jit(lambda x: x * 3 + 1)(jax.numpy.arange(7.0)).block_until_ready()
    if "kill" in sys.argv:
        print(json.dumps(told), flush=True)
        os._exit(9)
told |= {"after": count(), "hits": len(hits), "left": jax.config.jax_compilation_cache_dir}
jax.jit(lambda x: x * 5 - 1)(jax.numpy.arange(9.0)).block_until_ready()
told["outside"] = count()
told["markers"] = len([f for f in os.listdir(told["folder"]) if f.startswith("writing-")])
print(json.dumps(told))
"""


def child(folder: Path, *arguments: str, **more: str) -> Any:
    """What a process tells that compiles a program within the cache."""
    ours = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *arguments],
        env={**ours, "KERAS_BACKEND": "jax", VARIABLE: str(folder), **more},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == (9 if "kill" in arguments else 0), done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.service
def test_a_second_process_finds_what_the_first_has_compiled_and_replaces_what_it_left_half(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "programs"
    first = child(folder, "kill")
    assert first["folder"] == str(folder)
    [marker] = folder.glob("writing-*")
    programs = sorted(folder.glob("*-cache"))
    assert len(programs) >= 2
    whole = programs[0].read_bytes()
    programs[0].write_bytes(whole[:-10])  # as if it had been killed in the middle of writing

    second = child(folder)
    assert second["before"] == second["after"] == second["outside"] == len(programs)
    assert second["hits"] == len(programs) - 1
    assert len(programs[0].read_bytes()) == pytest.approx(len(whole), rel=0.1)
    assert second["left"] is None
    assert not marker.exists()
    assert second["markers"] == 0


def test_a_folder_that_the_user_has_chosen_for_jax_stays_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "ours"))
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "theirs"))
    try:
        with compile_cache():
            assert jax.config.jax_compilation_cache_dir == str(tmp_path / "theirs")
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
    assert not (tmp_path / "ours").exists()


@pytest.fixture
def without_cache(monkeypatch: pytest.MonkeyPatch) -> Any:
    """JAX as it is where nobody has chosen a folder."""
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    jax.config.update("jax_compilation_cache_dir", before)
    from jax.experimental.compilation_cache import compilation_cache

    compilation_cache.reset_cache()


def test_the_settings_are_put_back(
    without_cache: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "made" / "anew"))
    names = [
        "jax_compilation_cache_dir",
        "jax_persistent_cache_min_compile_time_secs",
        "jax_persistent_cache_min_entry_size_bytes",
    ]
    before = [getattr(jax.config, name) for name in names]
    with pytest.raises(ZeroDivisionError), compile_cache():  # noqa: PT012
        assert jax.config.jax_compilation_cache_dir == str(tmp_path / "made" / "anew")
        with compile_cache():  # a search within a search
            pass
        assert jax.config.jax_compilation_cache_dir == str(tmp_path / "made" / "anew")
        raise ZeroDivisionError
    assert [getattr(jax.config, name) for name in names] == before


@pytest.mark.parametrize("value", ["off", "OFF ", "0", "no", "false", ""])
def test_the_cache_can_be_switched_off(
    value: str, without_cache: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, value)
    assert cache_folder() is None
    with compile_cache():
        assert jax.config.jax_compilation_cache_dir is None


def test_by_default_it_lies_in_the_users_own_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    folder = cache_folder()
    assert folder is not None
    assert (folder.parent.name, folder.name) == ("afina", "programs")


def test_a_folder_that_cannot_be_made_or_written_is_done_without(
    without_cache: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "file" / "programs"))
    with compile_cache():
        assert jax.config.jax_compilation_cache_dir is None
    monkeypatch.setenv(VARIABLE, str(tmp_path / "programs"))
    monkeypatch.setattr(os, "access", lambda *args: False)
    with compile_cache():
        assert jax.config.jax_compilation_cache_dir is None


def test_other_backends_have_none(
    without_cache: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "programs"))
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    with compile_cache():
        pass
    assert not (tmp_path / "programs").exists()


def program(folder: Path, name: str, size: int, age: int) -> Path:
    path = folder / f"{name}-cache"
    path.write_bytes(b"x" * size)
    os.utime(path, (1_000_000 - age, 1_000_000 - age))
    return path


def test_the_oldest_programs_go_first_until_the_rest_fits(tmp_path: Path) -> None:
    old, middle, new = (
        program(tmp_path, name, 100, age) for name, age in (("a", 30), ("b", 20), ("c", 10))
    )
    other = tmp_path / "notes.txt"
    other.write_text("x" * 1000)
    assert shrink(tmp_path, 300) == 0
    assert shrink(tmp_path, 299) == 1
    assert not old.exists()
    assert shrink(tmp_path, 150) == 1
    assert not middle.exists()
    assert new.exists()
    assert other.exists()
    assert LARGEST > 100 * 2**20


def test_the_halves_of_a_killed_writer_are_deleted_and_those_of_a_living_one_are_not(
    tmp_path: Path,
) -> None:
    before, half = program(tmp_path, "before", 9, 50), program(tmp_path, "half", 9, 10)
    marker = tmp_path / f"writing-{_dead_process()}"
    marker.touch()
    os.utime(marker, (1_000_000 - 20, 1_000_000 - 20))
    living = tmp_path / f"writing-{os.getpid()}"
    living.touch()
    assert shrink(tmp_path) == 1
    assert before.exists()  # it was there when the writer began
    assert not half.exists()
    assert not marker.exists()
    assert living.exists()


def _dead_process() -> int:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid
