"""The examples of the owner's documents run, letter for letter."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import torch_neuronx
from runtime.observe import record_executions
from tests.api.machines import instance

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


# Each runs in a process with four NeuronCores or more, beside `example` and a saved model.
PLACEMENT = [
    """
model = torch.jit.load('example_neuron_model.pt')
torch_neuronx.experimental.set_neuron_cores(model, start_nc=0, nc_count=1)

model(example) # Executes on NeuronCore 0
model(example) # Executes on NeuronCore 0
model(example) # Executes on NeuronCore 0
""",
    """
model = torch.jit.load('example_neuron_model.pt')
torch_neuronx.experimental.set_neuron_cores(model, start_nc=2, nc_count=2)

model(example) # Executes on NeuronCore 2
model(example) # Executes on NeuronCore 3
model(example) # Executes on NeuronCore 2
""",
    """
model1 = torch.jit.load('example_neuron_model.pt')
torch_neuronx.experimental.set_neuron_cores(model1, start_nc=2)

model2 = torch.jit.load('example_neuron_model.pt')
torch_neuronx.experimental.set_neuron_cores(model2, start_nc=0)

model1(example) # Executes on NeuronCore 2
model1(example) # Executes on NeuronCore 2
model2(example) # Executes on NeuronCore 0
model2(example) # Executes on NeuronCore 0
""",
    """
model = torch.jit.load('example_neuron_model.pt')
torch_neuronx.experimental.set_multicore(model)

model(example) # Executes on NeuronCore 0
model(example) # Executes on NeuronCore 1
model(example) # Executes on NeuronCore 2
""",
    """
with torch_neuronx.experimental.neuron_cores_context(start_nc=0, nc_count=1):
    model = torch.jit.load('example_neuron_model.pt')

model(example) # Executes on NeuronCore 0
model(example) # Executes on NeuronCore 0
model(example) # Executes on NeuronCore 0
""",
    """
with torch_neuronx.experimental.neuron_cores_context(start_nc=2, nc_count=2):
    model = torch.jit.load('example_neuron_model.pt')

model(example) # Executes on NeuronCore 2
model(example) # Executes on NeuronCore 3
model(example) # Executes on NeuronCore 2
""",
    """
with torch_neuronx.experimental.neuron_cores_context(start_nc=2):
    model1 = torch.jit.load('example_neuron_model.pt')

with torch_neuronx.experimental.neuron_cores_context(start_nc=0):
    model2 = torch.jit.load('example_neuron_model.pt')

model1(example) # Executes on NeuronCore 2
model1(example) # Executes on NeuronCore 2
model2(example) # Executes on NeuronCore 0
model2(example) # Executes on NeuronCore 0
""",
    """
with torch_neuronx.experimental.multicore_context():
    model = torch.jit.load('example_neuron_model.pt')

model(example) # Executes on NeuronCore 0
model(example) # Executes on NeuronCore 1
model(example) # Executes on NeuronCore 2
""",
]


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


@pytest.mark.parametrize(
    "name",
    ["torch_neuronx.experimental", "torch_neuronx", "torch.neuronx", "torch.neuronx.experimental"],
)
@pytest.mark.parametrize("example", PLACEMENT, ids=range(len(PLACEMENT)))
def test_placement_is_what_the_comments_say(example, name, tmp_path, monkeypatch):
    example = example.replace("torch_neuronx.experimental", name)
    cores = re.findall(r"# Executes on NeuronCore (\d)", example)
    monkeypatch.chdir(tmp_path)
    scope = {"torch": torch, "torch_neuronx": torch_neuronx, "example": torch.rand(2)}
    with instance("trn1.32xlarge"):
        trace = torch_neuronx.trace(torch.neg, scope["example"])
        torch.jit.save(trace, "example_neuron_model.pt")
        with record_executions() as record:
            exec(compile(example, "example", "exec"), scope)
    assert [execution.core for execution in record] == [int(core) for core in cores]
    assert len(cores) >= 3


@pytest.mark.skipif(not DOCUMENTS.exists(), reason="the documents are not beside this checkout")
def test_placement_examples_are_all_those_of_the_document():
    document = (DOCUMENTS / "torch_neuronx_core_placement.rst").read_text()
    assert document.count(".. code-block:: python") == len(PLACEMENT)
    assert all(words(example) in words(document) for example in PLACEMENT)
