"""The cast passes: what becomes of small programs, of weights, and of infinities."""

from __future__ import annotations

import logging

import jax
import numpy as np
import pytest

from hlo_frontend.hlo.attributes import DotDimensionNumbers
from hlo_frontend.hlo.ops import OPS
from hlo_frontend.hlo.parse import parse_module
from hlo_frontend.hlo.types import ELEMENT_TYPES, Shape
from neff.builder import Builder
from neff.compile import compile_module
from neff.container import read_neff
from neff.fold import FOLDS
from neff.lower import lower
from neff.ops import ELEMENTWISE
from neff.options import parse_options
from neff.passes.auto_cast import AutoCast, AutoCastAll
from neff.passes.cleanup import eliminate_dead_code
from neff.passes.integers import DowncastIntegers
from neff.pipeline import pipeline
from neff.pipeline import run as run_passes
from neff.printing import print_function
from neff.program import Instruction, Program
from neff.verify import verify_program
from runtime.rounding import ROUNDED
from tests.neff.programs import input_variable, parameters, program, weight_variable
from tests.numerics.measure import execute

LINEAR = """HloModule m
ENTRY e {
 p = f32[2,3] parameter(0)
 w = f32[3,2] parameter(1)
 d = f32[2,2] dot(p, w), lhs_contracting_dims={1}, rhs_contracting_dims={0}
 ROOT r = f32[2,2] tanh(d)
}
"""


def lines(p: Program) -> list[str]:
    return [line.strip() for line in print_function(p.main)[1:-1]]


def dot_of_weight() -> Program:
    weight = np.arange(6, dtype=np.float32).reshape(3, 2) / 7
    b, inputs = Builder(), [input_variable("x", 2, 3), weight_variable("w", weight)]
    x, w = parameters(b, inputs)
    numbers = DotDimensionNumbers((1,), (0,))
    d = b.op("dot", Shape("f32", (2, 2)), x, w, dot_dimension_numbers=numbers)
    return program(b, b.op("tanh", Shape("f32", (2, 2)), d), inputs=inputs)


def test_matmult_rounds_the_operands_and_keeps_the_result():
    p = AutoCast("bf16")(lower(parse_module(LINEAR)))
    assert lines(p)[2:6] == [
        "%2 = bf16[2,3] convert(%0)",
        "%3 = bf16[3,2] convert(%1)",
        "%4 = f32[2,2] dot(%2, %3), "
        "dot_dimension_numbers={lhs_contracting={1} rhs_contracting={0}}",
        "%5 = f32[2,2] tanh(%4)",
    ]


def test_all_holds_every_value_between_inputs_and_outputs():
    p = AutoCastAll("fp16")(lower(parse_module(LINEAR)))
    assert [str(i.shape).partition("[")[0] for i in p.main.instructions] == [
        *("f32", "f32", "f16", "f16", "f16", "f16", "f32")
    ]
    assert p.main.instructions[-1].op == "convert"


@pytest.mark.parametrize(
    ("options", "dtype"),
    [
        ("--auto-cast none", "f32"),
        ("--auto-cast matmult", "bf16"),
        ("--auto-cast all --auto-cast-type fp16", "f16"),
        ("--auto-cast all --auto-cast-type fp8_e4m3", "f8e4m3"),
        ("--auto-cast all --auto-cast-type tf32", "f32"),
    ],
)
def test_weights_are_rounded_when_compiling(options, dtype):
    made = run_passes(dot_of_weight(), pipeline(parse_options(options)), lambda record: None)
    (weight,) = (v.weight for v in made.inputs if v.weight is not None)
    assert weight.shape.dtype == dtype
    exact = np.arange(6, dtype=np.float32).reshape(3, 2) / 7
    expected = exact.astype(ELEMENT_TYPES[dtype].numpy)
    if "tf32" in options:
        expected = np.asarray(jax.lax.reduce_precision(exact, 8, 10))
    np.testing.assert_array_equal(weight.array.astype(np.float32), expected.astype(np.float32))


@pytest.mark.parametrize("bits", [1, 7, 10, 22])
def test_folded_reduce_precision_is_that_of_xla(bits):
    low = np.array([0, 0x0FFF, 0x1000, 0x1001, 0x7FFF, 0x8000, 0xFFFF], np.uint32)
    every = (np.arange(1 << 16, dtype=np.uint32)[:, None] << 16) | low
    given = every.reshape(-1).view(np.float32)
    attrs = (("exponent_bits", 8), ("mantissa_bits", bits))
    i = Instruction("reduce-precision", Shape("f32", given.shape), (0,), attrs)
    with np.errstate(all="ignore"):
        made = FOLDS["reduce-precision"](i, given)
    assert made is not None
    np.testing.assert_array_equal(made, np.asarray(jax.lax.reduce_precision(given, 8, bits)))


def test_bodies_of_a_loop_are_cast_too():
    text = """HloModule m
step { s = (s32[], f32[2,2]) parameter(0)
 i = s32[] get-tuple-element(s), index=0
 a = f32[2,2] get-tuple-element(s), index=1
 one = s32[] constant(1)
 j = s32[] add(i, one)
 d = f32[2,2] dot(a, a), lhs_contracting_dims={1}, rhs_contracting_dims={0}
 ROOT t = (s32[], f32[2,2]) tuple(j, d)
}
below { s = (s32[], f32[2,2]) parameter(0)
 i = s32[] get-tuple-element(s), index=0
 n = s32[] constant(3)
 ROOT c = pred[] compare(i, n), direction=LT
}
ENTRY e {
 p = f32[2,2] parameter(0)
 z = s32[] constant(0)
 s = (s32[], f32[2,2]) tuple(z, p)
 w = (s32[], f32[2,2]) while(s), condition=below, body=step
 ROOT r = f32[2,2] get-tuple-element(w), index=1
}
"""
    x = np.float32([[0.9, 0.1], [0.2, 0.7]])
    exact = np.linalg.matrix_power(x.astype(np.float64), 8)
    for mode, kind in (("matmult", "bf16"), ("all", "bf16"), ("all", "tf32"), ("all", "fp16")):
        (made,) = execute(text, f"--auto-cast {mode} --auto-cast-type {kind}", [x])
        worst = np.max(np.abs(made - exact))
        assert made.dtype == np.float32 and 1e-6 < worst < 0.02, (mode, kind, worst)


def test_what_computes_in_f32_stays_and_is_rounded_when_read():
    text = (
        "HloModule m\nENTRY e {\n p = f32[4] parameter(0)\n b = s32[4] bitcast-convert(p)\n"
        " c = f32[4] bitcast-convert(b)\n n = f32[4] negate(c)\n"
        " ROOT r = (s32[4], f32[4]) tuple(b, n)\n}\n"
    )
    x = np.float32([1.001, -2.7, 3e-3, 5e4])
    bits, negated = execute(text, "--auto-cast all", [x])
    np.testing.assert_array_equal(bits, x.view(np.int32))
    np.testing.assert_array_equal(negated, -x.astype(ELEMENT_TYPES["bf16"].numpy).astype("f4"))


def test_a_kept_instruction_keeps_the_function_it_calls():
    text = """HloModule m
sum { a = f32[] parameter(0)
 b = f32[] parameter(1)
 ROOT c = f32[] add(a, b)
}
ENTRY e {
 p = f32[4,4] parameter(0)
 z = f32[] constant(0)
 s = f32[4] reduce(p, z), dimensions={1}, to_apply=sum
 ROOT r = f32[4] custom-call(s), custom_call_target="AwsNeuronGelu", called_computations={sum}
}
"""
    p = AutoCastAll("bf16")(lower(parse_module(text)))
    verify_program(p, "auto_cast_all_bf16")
    assert [f.name for f in p.functions] == ["sum.wide", "sum", "e"]
    assert AutoCastAll("bf16")(p) == p


@pytest.mark.parametrize(
    ("target", "finite"), [("inf2", True), ("trn1", True), ("trn2", False), ("trn3", False)]
)
def test_infinity_saturates_where_a_dot_must_transpose(target, finite):
    text = """HloModule m
ENTRY e {
 x = f32[1,2] parameter(0)
 w = f32[2,1] parameter(1)
 ROOT d = f32[1,1] dot(x, w), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}
"""
    x, w = np.float32([[np.inf, 1]]), np.float32([[0.5], [1]])
    options = f"--enable-saturate-infinity --target {target}"
    (made,) = execute(text, options, [x, w])
    assert np.isfinite(made).all() == finite
    (straight,) = execute(text, options, [np.float32([[1, 1]]), np.float32([[np.inf], [1]])])
    assert np.isinf(straight).all()  # this operand is read as it lies


@pytest.mark.parametrize(
    ("options", "cores"), [("", 1), ("--target trn2", 2), ("--target trn2 -lnc 1", 1)]
)
def test_logical_cores_and_target_are_in_the_file(options, cores):
    chosen = parse_options(options)
    neff = read_neff(compile_module(parse_module(LINEAR), options=chosen).neff.data)
    assert neff.header.lnc_size == cores and neff.program.target == chosen.target


def test_ignored_options_are_named_in_a_warning(caplog):
    with caplog.at_level(logging.WARNING, "Neuron"):
        compile_module(parse_module(LINEAR), options=parse_options("--internal-x 3 --disable-dge"))
    made = [r.getMessage() for r in caplog.records if "changes nothing" in r.getMessage()]
    assert made == [
        f"compiler_args: {o} changes nothing here" for o in ("--internal-x 3", "--disable-dge")
    ]


SCATTER = """HloModule m
isum { a = s32[] parameter(0)
 b = s32[] parameter(1)
 ROOT c = s32[] OP(a, b)
}
ENTRY e {
 p = s32[3] parameter(0)
 i = s32[1,1] parameter(1)
 u = s32[1] parameter(2)
 ROOT r = s32[3] scatter(p, i, u), update_window_dims={}, inserted_window_dims={0},
  scatter_dims_to_operand_dims={0}, index_vector_dim=1, to_apply=isum
}
"""  # fmt: skip


@pytest.mark.parametrize(("op", "cast"), [("add", True), ("maximum", True), ("xor", False)])
def test_a_scatter_that_does_arithmetic_is_cast(op, cast):
    p = lower(parse_module(SCATTER.replace("OP", op)))
    made = DowncastIntegers(frozenset({"scatter"}))(p)
    verify_program(made, "downcast_integers")
    assert (made != p) == cast
    assert DowncastIntegers(frozenset({"dot"}))(p) == p
    if cast:
        (scatter,) = (i for i in made.main.instructions if i.op == "scatter")
        assert scatter.array.dtype == "f32" and scatter.bodies == ("isum.f32",)
        assert [f.name for f in eliminate_dead_code(made).functions] == ["isum.f32", "e"]


def test_what_rounds_is_known_to_be_an_op():
    assert OPS.keys() >= ROUNDED and ROUNDED - {"dot", "convolution"} <= ELEMENTWISE
