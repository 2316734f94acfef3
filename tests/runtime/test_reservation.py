"""Cores held by processes: exclusive, given back by whatever ends the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime.reservation import Holder, Reservation, holders

ROOT = Path(__file__).parents[2]


@contextmanager
def process(machine: Path, code: str):
    """Another process that has run `code` with a reservation `r`, and then waits."""
    program = f"""
        from pathlib import Path
        from runtime.reservation import Holder, Reservation
        import os, sys
        r = Reservation(Path({str(machine)!r}))
        print({code}, flush=True)
        sys.stdin.read()
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as child:
        yield child, child.stdout.readline().strip()
        child.kill()


def test_a_core_has_one_holder(tmp_path):
    mine = Reservation(tmp_path)
    with process(tmp_path, "r.take([1, 2])") as (child, said):
        assert said == "[]"
        assert mine.take([2, 3]) == [2]
        assert mine.take([3]) == []  # and core 3 was not kept by the attempt before
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert Reservation(tmp_path).take([1, 2]) == []
    mine.release()


def test_all_or_none(tmp_path):
    with process(tmp_path, "r.take([1])"):
        mine = Reservation(tmp_path)
        assert mine.take([0, 1, 2]) == [1]
        assert Reservation(tmp_path).take([0, 2]) == []


def test_a_number_of_free_cores_in_a_row(tmp_path):
    with process(tmp_path, "r.take([1])"):
        mine = Reservation(tmp_path)
        assert mine.take_any(2, 4) == range(2, 4)
        assert Reservation(tmp_path).take_any(2, 4) is None
        assert Reservation(tmp_path).take_any(1, 4) == range(1)
        mine.release()


def test_looking_holds_nothing(tmp_path):
    with process(tmp_path, "r.take([1])"):
        mine = Reservation(tmp_path)
        assert mine.held_by_others(range(3)) == [1]
        assert Reservation(tmp_path).take([0, 2]) == []


def test_notes_last_as_long_as_their_process(tmp_path):
    said = "r.describe(Holder(os.getpid(), 'serve', 'tag', '2.0.0', (0, 1), True)), os.getpid()"
    with process(tmp_path, said) as (child, _):
        assert holders(tmp_path) == [Holder(child.pid, "serve", "tag", "2.0.0", (0, 1), True)]
        child.kill()
        child.wait()
        assert holders(tmp_path) == []
        assert not list(tmp_path.glob("process-*.json"))


def test_a_lock_file_is_not_followed(tmp_path):
    (tmp_path / "nc0.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        Reservation(tmp_path).take([0])
    assert not (tmp_path / "elsewhere").exists()
