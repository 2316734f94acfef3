"""Models of the fake runtime, for tests of the C++ library alone."""

import ctypes
import gc
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from runtime import library
from tests.native import fake_bridge

FAKE = "tests.native.fake_bridge"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def fake_runtime() -> Iterator[None]:
    """Has models made in the test module run by the fake."""
    library.ensure_loaded()
    native = ctypes.CDLL(str(library.library_path()))
    native.neuron_set_bridge(FAKE.encode())
    yield
    native.neuron_set_bridge(b"runtime.bridge")


@pytest.fixture
def every_model_unloads() -> Iterator[None]:
    """Holds a test to leave no more models loaded than it found."""
    gc.collect()
    before = list(fake_bridge.loaded)
    yield
    gc.collect()
    assert fake_bridge.loaded == before


def neff(op: str, inputs: list, outputs: list, **more: Any) -> bytes:
    """A NEFF of the fake; specs are (dtype, dims), named in0, in1, … and out0, out1, …."""
    name = [[[f"{kind}{i}", *spec] for i, spec in enumerate(specs)]
            for kind, specs in (("in", inputs), ("out", outputs))]  # fmt: skip
    return json.dumps({"op": op, "inputs": name[0], "outputs": name[1], **more}).encode()


def model(op: str, inputs: list, outputs: list, **more: Any) -> torch.ScriptObject:
    """A loaded `neuron::Model` of the fake."""
    return torch.classes.neuron.Model(neff(op, inputs, outputs, **more), b"meta")


VECTOR = ("float32", [3])


class Add(torch.nn.Module):
    """A traced two-input model, the way the API package will make one."""

    def __init__(self) -> None:
        super().__init__()
        self.model = model("add", [VECTOR, VECTOR], [VECTOR])

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Runs the one fused operator."""
        return torch.ops.neuron.forward_v2_1([x, y], self.model)


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess:
    """Runs code in a Python of its own, from the project's root."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
