"""One module with every opcode: it verifies, survives every form, and prints as XLA prints it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from hlo_frontend.hlo.errors import HloError
from hlo_frontend.hlo.module import HloComputation
from hlo_frontend.hlo.ops import OPS
from hlo_frontend.hlo.parse import parse_module
from hlo_frontend.hlo.proto import read_module, write_module
from hlo_frontend.hlo.text import LONG, SHORT, PrintOptions, print_module
from hlo_frontend.hlo.types import Shape
from hlo_frontend.hlo.verify import verify_module
from hlo_frontend.hlo.vocabulary import ATTRIBUTES
from tests.hlo import xla_reference as xla

TEXT = (Path(__file__).parent / "every_op.hlo").read_text()
# Same rule as an opcode the module has, or (set-dimension-size) XLA makes its result dynamic.
UNUSED = {
    "acos",
    "acosh",
    "and",
    "asin",
    "asinh",
    "atanh",
    "cbrt",
    "ceil",
    "cosh",
    "cosine",
    "divide",
    "exponential",
    "exponential-minus-one",
    "floor",
    "log",
    "log-plus-one",
    "logistic",
    "maximum",
    "minimum",
    "mulhi",
    "multiply",
    "or",
    "round-nearest-afz",
    "round-nearest-even",
    "rsqrt",
    "set-dimension-size",
    "shift-right-arithmetic",
    "shift-right-logical",
    "sign",
    "sine",
    "sinh",
    "sqrt",
    "subtract",
    "tan",
    "tanh",
    "xor",
}


def test_the_module_has_every_opcode_and_attribute() -> None:
    instructions = [i for c in parse_module(TEXT).computations for i in c.instructions]
    assert {i.opcode for i in instructions} | UNUSED == OPS.keys()
    assert {name for i in instructions for name, _ in i.attrs} == ATTRIBUTES.keys()


def test_it_verifies() -> None:
    verify_module(parse_module(TEXT))


@pytest.mark.parametrize("options", [LONG, SHORT, PrintOptions(operand_shapes=False)])
def test_it_prints_as_xla_prints_it(options: PrintOptions) -> None:
    proto = xla.proto_of(TEXT)
    assert xla.blocks(print_module(read_module(proto), options)) == xla.blocks(
        xla.printed(proto, options)
    )


def test_text_and_protobuf_round_trips() -> None:
    module = parse_module(TEXT)
    assert parse_module(print_module(module)) == module
    assert read_module(write_module(module)) == module


def test_xla_reads_what_we_write() -> None:
    module = read_module(xla.proto_of(TEXT))
    assert read_module(xla.proto_of(print_module(module))) == module
    assert read_module(xla.normalized(write_module(module))) == module


# What is done to an instruction that is well-formed.
CHANGES = (
    lambda i: replace(i, operands=(*i.operands, *i.operands, 0)),
    lambda i: replace(i, shape=Shape("s16", (977, 3))),
    lambda i: replace(i, attrs=(*i.attrs, ("zzz", 1))),
    lambda i: replace(i, attrs=()),
    lambda i: replace(i, calls=(*i.calls, "add_f32", "add_f32")),
)
# Opcodes whose operands and shape only the target, or nothing, knows.
FREE = {"parameter", "custom-call", "rng", "tuple", "call", "fusion", "after-all"}


def _refusals(entry: HloComputation, position: int) -> list[str]:
    """What the verifier says of one instruction, changed in each of the ways."""
    module = parse_module(TEXT)
    said = []
    for change in CHANGES:
        changed = list(entry.instructions)
        changed[position] = change(changed[position])
        broken = replace(entry, instructions=tuple(changed))
        computations = (*module.computations[:-1], broken)
        try:
            verify_module(replace(module, computations=computations))
        except HloError as error:
            said.append(str(error))
    return said


def test_every_opcode_is_refused_in_another_form_by_name() -> None:
    entry = parse_module(TEXT).entry
    for position, i in enumerate(entry.instructions[:-1]):
        said = [text for text in _refusals(entry, position) if text.startswith(f"{i.opcode}: ")]
        assert len(said) >= (1 if i.opcode in FREE else 3), (i.opcode, said)
        assert all("\n  in  " in text and re.search(r"got|must", text) for text in said)
