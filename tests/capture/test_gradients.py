"""Gradients that a program computes, in processes that did or did not compute some before.

PyTorch counts its devices once in a process, so each case has a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

PROGRAM = """
    import sys, torch, torch_neuronx
    {before}
    def program(x):
        with torch.enable_grad():
            z = x.detach().requires_grad_()
            (result,) = torch.autograd.grad((z**3).sum(), z)
        return result
    x = torch.tensor([1.0, 2.0])
    torch.testing.assert_close(torch_neuronx.trace(program, x)(x), 3 * x * x)
    square = torch.func.grad(lambda z: (z.reshape(-1) ** 2).sum())
    torch.testing.assert_close(torch_neuronx.trace(square, x)(x), 2 * x)
"""
BACKWARD = "torch.ones(2, requires_grad=True).sum().backward()"
KNOWN = f"import torch_xla; torch_xla.device(); {BACKWARD}"


def run(before: str) -> subprocess.CompletedProcess[str]:
    program = textwrap.dedent(PROGRAM).format(before=before)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)


@pytest.mark.parametrize("before", ["", KNOWN], ids=["first", "once the device was known"])
def test_gradients_are_captured(before):
    done = run(before)
    assert done.returncode == 0, done.stderr


def test_gradients_after_some_on_the_cpu_are_refused_with_the_way_out():
    done = run(BACKWARD)
    assert done.returncode == 1
    assert "CaptureError: capture: gradients cannot be part of the graph" in done.stderr
    assert "try: import torch_xla; torch_xla.device()" in done.stderr
