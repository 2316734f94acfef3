"""The examples of the owner's documents run, letter for letter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

DOCUMENTS = Path(__file__).parents[2] / "shared" / "spec" / "documents"

FUNCTION = """
import torch
import torch_neuronx

def func(x, y):
    return 2 * x + y

example_inputs = torch.rand(3), torch.rand(3)

# Runs `func` with the provided inputs and records the tensor operations
trace = torch.neuronx.trace(func, example_inputs)

# `trace` can now be run with the TorchScript interpreter or saved
# and loaded in a Python-free environment
torch.jit.save(trace, 'func.pt')

# Executes on a NeuronCore
loaded = torch.jit.load('func.pt')
loaded(torch.rand(3), torch.rand(3))
"""

MODULE = """
import torch
import torch_neuronx
import torch.nn as nn

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3)

    def forward(self, x):
        return self.conv(x) + 1

model = Model()
model.eval()

example_inputs = torch.rand(1, 1, 3, 3)

# Traces the forward method and constructs a `ScriptModule`
trace = torch_neuronx.trace(model, example_inputs)
torch.jit.save(trace, 'model.pt')

# Executes on a NeuronCore
loaded = torch.jit.load('model.pt')
loaded(torch.rand(1, 1, 3, 3))
"""


def words(text: str) -> str:
    return " ".join(text.split())


def run(example: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(folder)
    scope: dict[str, Any] = {}
    exec(compile(example, "example", "exec"), scope)
    return scope


def test_function_compilation(tmp_path, monkeypatch):
    scope = run(FUNCTION, tmp_path, monkeypatch)
    inputs = torch.rand(3), torch.rand(3)
    torch.testing.assert_close(scope["loaded"](*inputs), scope["func"](*inputs))


def test_module_compilation(tmp_path, monkeypatch):
    scope = run(MODULE, tmp_path, monkeypatch)
    x = torch.rand(1, 1, 3, 3)
    torch.testing.assert_close(scope["loaded"](x), scope["model"](x).detach())


@pytest.mark.skipif(not DOCUMENTS.exists(), reason="the documents are not beside this checkout")
@pytest.mark.parametrize("example", [FUNCTION, MODULE], ids=["function", "module"])
def test_examples_are_those_of_the_document(example):
    assert words(example) in words((DOCUMENTS / "torch_neuronx_trace.rst").read_text())
