"""One module with every opcode: it verifies, survives every form, and prints as XLA prints it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hlo_frontend.hlo.ops import OPS
from hlo_frontend.hlo.parse import parse_module
from hlo_frontend.hlo.proto import read_module, write_module
from hlo_frontend.hlo.text import LONG, SHORT, PrintOptions, print_module
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
