"""What does not fit a core's device memory is refused, and nothing large is made to find out."""

from __future__ import annotations

import re
import resource

import numpy as np
import pytest
import torch
from torch import nn

import torch_neuronx
from hlo_frontend.hlo.parse import parse_module
from neff.compile import compile_module
from neff.errors import RefusedError
from neff.options import CompileOptions, parse_options
from neff.program import Kind, Variable, Weight
from neff.support.memory import check_interface, memory_of

MESSAGE = (
    "The combined memory needed for the model's activation tensors exceeds the high-bandwidth "
    "memory limit."
)
ROWS = 1 << 20  # of 1024 f32: 4 GiB
PLACE = 'op_name="encoder.0/aten__sort" source_file="model.py" source_line=41'


def chain(rows: int) -> str:
    """x -> sort -> sort -> sum: two arrays of 4 KiB a row are alive at a time, beside the input."""
    return f"""HloModule m
less {{ a = f32[] parameter(0)
  b = f32[] parameter(1)
  ROOT r = pred[] compare(a, b), direction=LT }}
add {{ a = f32[] parameter(0)
  b = f32[] parameter(1)
  ROOT r = f32[] add(a, b) }}
ENTRY main {{
  x = f32[{rows},1024] parameter(0), metadata={{op_name="x"}}
  s = f32[{rows},1024] sort(x), dimensions={{0}}, to_apply=less, metadata={{{PLACE}}}
  t = f32[{rows},1024] sort(s), dimensions={{1}}, to_apply=less
  z = f32[] constant(0)
  ROOT r = f32[] reduce(t, z), dimensions={{0,1}}, to_apply=add
}}
"""


@pytest.fixture(autouse=True)
def nothing_large_is_made():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # KiB


def test_activations_that_do_not_fit():
    with pytest.raises(RefusedError, match=re.escape(f"[NCC_EOOM001] {MESSAGE}\n")) as caught:
        compile_module(parse_module(chain(2 * ROWS)))
    assert caught.value.code == "NCC_EOOM001"
    text = str(caught.value)
    assert "24.00 GiB are needed: 24.00 GiB for inputs, outputs and intermediate values" in text
    assert (
        "0.00 GiB for weights and states; a NeuronCore of inf2 with --lnc=1 has 16.00 GiB" in text
    )
    assert re.search(
        r"\n  the largest:\n +8\.00 GiB  input input0 f32\[2097152,1024\]"
        r"\n +8\.00 GiB  %\d+ = f32\[2097152,1024\] sort from model\.py:41 in encoder\.0/aten__sort"
        r"\n +8\.00 GiB  %\d+ = f32\[2097152,1024\] sort\n",
        text,
    )
    assert "\n  try: a smaller batch" in text


def test_what_fits_compiles_and_larger_cores_hold_more():
    compile_module(parse_module(chain(ROWS)))
    compile_module(parse_module(chain(2 * ROWS)), options=parse_options("--target=trn2"))
    with pytest.raises(RefusedError, match=r"trn2 with --lnc=1 has 12\.00 GiB"):
        compile_module(
            parse_module(chain(2 * ROWS)), options=parse_options("--target=trn2 --lnc=1")
        )


def test_weights_that_do_not_fit_beside_the_activations():
    array = np.broadcast_to(np.float32(0), (3 * ROWS, 1024))
    weight = Weight("0" * 64, parse_module(chain(3 * ROWS)).entry.signature[0][0], array)
    module = parse_module(
        f"""HloModule m
add {{ a = f32[] parameter(0)
  b = f32[] parameter(1)
  ROOT r = f32[] add(a, b) }}
ENTRY main {{
  w = f32[{3 * ROWS},1024] parameter(0)
  x = f32[{ROWS + 1},1024] parameter(1)
  z = f32[] constant(0)
  a = f32[] reduce(w, z), dimensions={{0,1}}, to_apply=add
  b = f32[] reduce(x, z), dimensions={{0,1}}, to_apply=add
  ROOT r = f32[] add(a, b)
}}
"""
    )
    inputs = [
        Variable("table", weight.shape, Kind.WEIGHT, weight),
        Variable("x", module.entry.signature[0][1]),
    ]
    with pytest.raises(RefusedError, match=r"\[NCC_EOOM002\]") as caught:
        compile_module(module, inputs, options=CompileOptions(optlevel="1"))
    assert re.search(
        r"the largest:\n +12\.00 GiB  weight table f32\[3145728,1024\]", str(caught.value)
    )
    assert "4.00 GiB for inputs, outputs and intermediate values, 12.00 GiB for weights" in str(
        caught.value
    )


def test_a_state_and_its_next_value_share_their_storage():
    text = (
        "HloModule m, input_output_alias={ {0}: (0, {}, must-alias) }\n"
        "ENTRY main { s = f32[1024] parameter(0)\n t = f32[1024] negate(s)\n"
        " ROOT r = (f32[1024]) tuple(t) }"
    )
    module = parse_module(text)
    weight = Weight.of(np.zeros(1024, np.float32))
    state = Variable("s", weight.shape, Kind.STATE, weight)
    memory = memory_of(compile_module(module, [state]).program)
    assert (memory.held, memory.activations) == (4096, 0)
    check_interface(module, {0}, CompileOptions())


def test_trace_refuses_weights_before_reading_them():
    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(torch.zeros(()).expand(5 * ROWS, 1024), requires_grad=False)

        def forward(self, rows):
            return self.table[rows]

    with pytest.raises(RefusedError, match=r"\[NCC_EOOM002\]") as caught:
        torch_neuronx.trace(Table(), torch.tensor([1, 2]))
    assert "20.00 GiB  weight table f32[5242880,1024]" in str(caught.value)


def test_trace_refuses_activations():
    def outer(x):
        return torch.sort(x[:, None] * x[None, :], dim=0)[0].sum()

    with pytest.raises(RefusedError, match=r"\[NCC_EOOM001\]") as caught:
        torch_neuronx.trace(outer, torch.rand(65536))
    assert caught.value.code == "NCC_EOOM001"
    assert re.search(r"test_memory\.py:\d+ in ", str(caught.value))
