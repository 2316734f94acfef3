"""What was compiled for this machine is found again, and nothing else is."""

from __future__ import annotations

import gc
import itertools
import os
import threading

import jax
import numpy as np
import pytest

from hlo_frontend.hlo.types import Shape
from neff.container import write_neff
from neff.program import Variable
from runtime import executable_cache
from runtime.model import load
from tests.runtime.models import from_text

TEXT = """
HloModule squares
ENTRY main {
  x = f32[4] parameter(0)
  y = s64[4] parameter(1)
  a = f32[4] multiply(x, x)
  ROOT r = (f32[4], s64[4]) tuple(a, y)
}
"""
CHOLESKY = """
HloModule factor
ENTRY main {
  x = f32[2,2] parameter(0)
  ROOT r = f32[2,2] cholesky(x), lower=true
}
"""
COMPILED = "/jax/core/compile/backend_compile_duration"
X, Y = np.array([1, 2, 3, 4], np.float32), np.array([1, -2, 3, 1 << 20])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NEURON_EMULATOR_EXECUTABLE_CACHE", "1")
    monkeypatch.setattr(executable_cache, "folder", lambda: tmp_path / "cache" / "executables")
    return executable_cache.folder()


@pytest.fixture
def compiled():
    """The names of what XLA compiles."""
    events: list[str] = []

    def listen(event: str, seconds: float, **_: object) -> None:
        if event == COMPILED:
            events.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield events
    jax.monitoring.unregister_event_duration_listener(listen)


def neff() -> np.ndarray:
    inputs = Variable("x", Shape("f32", (4,))), Variable("y", Shape("s64", (4,)))
    return write_neff(from_text(TEXT, *inputs))


def works(data: np.ndarray) -> None:
    """Loads as another process would: nothing of an equal file is left in this one."""
    gc.collect()
    model = load(data.data)
    for scale in (1, 2):
        squares, same = model.execute([(scale * X).data.cast("B"), Y.data.cast("B")])
        np.testing.assert_array_equal(squares.view(np.float32), (scale * X) ** 2)
        np.testing.assert_array_equal(same.view(np.int64), Y)
    model.unload()


def test_a_second_load_compiles_nothing(folder, compiled):
    data = neff()
    works(data)
    assert len(compiled) == 1 and len(list(folder.iterdir())) == 1
    works(data)
    assert len(compiled) == 1


def test_only_its_owner_may_read_or_write_an_entry(folder):
    works(neff())
    (entry,) = folder.iterdir()
    assert entry.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def _flip(entry):
    data = bytearray(entry.read_bytes())
    data[-1] ^= 1
    entry.write_bytes(data)


def _cut(entry):
    entry.write_bytes(entry.read_bytes()[:10])


def _foreign(entry):
    executable_cache.write(entry.name, (2).to_bytes(4, "little") + b"[]" + b"no executable")


def _no_description(entry):
    executable_cache.write(entry.name, (4).to_bytes(4, "little") + b"{[}]")


@pytest.mark.parametrize("spoil", [_flip, _cut, _foreign, _no_description])
def test_an_entry_that_is_not_what_was_written_is_compiled_anew(spoil, folder, compiled, capfd):
    data = neff()
    works(data)
    (entry,) = folder.iterdir()
    spoil(entry)
    works(data)
    assert len(compiled) == 2
    works(data)
    assert len(compiled) == 2, "it must be whole again"


def test_what_another_user_could_have_written_is_not_used(folder, compiled):
    data = neff()
    works(data)
    (entry,) = folder.iterdir()
    entry.chmod(0o666)
    works(data)
    assert len(compiled) == 2
    works(data)
    assert len(compiled) == 2, "it was written anew"


def test_0_keeps_and_uses_nothing(folder, compiled, monkeypatch):
    data = neff()
    works(data)
    monkeypatch.setenv("NEURON_EMULATOR_EXECUTABLE_CACHE", "0")
    works(data)
    assert len(compiled) == 2
    assert executable_cache.key_of(b"digest") is None


def test_a_folder_that_cannot_be_made_is_done_without(tmp_path, folder, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(executable_cache, "folder", lambda: tmp_path / "file" / "executables")
    works(neff())


def test_what_was_used_least_lately_makes_room(folder):
    for n, key in enumerate("abc"):
        executable_cache.write(key, bytes(300_000))
        os.utime(folder / key, (n, n))
    assert executable_cache.read("a") is not None  # used just now
    executable_cache.write("d", bytes(300_000))
    assert {path.name for path in folder.iterdir()} == {"a", "c", "d"}


def test_whatever_decides_what_is_compiled_is_in_the_key(folder, monkeypatch):
    keys = [
        executable_cache.key_of(b"one", True),
        executable_cache.key_of(b"two", True),
        executable_cache.key_of(b"one", False),
    ]
    for name, value in (("XLA_FLAGS", "--xla_a=b"), ("NEURON_EMULATOR_KERNELS", "jax")):
        monkeypatch.setenv(name, value)
        keys.append(executable_cache.key_of(b"one", True))
    monkeypatch.setattr(executable_cache.library, "processor", lambda: "another")
    executable_cache._machine.cache_clear()
    keys.append(executable_cache.key_of(b"one", True))
    executable_cache._machine.cache_clear()
    assert len(set(keys)) == len(keys)


def test_calls_of_libraries_that_jax_sets_up_are_not_kept(folder):
    data = write_neff(from_text(CHOLESKY, Variable("x", Shape("f32", (2, 2)))))
    model = load(data.data)
    given = np.array([[4, 2], [2, 5]], np.float32)
    (made,) = model.execute([given.data.cast("B")])
    np.testing.assert_allclose(made.view(np.float32).reshape(2, 2), [[2, 0], [1, 2]])
    model.unload()
    assert not folder.exists()


def test_readers_see_whole_entries_while_others_write(folder):
    contents = [bytes([n]) * 50_000 for n in range(4)]
    seen: set[bytes | None] = set()
    read_enough = threading.Event()

    def write(content: bytes) -> None:
        while not read_enough.is_set():
            executable_cache.write("key", content)

    def read() -> None:
        for turn in itertools.count():
            if turn >= 200 and len(seen - {None}) > 1:
                return
            seen.add(executable_cache.read("key"))

    writers = [threading.Thread(target=write, args=(c,)) for c in contents]
    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in (*writers, *readers):
        thread.start()
    for thread in readers:
        thread.join()
    read_enough.set()
    for thread in writers:
        thread.join()
    assert seen <= {None, *contents}
    assert [path.name for path in folder.iterdir()] == ["key"]
