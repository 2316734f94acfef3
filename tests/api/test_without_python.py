"""A traced model in a C++ program that has no Python: libtorch, our library, the real runtime."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import torch_neuronx
from runtime import library
from tests.native.program import build_program, run_program


@pytest.mark.skipif(not library.shared_libpython(), reason="this Python has no shared libpython")
def test_a_program_without_python_gets_the_same_numbers(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh()).eval()
    x = torch.rand(2, 4)
    torch.jit.save(torch_neuronx.trace(model, x), tmp_path / "func.pt")
    torch.save([x], tmp_path / "inputs.pt")
    done = run_program(build_program(tmp_path), tmp_path / "func.pt", tmp_path / "inputs.pt", "2")
    assert done.returncode == 0, done.stderr
    sizes, numbers = done.stdout.strip().splitlines()[-1].split(":")
    made = torch.tensor([float(n) for n in numbers.split()]).reshape(2, 3)
    assert sizes == "[2, 3]"
    torch.testing.assert_close(made, model(x).detach(), rtol=1e-5, atol=1e-6)
