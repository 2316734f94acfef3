"""Kernels that XLA's CPU compiler is no judge of: numpy, and what is written here, are."""

from __future__ import annotations

import jax
import ml_dtypes
import numpy as np
import pytest

from hlo_frontend.hlo.parse import parse_module
from hlo_frontend.hlo.types import ELEMENT_TYPES
from hlo_frontend.hlo.verify import verify_module
from neff.errors import CompileError
from neff.lower import lower
from runtime.interpreter import interpret
from runtime.kernels.contraction import ALGORITHMS
from runtime.kernels.kind import UnsupportedInstructionError
from tests.runtime.conformance import SIGNED, UNSIGNED, edges_of


def run(text: str, *arrays: np.ndarray) -> list[np.ndarray]:
    """The outputs of a module's entry computation, `{body}` written without its frame."""
    module = parse_module(text if text.startswith("HloModule") else f"HloModule m\n{text}")
    verify_module(module)
    program = lower(module)
    with jax.enable_x64(True):
        return [np.asarray(o) for o in jax.jit(lambda *xs: interpret(program, xs))(*arrays)]


def one(instruction: str, *arrays: np.ndarray, called: str = "") -> np.ndarray:
    """The result of one instruction of parameters p0, p1, … of the arrays' types."""
    from hlo_frontend.hlo.literal import Literal

    lines = [f"p{n} = {Literal.of(a).shape} parameter({n})" for n, a in enumerate(arrays)]
    body = "\n".join([*lines, f"ROOT r = {instruction}"])
    return run(f"{called}\nENTRY e {{\n{body}\n}}", *arrays)[0]


COMPOSED = {
    "acos": (np.arccos, -1, 1),
    "acosh": (np.arccosh, 1, 9),
    "asin": (np.arcsin, -1, 1),
    "asinh": (np.arcsinh, -9, 9),
    "atanh": (np.arctanh, -0.99, 0.99),
    "cosh": (np.cosh, -3, 3),
    "sinh": (np.sinh, -3, 3),
}


@pytest.mark.parametrize("dtype", ["f64", "f32", "f16", "bf16", "f8e5m2", "c64"])
@pytest.mark.parametrize("op", COMPOSED)
def test_a_composed_op_computes_what_numpy_does(op, dtype):
    function, low, high = COMPOSED[op]
    x = np.linspace(low, high, 25).astype(ELEMENT_TYPES[dtype].numpy)
    made = one(f"{dtype}[25] {op}(p0)", x)
    wide = np.complex128 if dtype == "c64" else np.float64
    eps = float(ml_dtypes.finfo(np.float32 if dtype == "c64" else x.dtype).eps)
    # XLA's logarithms in f64 are within some sixty units of the last place.
    bound = (80 if dtype == "f64" else 4) * eps
    np.testing.assert_allclose(made.astype(wide), function(x.astype(wide)), rtol=bound, atol=bound)


@pytest.mark.parametrize("dtype", SIGNED + UNSIGNED)
def test_mulhi_is_the_upper_half_of_the_product(dtype):
    edges = edges_of(dtype)
    x, y = np.repeat(edges, 12), np.tile(edges, 12)
    made = one(f"{dtype}[144] mulhi(p0, p1)", x, y)
    bits = ELEMENT_TYPES[dtype].bits
    expected = [int(a) * int(b) >> bits for a, b in zip(x, y, strict=True)]
    assert [int(v) for v in made] == expected


@pytest.mark.parametrize(
    ("before", "after", "function"),
    [
        ("f32[2,3]{1,0}", "s32[3,2]{1,0}", lambda x: x.view(np.int32).reshape(3, 2)),
        ("f32[2,3]{0,1}", "f32[3,2]{1,0}", lambda x: x.T),
        ("f32[2,3]{1,0}", "f32[3,2]{0,1}", lambda x: x.T),
        ("f32[2,3]{1,0}", "u8[2,12]{1,0}", lambda x: x.view(np.uint8)),
        ("f32[2,4]{1,0}", "f64[4]{0}", lambda x: x.view(np.float64).reshape(4)),
        ("f32[]", "f32[1,1]{1,0}", lambda x: x.reshape(1, 1)),
    ],
)
def test_bitcast_reads_the_bytes_as_the_layouts_order_them(before, after, function):
    dims = [int(d) for d in before.split("[")[1].split("]")[0].split(",") if d]
    x = np.random.default_rng(0).standard_normal(dims).astype(np.float32)
    (made,) = run(f"ENTRY e {{\np = {before} parameter(0)\nROOT r = {after} bitcast(p)\n}}", x)
    np.testing.assert_array_equal(made, function(np.ascontiguousarray(x)))


X = np.arange(6, dtype=np.float32).reshape(2, 3)
ADD = "add { a = f32[] parameter(0) b = f32[] parameter(1) ROOT r = f32[] add(a, b) }"


@pytest.mark.parametrize(
    ("instruction", "kept"),
    [
        ("collective-broadcast(p0), replica_groups={{0}}", True),
        ("collective-broadcast(p0), replica_groups={}", True),
        ("collective-broadcast(p0), replica_groups={{1}}", False),
        ("collective-permute(p0), source_target_pairs={{0,0}}", True),
        ("collective-permute(p0), source_target_pairs={{1,2}}", False),
        ("all-reduce(p0), replica_groups={{0},{1}}, to_apply=add", True),
    ],
)
def test_a_replica_alone_gets_its_own_data_or_zeros(instruction, kept):
    made = one(f"f32[2,3] {instruction}", X, called=ADD)
    np.testing.assert_array_equal(made, X if kept else np.zeros_like(X))


@pytest.mark.parametrize(
    ("instruction", "message"),
    [
        ("f32[2,3] all-reduce(p0), replica_groups={{0,1}}, to_apply=add",
         r"all-reduce must have one participant, .* got replica_groups=\[\[0, 1\]\]"),
        ("f32[2,6] all-gather(p0), replica_groups={}, dimensions={1}",
         r"all-gather must keep the sizes of its operand, .* got \[2, 3\] and f32\[2,6\]"),
        ("f32[2,3] collective-permute(p0), source_target_pairs={{0,1}}",
         r"must not exchange data with replica 0, .* got source_target_pairs=\[\[0, 1\]\]"),
        ("f32[2,3] custom-call(p0), custom_call_target=\"Unheard\"",
         r"the target of a custom call must be one the runtime knows, got Unheard"),
    ],
)  # fmt: skip
def test_what_is_not_built_is_refused_with_the_instruction(instruction, message):
    with pytest.raises(UnsupportedInstructionError, match=message) as caught:
        one(instruction, X, called=ADD)
    assert "\n  in  %" in str(caught.value) and str(caught.value).count("\n  in  ") == 1


def test_a_size_that_changes_is_refused():
    with pytest.raises(CompileError, match=r"the size set must be 3, got 2\n  in  %\d+ = f32"):
        run("ENTRY e {\np = f32[2,3] parameter(0)\nn = s32[] constant(2)\n"
            "ROOT r = f32[2,3] set-dimension-size(p, n), dimensions={1}\n}", X)  # fmt: skip
    with pytest.raises(CompileError, match="must be 3, got one known at run time only"):
        one("f32[2,3] set-dimension-size(p0, p1), dimensions={1}", X, np.int32(3))


# The greatest relative error of a sum of 64 products by each algorithm.
ALGORITHM_ERROR = {
    "dot_f16_f16_f16": 3e-2,
    "dot_bf16_bf16_bf16": 3e-2,
    "dot_f16_f16_f32": 1e-3,
    "dot_bf16_bf16_f32": 8e-3,
    "dot_tf32_tf32_f32": 1e-3,
    "dot_bf16_bf16_f32_x3": 5e-5,
    "dot_tf32_tf32_f32_x3": 1e-6,
    "dot_bf16_bf16_f32_x6": 1e-6,
    "dot_bf16_bf16_f32_x9": 1e-6,
    "dot_f32_f32_f32": 1e-6,
    "dot_f64_f64_f64": 1e-6,
    "dot_any_f8_any_f8_f32": 1e-6,
    "dot_any_f8_any_f8_f32_fast_accum": 1e-6,
}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_dot_algorithm_is_as_exact_as_its_formats(algorithm):
    random = np.random.default_rng(0)
    x, y = (random.uniform(0.5, 1.5, (3, 64)).astype(np.float32) for _ in range(2))
    attributes = "lhs_contracting_dims={1}, rhs_contracting_dims={1}"
    made = one(f"f32[3,3] dot(p0, p1), {attributes}, algorithm={algorithm}", x, y)
    exact = x.astype(np.float64) @ y.astype(np.float64).T
    error = np.max(np.abs(made - exact) / exact)
    assert error <= ALGORITHM_ERROR[algorithm]
    if ALGORITHM_ERROR[algorithm] > 1e-6:
        assert error > ALGORITHM_ERROR[algorithm] / 1000
