"""The benchmark's own parts: what is chosen, compared, counted and written."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from rich.console import Console

from scripts import bench_peers, bench_report
from scripts.bench_contestants import Contestant
from scripts.bench_document import END
from scripts.bench_models import MODELS
from scripts.bench_peers import ROOT, Effort, Workers, compare, keep, kept
from scripts.bench_roofline import least_seconds
from scripts.bench_worker import Case, difference, prepare, timed


def test_cases_are_models_with_their_batches_or_those_asked_for():
    assert bench_peers.cases("minilm*", None) == [("minilm-s128", n) for n in (1, 8, 16)]
    assert bench_peers.cases("mlp,lstm", (4,)) == [("lstm", 4), ("mlp", 4)]
    assert bench_peers.cases("no such", None) == []
    assert len(bench_peers.cases("*", None)) == 2 * len(MODELS) + 1


@pytest.mark.parametrize("name", ["lstm", "mlp"])
def test_a_model_and_its_inputs_are_the_same_each_time(name):
    (one, given), (two, again) = (MODELS[name].build(1) for _ in range(2))
    with torch.no_grad():
        assert difference(one(*given), two(*again)) == 0.0


def test_a_difference_is_relative_to_the_largest_magnitude_of_each_output():
    expected = (torch.tensor([100.0, 1.0]), torch.tensor([0.5]))
    assert difference([np.array([101.0, 1.0]), np.array([0.5])], expected) == pytest.approx(0.01)
    assert difference([np.array([100.0, 1.0]), np.array([0.25])], expected) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="must be finite"):
        difference([np.array([np.nan, 1.0]), np.array([0.5])], expected)
    with pytest.raises(ValueError, match="longer"):
        difference([np.array([100.0, 1.0])], expected)


def test_the_first_call_of_a_turn_is_not_counted(monkeypatch):
    monkeypatch.setattr("scripts.bench_worker.hurry", lambda: False)
    calls = []
    assert len(timed(lambda: calls.append(1), 0.0)) == 1
    assert len(calls) == 2


def test_the_roofline_is_the_higher_of_the_two():
    peaks = {"f32": 100.0, "bf16": 200.0, "bandwidth": 10.0}
    heavy = {"gflop": 50.0, "weights": 1e9, "moved": 0}
    assert least_seconds(heavy, peaks, False) == 0.5
    assert least_seconds(heavy, peaks, True) == 0.25
    light = {"gflop": 1.0, "weights": 2e9, "moved": 1e9}
    assert least_seconds(light, peaks, False) == pytest.approx(0.3)
    assert least_seconds(light, peaks, True) == pytest.approx(0.2)


def test_contestants_take_turns():
    made = compare("mlp", 1, ["eager"], Effort(0.01, 2))
    assert made["eager"]["error"] == 0.0
    assert len(made["eager"]["turns"]) == 2


# In a process of its own: one that has threads is not to be copied.
DYING = """
import os, torch
from scripts.bench_contestants import Contestant
from scripts.bench_document import END
from scripts.bench_worker import Case, Copy
case = Case(torch.nn.Identity(), (torch.ones(2),), torch.ones(2))
dying = Contestant("dying", "torch", lambda module, inputs: os._exit(3), 1e-3)
print(Copy.start(dying, case, 1).answer())
"""


def test_a_contestant_that_fails_or_dies_says_why():
    case = Case(torch.nn.Identity(), (torch.ones(2),), torch.ones(2))
    failing = Contestant("failing", "torch", lambda module, inputs: 1 / 0, 1e-3)
    assert prepare(failing, case) == (None, {"reason": "ZeroDivisionError: division by zero"})
    command = [sys.executable, "-c", DYING]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    assert json.loads(done.stdout) == {"reason": "the process ended with status 3"}
    workers = Workers("no such model", 1)
    with pytest.raises(RuntimeError, match="ended with status 1"):
        workers.ask("eager")


RESULTS = {
    "machine": {"cpu": "X", "threads": 2, "f32": 100.0, "bf16": 200.0, "bandwidth": 10.0},
    "peers": {
        "a/1": {
            "work": {"gflop": 1.0, "weights": 1e6, "moved": 0},
            "contestants": {
                "eager": {"turns": [0.03, 0.04, 0.05]},
                "openvino": {"turns": [0.02]},
                "onnxruntime": {"reason": "RuntimeError: no such operator"},
                "ours": {"turns": [0.02]},
            },
        }
    },
}


def test_ratios_goals_and_reasons_are_in_the_report():
    times, ratios = bench_report.peers(RESULTS)
    assert times.rows == [["a/1", "40.0", "", "", "(1)", "20.0", "", "20.0", ""]]
    assert times.notes == ["1. onnxruntime: RuntimeError: no such operator"]
    assert ratios.rows == [["a/1", "0.50", "1.00", "", "", "1.00", "50%", ""]]
    assert ratios.notes[0] == (
        "fp32 / eager: geometric mean 0.50, worst 0.50 (a/1); goal ≤ 1.0 for each, "
        "0 of 1 are above it"
    )


def test_growth_says_how_straight_it_is():
    growing = ("capture", "compile", "call")
    points = {str(n): {**dict.fromkeys(growing, n / 10), "load": 0.5} for n in (1, 2, 4)}
    (section,) = bench_report.growth({"growth": {"depth": points}})
    assert section.rows[0] == ["1", "100", "100", "500", "100"]
    assert section.notes[0] == "straight line through *compile*: R² = 1.000"
    assert section.notes[1] == "*load* does not grow: 500 to 500"


@pytest.mark.parametrize(
    ("value", "text"), [(123.4, "123"), (12.34, "12.3"), (0.01234, "0.0123"), (0.0, "0")]
)
def test_figures_have_three_digits(value, text):
    assert bench_report.digits(value) == text


def test_only_what_is_between_the_markers_is_replaced():
    begin, end = bench_report.BEGIN, END
    assert bench_report.merged(f"a\n{begin}\nold{end}\nb", "new\n") == f"a\n{begin}\nnew\n{end}\nb"
    with pytest.raises(ValueError, match="must hold"):
        bench_report.merged("no markers", "new")
    text = bench_report.DOCUMENT.read_text()
    assert bench_report.merged(text, "x").count(begin) == 1


def test_results_are_kept_and_shown_again(tmp_path):
    file = tmp_path / "folder" / "bench.json"
    assert kept(file) == {}
    keep(file, RESULTS)
    assert kept(file) == json.loads(json.dumps(RESULTS))
    console = Console(record=True, width=200)
    bench_report.main(argparse.Namespace(json=file, write=False), console)
    assert "geometric mean 0.50" in console.export_text()
