"""The verifier's messages: one broken module for each thing that must hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hlo_frontend.hlo.attributes import WindowDimension
from hlo_frontend.hlo.errors import HloError
from hlo_frontend.hlo.literal import Literal
from hlo_frontend.hlo.module import Alias, HloComputation, HloInstruction, HloModule, attributes
from hlo_frontend.hlo.ops import OPS, infer_shape
from hlo_frontend.hlo.parse import parse_module
from hlo_frontend.hlo.types import Shape
from hlo_frontend.hlo.verify import verify_module

CALLED = """
add { a = f32[] parameter(0)
  b = f32[] parameter(1)
  ROOT sum = f32[] add(a, b) }
less { a = f32[] parameter(0)
  b = f32[] parameter(1)
  ROOT lt = pred[] compare(a, b), direction=LT }
negate { a = f32[2] parameter(0)
  ROOT n = f32[2] negate(a) }
"""
PARAMETERS = """
  x = f32[2,3] parameter(0)
  y = f32[3,2] parameter(1)
  v = f32[2] parameter(2)
  s = f32[] parameter(3)
  i = s32[] parameter(4)
  p = pred[] parameter(5)
  z = c64[2] parameter(6)
  n = s32[2] parameter(7)
  t = (f32[2], s32[]) parameter(8)
  u = u32[2] parameter(9)
  im = f32[1,2,4,4] parameter(10)
  k = f32[4,2,3,3] parameter(11)
  sq = f32[3,3] parameter(12)
  ix = s32[4,1] parameter(13)
"""


def module_with(instruction: str) -> HloModule:
    """A module whose entry ends in an instruction, written without its name."""
    return parse_module(
        f"HloModule m\n{CALLED}ENTRY main {{{PARAMETERS}  ROOT result = {instruction}\n}}\n"
    )


# An instruction; what the verifier says of it.
BROKEN = [
    ("f32[2] add(v, s)", "add: operands must have the same shape, got f32[2], f32[]"),
    ("f32[3] negate(v)", "negate: shape must be f32[2], got f32[3]"),
    ("f32[2] negate(v, v)", "negate: there must be 1 operand, got 2"),
    ("f32[2] add(v)", "add: there must be 2 operands, got 1"),
    ("f32[2] concatenate(), dimensions={0}",
     "concatenate: there must be at least 1 operand, got 0"),
    ("f32[2] reduce(x, s, s), dimensions={1}, to_apply=add",
     "reduce: there must be an even number of operands from 2 on, got 3"),
    ("f32[2] reduce(x, s), dimensions={1}",
     "reduce: there must be 1 called computation, got 0"),
    ("s32[2] exponential(n)",
     "exponential: element type must be complex or float, got s32[2]"),
    ("f32[2] not(v)", "not: element type must be pred or signed or unsigned, got f32[2]"),
    ("f32[2] negate(t)", "negate: operand must be an array, got (f32[2], s32[])"),
    ("f32[2] convert(z)",
     "convert: a complex operand must stay complex (take real first), got c64[2], f32[2]"),
    ("pred[2] compare(v, n), direction=LT",
     "compare: operands must have the same shape, got f32[2], s32[2]"),
    ("pred[2] compare(v, v), direction=LT, type=SIGNED",
     "compare: type for f32 must be FLOAT or TOTALORDER, got SIGNED"),
    ("pred[2] compare(z, z), direction=LT",
     "compare: direction for complex operands must be EQ or NE, got LT"),
    ("pred[2] compare(v, v), direction=LESS",
     "compare: direction must be one of EQ, NE, GE, GT, LE, LT, got 'LESS'"),
    ("f32[2] select(v, v, v)", "select: element type must be pred, got f32[2]"),
    ("f32[2] select(p, v, s)", "select: both values must have the same shape, got f32[2], f32[]"),
    ("f32[2] clamp(v, s, v)",
     "clamp: bounds must be scalars or have the sizes of the operand, got f32[2], f32[], f32[2]"),
    ("c64[2] complex(n, n)", "complex: element type must be f32 or f64, got s32[2]"),
    ("bf16[2] stochastic-convert(v, i)",
     "stochastic-convert: element type must be unsigned, got s32[]"),
    ("f32[2,3] iota(), iota_dimension=2",
     "iota: iota_dimension must be at least 0 and below 2, got 2"),
    ("f32[2] rng(i, s), distribution=rng_uniform",
     "rng: parameter of the distribution must be f32[], got s32[]"),
    ("u32[2] rng-bit-generator(u), algorithm=rng_default",
     "rng-bit-generator: result must be a tuple of the next state and the bits, got u32[2]"),
    ("s16[2] bitcast(v)",
     "bitcast: operand and result must take the same number of bits, got f32[2], s16[2]"),
    ("f64[2] bitcast-convert(x)",
     "bitcast-convert: last dimension of the operand must be 2, got f32[2,3]"),
    ("f32[5] reshape(x)",
     "reshape: operand and result must have as many elements, got f32[2,3], f32[5]"),
    ("s32[6] reshape(x)", "reshape: element types must be equal, got f32[2,3], s32[6]"),
    ("f32[3,3] broadcast(v), dimensions={0}",
     "broadcast: sizes of the operand must be those of result dimensions [0], "
     "got f32[2], f32[3,3]"),
    ("f32[2,3] broadcast(v), dimensions={}",
     "broadcast: dimensions must be given for each of the 1 dimensions, got 0"),
    ("f32[3,2] transpose(x), dimensions={1,1}",
     "transpose: dimensions must be distinct, at least 0 and below 2, got [1, 1]"),
    ("f32[1,3] slice(x), slice={[1:3], [0:3]}",
     "slice: slice of a dimension of 2 must have 0 <= start <= limit <= 2 and a stride of at "
     "least 1, got [1:3:1]"),
    ("f32[2,3] pad(x, i), padding=0_0x0_0", "pad: padding value must be f32[], got s32[]"),
    ("f32[2,3] pad(x, s), padding=-2_-1x0_0",
     "pad: padding must leave no negative size, got -2_-1_0 for f32[2,3]"),
    ("f32[4,3] concatenate(x, y), dimensions={0}",
     "concatenate: sizes of operands must be equal except in dimension 0, got f32[2,3], f32[3,2]"),
    ("f32[1,1] dynamic-slice(x, i), dynamic_slice_sizes={1,1}",
     "dynamic-slice: a scalar start index must be given for each of the 2 dimensions, got 1"),
    ("f32[3,1] dynamic-slice(x, i, i), dynamic_slice_sizes={3,1}",
     "dynamic-slice: dynamic_slice_sizes must be at least 0 and at most the sizes of f32[2,3], "
     "got [3, 1]"),
    ("f32[2,3] dynamic-update-slice(x, y, i, i)",
     "dynamic-update-slice: sizes of the update must be at least 0 and at most the sizes of "
     "f32[2,3], got [3, 2]"),
    ("f32[4,3] gather(x, ix), offset_dims={}, collapsed_slice_dims={0}, start_index_map={0}, "
     "index_vector_dim=1, slice_sizes={1,3}",
     "gather: offset_dims must name 1 dimensions, got []"),
    ("f32[4,3] gather(x, ix), offset_dims={1}, collapsed_slice_dims={0}, start_index_map={0,1}, "
     "index_vector_dim=1, slice_sizes={1,3}",
     "gather: start_index_map must name a dimension for each of the 1 indices, got 2"),
    ("f32[4,3] gather(x, ix), offset_dims={1}, collapsed_slice_dims={0}, start_index_map={0}, "
     "index_vector_dim=1, slice_sizes={2,3}",
     "gather: slice_sizes of collapsed dimensions must be at most 1, got [2, 3]"),
    ("f32[2,3] scatter(x, ix, y), update_window_dims={1}, inserted_window_dims={0}, "
     "scatter_dims_to_operand_dims={0}, index_vector_dim=1, to_apply=add",
     "scatter: updates must have the sizes of the indices, got f32[3,2], s32[4,1]"),
    ("f32[2,2] dot(x, y), lhs_contracting_dims={0}, rhs_contracting_dims={0}",
     "dot: contracted sizes must be equal, got f32[2,3] at [0], f32[3,2] at [0]"),
    ("s32[2,2] dot(x, y), lhs_contracting_dims={1}, rhs_contracting_dims={0}",
     "dot: operands and result must be of one class of element types, "
     "got f32[2,3], f32[3,2], s32[2,2]"),
    ("f32[1,4,2,2] convolution(im, k), window={size=3x2}, dim_labels=bf01_oi01->bf01",
     "convolution: window sizes must be those of the kernel, got [3, 2], f32[4,2,3,3]"),
    ("f32[1,4,2,2] convolution(im, k), window={size=3x3}, dim_labels=bf01_io01->bf01",
     "convolution: features of the image must be those of the kernel times feature_group_count, "
     "got 2, 4 * 1"),
    ("f32[2] reduce(x, i), dimensions={1}, to_apply=add",
     "reduce: initial value must be f32[], got s32[]"),
    ("f32[2] reduce(x, s), dimensions={1}, to_apply=less",
     "reduce: to_apply must be (f32[], f32[]) -> f32[], got (f32[], f32[]) -> pred[]"),
    ("f32[2] reduce(x, s), dimensions={2}, to_apply=add",
     "reduce: dimensions must be distinct, at least 0 and below 2, got [2]"),
    ("f32[2,3] map(x), dimensions={0}, to_apply=add",
     "map: dimensions must be all 2 in order, got [0]"),
    ("f32[2,3] reduce-window(x, s), window={size=1}, to_apply=add",
     "reduce-window: window must have 2 dimensions, got 1"),
    ("f32[2,3] select-and-scatter(x, x, s), window={size=2x1 stride=2x1}, select=less, "
     "scatter=add", "select-and-scatter: source must be f32[1,3], got f32[2,3]"),
    ("f32[2,3] sort(x), dimensions={1}, to_apply=add",
     "sort: to_apply must be (f32[], f32[]) -> pred[], got (f32[], f32[]) -> f32[]"),
    ("(f32[2,4], s32[2,4]) topk(x), k=4, largest=true",
     "topk: k must be at least 0 and at most the last size of the operand, got 4, f32[2,3]"),
    ("f32[2,3] batch-norm-inference(x, v, v, v, v), epsilon=0.1, feature_index=1",
     "batch-norm-inference: scale, offset, mean and variance must be f32[3], "
     "got f32[2], f32[2], f32[2], f32[2]"),
    ("c64[2,3] fft(x), fft_type=RFFT, fft_length={4}",
     "fft: last sizes of the operand must be [4], got f32[2,3]"),
    ("f32[2,3] cholesky(x)",
     "cholesky: operand must be square in its last two dimensions, got f32[2,3]"),
    ("f32[2,3] triangular-solve(sq, x), left_side=true, transpose_a=NO_TRANSPOSE",
     "triangular-solve: dimension -2 of the second operand must be 3, got f32[2,3]"),
    ("f32[2] get-tuple-element(v), index=0",
     "get-tuple-element: operand must be a tuple, got f32[2]"),
    ("f32[2] get-tuple-element(t), index=2",
     "get-tuple-element: index must be at least 0 and below 2, got 2"),
    ("f32[2] while(v), condition=negate, body=negate",
     "while: condition must be (f32[2]) -> pred[], got (f32[2]) -> f32[2]"),
    ("f32[2] conditional(s, v, v), branch_computations={negate, negate}",
     "conditional: the operand that chooses must be pred[] or s32[], got f32[]"),
    ("f32[2] conditional(p, v, v, v), branch_computations={negate, negate, negate}",
     "conditional: a choice by pred[] must have 2 branches, got 3"),
    ("f32[2] conditional(i, v, s), branch_computations={negate, negate}",
     "conditional: branch 1 must be (f32[]) -> f32[2], got (f32[2]) -> f32[2]"),
    ("f32[2] call(s), to_apply=negate",
     "call: called computation must be (f32[]) -> f32[2], got (f32[2]) -> f32[2]"),
    ("token[] after-all(v)", "after-all: operands must be tokens, got f32[2]"),
    ("f32[2] add-dependency(v, v)", "add-dependency: second operand must be a token, got f32[2]"),
    ("f32[6,3] all-gather(x), replica_groups={{0,1}}, dimensions={0}",
     "all-gather: shape must be f32[4,3], got f32[6,3]"),
    ("f32[1,3] reduce-scatter(x), replica_groups={{0,1,2}}, dimensions={0}, to_apply=add",
     "reduce-scatter: dimension 0 must be a multiple of 3, got f32[2,3]"),
    ("f32[2] all-reduce(v), replica_groups={{0,1},{2}}, to_apply=less",
     "all-reduce: to_apply must be (f32[], f32[]) -> f32[], got (f32[], f32[]) -> pred[]"),
    ("(f32[2], f32[2]) all-to-all(v, v), replica_groups={{0,1},{2}}",
     "all-to-all: replica_groups must be of one size, got [[0, 1], [2]]"),
    ("f32[2] set-dimension-size(v, s), dimensions={0}",
     "set-dimension-size: size must be s32[], got f32[]"),
]  # fmt: skip


@pytest.mark.parametrize(("instruction", "message"), BROKEN)
def test_a_broken_instruction(instruction: str, message: str) -> None:
    with pytest.raises(HloError) as caught:
        verify_module(module_with(instruction))
    said, quoted = str(caught.value).split("\n", 1)
    assert said == message
    assert quoted.startswith("  in  %result = ")


def test_the_instruction_is_quoted_as_printed_and_with_its_source() -> None:
    text = (
        "f32[2,2] dot(x, y), lhs_contracting_dims={0}, rhs_contracting_dims={0}, "
        'metadata={op_type="aten::mm" source_file="model.py" source_line=41}'
    )
    with pytest.raises(HloError) as caught:
        verify_module(module_with(text))
    assert str(caught.value) == (
        "dot: contracted sizes must be equal, got f32[2,3] at [0], f32[3,2] at [0]\n"
        "  in  %result = f32[2,2]{1,0} dot(f32[2,3]{1,0} %x, f32[3,2]{1,0} %y), "
        "lhs_contracting_dims={0}, rhs_contracting_dims={0}\n"
        "  from model.py:41"
    )


V = Shape("f32", (2,))
P = HloInstruction("p", "parameter", V, attrs=attributes(number=0))
N = HloInstruction("n", "negate", V, (0,))


def of(*instructions: HloInstruction, **changes: Any) -> HloModule:
    main = HloComputation("main", instructions, len(instructions) - 1)
    return replace(HloModule("m", (main,), "main"), **changes)


def one_call(name: str, callee: str) -> HloComputation:
    call = HloInstruction("c", "call", V, (0,), calls=(callee,))
    return HloComputation(name, (P, call), 1)


# A module; the first line of what the verifier says of it.
MALFORMED = [
    (of(P, replace(N, opcode="nagate")),
     f"hlo: opcode must be one of the {len(OPS)} supported, got 'nagate'"),
    (of(P, replace(N, operands=(1,))),
     "negate: operands must be earlier instructions, got position 1 at 1"),
    (of(P, replace(N, operands=(-1,))),
     "negate: operands must be earlier instructions, got position -1 at 1"),
    (of(P, replace(N, name="p")),
     "hlo: instruction names of main must be unique and not empty, got 'p'"),
    (of(P, replace(N, name="")),
     "hlo: instruction names of main must be unique and not empty, got ''"),
    (of(P, replace(P, name="q")), "hlo: parameters of main must be numbered 0 to 1, got 0, 0"),
    (of(replace(P, attrs=attributes(number=1)), N),
     "hlo: parameters of main must be numbered 0 to 0, got 1"),
    (of(replace(P, attrs=attributes(number=-1)), N),
     "parameter: number must be at least 0, got -1"),
    (of(replace(P, attrs=())), "parameter: attributes must include number, got none"),
    (of(replace(P, attrs=attributes(number="0"))),
     "parameter: number must be an integer, got '0'"),
    (of(P, replace(N, attrs=attributes(k=3))),
     "negate: attributes must be among sharding, frontend_attributes, backend_config, got k"),
    (of(replace(P, attrs=(("number", 0), ("backend_config", b"")))),
     "parameter: attributes must be sorted by name, each once, got number, backend_config"),
    (of(HloInstruction("c", "constant", V, attrs=attributes(literal=Literal.of(np.zeros(3))))),
     "constant: shape must be f64[3], got f32[2]"),
    (of(P, replace(N, opcode="reduce-window", operands=(0, 0), calls=("main",),
                   attrs=attributes(window=(WindowDimension(1),)))),
     "hlo: a computation must not call itself, got %main"),
    (of(P, computations=(HloComputation("main", (), 0),)),
     "hlo: root of main must be one of its 0 instructions, got position 0"),
    (of(P, entry_name="start"), "hlo: entry must be a computation of the module, got start"),
    (of(P, computations=(one_call("main", "other"),)),
     "hlo: a called computation must be in the module, got %other"),
    (of(P, computations=(one_call("a", "b"), one_call("b", "a"), one_call("main", "a"))),
     "hlo: a computation must not call itself, got %b"),
    (of(P, computations=(one_call("main", "a"), HloComputation("a", (P,), 0))),
     "hlo: computations must stand callees first, as a main; got main a"),
    (of(P, computations=(HloComputation("main", (P,), 0), HloComputation("main", (P,), 0))),
     "hlo: computation names of m must be unique and not empty, got 'main'"),
    (of(P, aliases=(Alias((0,), 0),)), "hlo: an aliased output must be part of f32[2], got {0}"),
    (of(P, frontend_attributes=(("a b", "c"),)),
     "hlo: frontend_attributes must be a tuple of (name, value) strings, got (('a b', 'c'),)"),
    (of(P, aliases=(Alias((), 1),)), "hlo: an aliased parameter must be one of 1, got 1"),
    (of(P, aliases=(Alias((), 0), Alias((), 0))),
     "hlo: an output must alias one parameter, got two for {}"),
    (of(P, HloInstruction("r", "reshape", Shape("f32", (2, 1)), (0,)), aliases=(Alias((), 0),)),
     "hlo: output {} and parameter 0 must have the same shape, got f32[2,1], f32[2]"),
]  # fmt: skip


@pytest.mark.parametrize(("module", "message"), MALFORMED)
def test_a_malformed_module(module: HloModule, message: str) -> None:
    with pytest.raises(HloError) as caught:
        verify_module(module)
    assert str(caught.value).split("\n")[0] == message


def test_infer_shape_serves_a_builder() -> None:
    dot = module_with("f32[2,2] dot(x, y), lhs_contracting_dims={1}, rhs_contracting_dims={0}")
    result = dot.entry.instructions[-1]
    assert infer_shape(
        replace(result, shape=Shape("f32")), (Shape("f32", (7, 3)), Shape("f32", (3, 5)))
    ) == Shape("f32", (7, 5))
