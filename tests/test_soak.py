"""The soak, for a few seconds, and what it makes of an emulator that is wrong."""

from __future__ import annotations

import re

import pytest

from scripts import soak


def test_a_short_soak(capsys):
    assert soak.main(["--seconds", "4", "--seed", "5"]) == 0, capsys.readouterr().out
    said = capsys.readouterr().out
    assert "soak: 4 processes × 8 threads, 4 s, seed 5" in said
    assert "soak: no hang, no wrong result, no core left taken" in said
    for what in ("call", "batch", "move", "own model", "kill"):
        assert re.search(rf"^  {what} +[1-9]", said, re.M), said


WRONG = """
import json, sys, time
print(json.dumps({"cores": [0], "done": {"call": 7}}), flush=True)
print(json.dumps({"wrong": "wrong result for 1"}), flush=True)
sys.exit(3)
"""
HANGS = """
import json, sys, time
print(json.dumps({"cores": [0], "done": {"call": 7}}), flush=True)
time.sleep(60)
"""
IDLE = """
import json, sys, time
while True:
    print(json.dumps({"cores": [0], "done": {}}), flush=True)
    time.sleep(0.1)
"""


@pytest.mark.parametrize(
    ("worker", "message"),
    [
        (WRONG, r"soak: process 0 ended with 3:\nwrong result for 1"),
        ("import nothing_of_that_name", "No module named 'nothing_of_that_name'"),
        (HANGS, "soak: process 0 hangs: it has said nothing for 1 s"),
        (IDLE, "soak: no call was made"),
    ],
)
def test_a_violation_is_found(worker, message, monkeypatch, tmp_path, capsys):
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "soak_worker.py").write_text(worker)
    (tmp_path / "runtime").mkdir()
    (tmp_path / "runtime" / "core.py").write_text("machine = int")
    monkeypatch.setattr(soak, "ROOT", tmp_path)
    monkeypatch.setattr(soak, "SILENCE", 1.0)
    seconds = "0.1" if worker == IDLE else "3"
    assert soak.main(["--processes", "1", "--threads", "1", "--seconds", seconds]) == 1
    assert re.search(message, capsys.readouterr().out)


def test_a_core_that_is_left_taken_is_found(monkeypatch, tmp_path):
    from runtime.reservation import Reservation, directory

    assert soak._left_taken(str(tmp_path)) == ""
    monkeypatch.setenv("NEURON_EMULATOR_RUNTIME_DIR", str(tmp_path))
    held = Reservation(directory(soak.INSTANCE))
    held.take([7])
    assert "a core was left taken:" in soak._left_taken(str(tmp_path))
    held.release()
