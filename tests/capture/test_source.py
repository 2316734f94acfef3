"""The user's lines and layers in a captured module, and its names."""

from __future__ import annotations

import re

import torch
from torch import nn

from hlo_frontend.capture import Capture, capture
from hlo_frontend.hlo.module import HloInstruction
from hlo_frontend.hlo.proto import write_module
from tests.xla_judge import hlo_text

X = torch.randn(4, 8)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.inner(x)
        return torch.tanh(y)


BLOCK_LINE = Block.forward.__code__.co_firstlineno


def found(captured: Capture, opcode: str) -> HloInstruction:
    return next(i for i in captured.module.entry.instructions if i.opcode == opcode)


def test_instructions_carry_layer_and_line() -> None:
    captured = capture(nn.Sequential(Block(), Block()), X)
    tanh = found(captured, "tanh").metadata
    assert tanh.op_type == "aten__tanh"
    assert tanh.op_name == "0/aten__tanh"
    assert tanh.source_file == "tests/capture/test_source.py"
    assert tanh.source_line == BLOCK_LINE + 2
    dot = found(captured, "dot").metadata
    assert dot.op_name == "0.inner/aten__addmm"
    assert dot.source_line == BLOCK_LINE + 1


def test_parameters_carry_the_names_of_what_they_are_bound_to() -> None:
    captured = capture(Block(), X)
    entry = captured.module.entry
    assert [entry.instructions[p].metadata.op_name for p in entry.parameters] == [
        "x",
        "inner.weight",
        "inner.bias",
    ]


def test_no_line_of_pytorchs_own_is_given_as_the_users() -> None:
    captured = capture(nn.Sequential(nn.Linear(8, 3)), X)
    for instruction in captured.module.entry.instructions:
        assert instruction.metadata.source_file == ""
        assert "@" not in instruction.metadata.op_name


def test_modules_are_named_and_their_names_do_not_depend_on_earlier_captures() -> None:
    first = capture(Block(), X)
    capture(nn.Linear(8, 3), X)
    model = Block()
    second, third = capture(model, X), capture(model, X)
    assert first.module == second.module == third.module
    assert second.parameters == third.parameters
    assert first.module.name == "Block"
    assert first.module.entry_name == "main"
    assert capture(lambda x: x + 1, X).module.name == "lambda"
    assert capture(torch.sin, X).module.name == "sin"


def test_text_is_what_xla_prints() -> None:
    captured = capture(lambda x: x * 2, X)
    text = hlo_text(write_module(captured.module))
    assert re.match(r"HloModule lambda, entry_computation_layout=\{\(f32\[4,8\]\{1,0\}\)->", text)
    assert "ENTRY main {" in text
