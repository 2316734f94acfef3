"""Every kernel against XLA itself, on the same HLO: one case at least for each op."""

from __future__ import annotations

import re

import numpy as np
import pytest

from hlo_frontend.hlo.parse import parse_module
from hlo_frontend.hlo.proto import write_module
from neff.compile import compile_module
from runtime.core import NeuronCore
from runtime.kernels import KERNELS
from runtime.model import Model
from tests.xla_judge import run_hlo

HELPERS = """
sum_f32 { a = f32[] parameter(0) b = f32[] parameter(1) ROOT r = f32[] add(a, b) }
largest { a = f32[] parameter(0) b = f32[] parameter(1) ROOT r = f32[] maximum(a, b) }
mixed { a = f32[] parameter(0) b = f32[] parameter(1) s = f32[] subtract(b, a)
  h = f32[] constant(0.5) m = f32[] multiply(s, h) ROOT r = f32[] add(a, m) }
at_least { a = f32[] parameter(0) b = f32[] parameter(1)
  ROOT r = pred[] compare(a, b), direction=GE }
down { a = f32[] parameter(0) b = f32[] parameter(1) c = s32[] parameter(2) d = s32[] parameter(3)
  ROOT r = pred[] compare(a, b), direction=GT, type=TOTALORDER }
arg { v = f32[] parameter(0) i = s32[] parameter(1) w = f32[] parameter(2) j = s32[] parameter(3)
  m = pred[] compare(v, w), direction=GE  x = f32[] select(m, v, w)  k = s32[] select(m, i, j)
  ROOT r = (f32[], s32[]) tuple(x, k) }
both { a = f32[] parameter(0) b = f32[] parameter(1) c = f32[] parameter(2) d = f32[] parameter(3)
  x = f32[] add(a, c) y = f32[] maximum(b, d) ROOT r = (f32[], f32[]) tuple(x, y) }
below { s = (s32[], f32[4]) parameter(0) i = s32[] get-tuple-element(s), index=0
  n = s32[] constant(5) ROOT r = pred[] compare(i, n), direction=LT }
step { s = (s32[], f32[4]) parameter(0) i = s32[] get-tuple-element(s), index=0
  one = s32[] constant(1) x = f32[4] get-tuple-element(s), index=1
  j = s32[] add(i, one) y = f32[4] add(x, x)
  ROOT r = (s32[], f32[4]) tuple(j, y) }
twice { x = f32[4] parameter(0) ROOT r = f32[4] add(x, x) }
minus { x = f32[4] parameter(0) ROOT r = f32[4] negate(x) }
same { x = f32[4] parameter(0) ROOT r = f32[4] copy(x) }
"""
# Words of a case: the parameters' shapes, then the lines of the entry computation (`p0`, `p1`, …).
X, Y, Z = "f32[4]", "f32[4,6]", "f32[2,3,4]"
UNARY = (
    *("abs", "cbrt", "ceil", "cosine", "erf", "exponential", "exponential-minus-one", "floor"),
    *("logistic", "negate", "round-nearest-afz", "round-nearest-even", "sign", "sine", "tan"),
    "tanh",
)
# XLA's CPU compiler knows these by their expansion only: numpy is the judge.
JUDGED_BY_NUMPY = {"asinh": np.arcsinh, "cosh": np.cosh, "sinh": np.sinh}
POSITIVE = ("log", "log-plus-one", "rsqrt", "sqrt", "acosh")
BOUNDED = ("acos", "asin", "atanh")
BINARY = (
    "add",
    "atan2",
    "divide",
    "maximum",
    "minimum",
    "multiply",
    "power",
    "remainder",
    "subtract",
)
INTEGER = ("and", "or", "shift-left", "shift-right-arithmetic", "shift-right-logical", "xor")

CASES: dict[str, list[tuple[str, str]]] = {
    **{op: [(Y, f"f32[4,6] {op}(p0)")] for op in UNARY},
    **{op: [(Y, f"f32[4,6] {op}(a)\n a = f32[4,6] abs(p0)\n")] for op in POSITIVE},
    **{op: [(Y, f"f32[4,6] {op}(a)\n a = f32[4,6] tanh(p0)\n")] for op in BOUNDED},
    **{op: [(f"{Y} {Y}", f"f32[4,6] {op}(p0, p1)")] for op in BINARY},
    **{op: [("s32[9] s32[9]", f"s32[9] {op}(p0, p1)")] for op in INTEGER},
    "add-dependency": [(X, "f32[4] add-dependency(p0, t)\n t = token[] after-all()\n")],
    "after-all": [(X, "f32[4] add-dependency(p0, t)\n t = token[] after-all()\n")],
    "batch-norm-inference": [
        (
            "f32[2,3,4] f32[3] f32[3] f32[3] f32[3]",
            "f32[2,3,4] batch-norm-inference(p0, p1, p2, p3, v), epsilon=0.001, feature_index=1\n"
            " v = f32[3] exponential(p4)\n",
        )
    ],
    "batch-norm-training": [
        (
            "f32[2,3,4] f32[3] f32[3]",
            "(f32[2,3,4], f32[3], f32[3]) batch-norm-training(p0, p1, p2), epsilon=0.001, "
            "feature_index=1",
        )
    ],
    "bitcast-convert": [
        (X, "s32[4] bitcast-convert(p0)"),
        ("f32[3,2]", "f64[3] bitcast-convert(p0)"),
    ],
    "broadcast": [
        (X, "f32[2,4,3] broadcast(p0), dimensions={1}"),
        (Y, "f32[6,2,4] broadcast(p0), dimensions={2,0}"),
    ],
    "cholesky": [
        (
            "f32[3,3]",
            "f32[3,3] cholesky(m), lower=true\n"
            " d = f32[3,3] dot(p0, p0), lhs_contracting_dims={1}, rhs_contracting_dims={1}\n"
            " i = s32[3,3] iota(), iota_dimension=0\n j = s32[3,3] iota(), iota_dimension=1\n"
            " e = pred[3,3] compare(i, j), direction=EQ\n f = f32[3,3] convert(e)\n"
            " m = f32[3,3] add(d, f)\n",
        )
    ],
    "clamp": [
        ("f32[] f32[4] f32[]", "f32[4] clamp(p0, p1, p2)"),
        (f"{X} {X} {X}", "f32[4] clamp(p0, p1, p2)"),
    ],
    "compare": [
        (f"{X} {X}", f"pred[4] compare(p0, p1), direction={d}{t}")
        for d in ("EQ", "NE", "LT", "LE", "GT", "GE")
        for t in ("", ", type=TOTALORDER")
    ],
    "complex": [(f"{X} {X}", "c64[4] complex(p0, p1)")],
    "concatenate": [(f"{Y} f32[4,2]", "f32[4,8] concatenate(p0, p1), dimensions={1}")],
    "conditional": [
        (
            f"pred[] {X} {X}",
            "f32[4] conditional(p0, p1, p2), true_computation=twice, false_computation=minus",
        ),
        *(
            (
                f"{X} {X} {X}",
                f"f32[4] conditional(i, p0, p1, p2), branch_computations={{twice, minus, same}}\n"
                f" i = s32[] constant({index})\n",
            )
            for index in (-1, 0, 1, 2, 7)
        ),
    ],
    "constant": [("", "f32[3] constant({1, nan, -inf})"), ("", "bf16[2] constant({1.5, -0})")],
    "convert": [
        (X, f"{t}[4] convert(p0)")
        for t in ("s32", "s64", "f16", "bf16", "f64", "pred", "u8", "f8e4m3fn")
    ],
    "convolution": [
        (
            "f32[2,4,8,8] f32[6,2,3,3]",
            "f32[2,6,4,7] convolution(p0, p1), window={size=3x3 stride=2x1 pad=1_1x0_1 "
            "rhs_dilate=1x1}, dim_labels=bf01_oi01->bf01, feature_group_count=2",
        ),
        (
            "f32[2,5,3] f32[3,3,4]",
            "f32[2,11,4] convolution(p0, p1), window={size=3 pad=2_2 lhs_dilate=2 rhs_reversal=1}, "
            "dim_labels=b0f_0io->b0f",
        ),
    ],
    "copy": [(Y, "f32[4,6] copy(p0)")],
    "count-leading-zeros": [("s32[9]", "s32[9] count-leading-zeros(p0)")],
    "dot": [
        (f"{Y} {Y}", "f32[4,4] dot(p0, p1), lhs_contracting_dims={1}, rhs_contracting_dims={1}"),
        (
            "f32[2,3,4] f32[4,2,5]",
            "f32[2,3,5] dot(p0, p1), lhs_batch_dims={0}, lhs_contracting_dims={2}, "
            "rhs_batch_dims={1}, rhs_contracting_dims={0}",
        ),
        (
            "s32[2,3] s32[3,2]",
            "s32[2,2] dot(p0, p1), lhs_contracting_dims={1}, rhs_contracting_dims={0}",
        ),
    ],
    "dynamic-slice": [
        (f"{Y} s32[] s32[]", "f32[2,3] dynamic-slice(p0, p1, p2), dynamic_slice_sizes={2,3}")
    ],
    "dynamic-update-slice": [
        (f"{Y} f32[2,2] s32[] s32[]", "f32[4,6] dynamic-update-slice(p0, p1, p2, p3)")
    ],
    "fft": [
        ("f32[3,8]", "c64[3,5] fft(p0), fft_type=RFFT, fft_length={8}"),
        ("c64[4,4]", "c64[4,4] fft(p0), fft_type=IFFT, fft_length={4,4}"),
    ],
    "gather": [
        (
            f"{Y} s32[5,1]",
            "f32[5,6] gather(p0, p1), offset_dims={1}, collapsed_slice_dims={0}, "
            "start_index_map={0}, index_vector_dim=1, slice_sizes={1,6}",
        ),
        (
            f"{Y} s32[2,5]",
            "f32[5,2,3] gather(p0, p1), offset_dims={1,2}, collapsed_slice_dims={}, "
            "start_index_map={1,0}, index_vector_dim=0, slice_sizes={2,3}",
        ),
    ],
    "get-tuple-element": [
        (
            f"{X} {Y}",
            "f32[4,6] get-tuple-element(t), index=1\n t = (f32[4], f32[4,6]) tuple(p0, p1)\n",
        )
    ],
    "imag": [("c64[4]", "f32[4] imag(p0)")],
    "iota": [("", "s32[3,4] iota(), iota_dimension=1"), ("", "bf16[5] iota(), iota_dimension=0")],
    "is-finite": [
        (X, "pred[4] is-finite(d)\n z = f32[4] subtract(p0, p0)\n d = f32[4] divide(p0, z)\n")
    ],
    "map": [(f"{Y} {Y}", "f32[4,6] map(p0, p1), dimensions={0,1}, to_apply=mixed")],
    "not": [("pred[7]", "pred[7] not(p0)"), ("s8[5]", "s8[5] not(p0)")],
    "opt-barrier": [
        (f"{X} {Y}", "(f32[4], f32[4,6]) opt-barrier(t)\n t = (f32[4], f32[4,6]) tuple(p0, p1)\n")
    ],
    "pad": [(f"{Y} f32[]", "f32[6,10] pad(p0, p1), padding=1_1x-1_0_1")],
    "popcnt": [("s32[9]", "s32[9] popcnt(p0)")],
    "real": [("c64[4]", "f32[4] real(p0)")],
    "reduce": [
        (f"{Z} f32[]", "f32[3] reduce(p0, p1), dimensions={0,2}, to_apply=sum_f32"),
        (
            "f32[3,5] s32[3,5] f32[] s32[]",
            "(f32[3], s32[3]) reduce(p0, p1, p2, p3), dimensions={1}, to_apply=arg",
        ),
    ],
    "reduce-precision": [(Y, "f32[4,6] reduce-precision(p0), exponent_bits=5, mantissa_bits=3")],
    "reduce-window": [
        (
            "f32[1,2,8,8] f32[]",
            "f32[1,2,4,3] reduce-window(p0, p1), window={size=1x1x3x3 stride=1x1x2x2 "
            "pad=0_0x0_0x1_1x0_0}, to_apply=largest",
        ),
        (
            "f32[9] f32[]",
            "f32[9] reduce-window(p0, p1), window={size=3 pad=2_2 rhs_dilate=2}, to_apply=sum_f32",
        ),
    ],
    "reshape": [(Y, "f32[3,8] reshape(p0)")],
    "reverse": [(Y, "f32[4,6] reverse(p0), dimensions={0,1}")],
    "rng-bit-generator": [
        ("u64[2]", "(u64[2], u32[5]) rng-bit-generator(p0), algorithm=rng_three_fry"),
    ],
    "scatter": [
        (
            f"{Y} s32[5,1] f32[5,6]",
            f"f32[4,6] scatter(p0, p1, p2), update_window_dims={{1}}, inserted_window_dims={{0}}, "
            f"scatter_dims_to_operand_dims={{0}}, index_vector_dim=1, to_apply={body}",
        )
        for body in ("sum_f32", "largest", "mixed")
    ]
    + [
        (
            f"{X} {X} s32[3,1] f32[3] f32[3]",
            "(f32[4], f32[4]) scatter(p0, p1, p2, p3, p4), update_window_dims={}, "
            "inserted_window_dims={0}, scatter_dims_to_operand_dims={0}, index_vector_dim=1, "
            "to_apply=both",
        )
    ],
    "select": [
        (f"pred[4] {X} {X}", "f32[4] select(p0, p1, p2)"),
        (f"pred[] {X} {X}", "f32[4] select(p0, p1, p2)"),
    ],
    "select-and-scatter": [
        (
            "f32[1,1,6,6] f32[1,1,3,3] f32[]",
            "f32[1,1,6,6] select-and-scatter(p0, p1, p2), window={size=1x1x2x2 stride=1x1x2x2}, "
            "select=at_least, scatter=sum_f32",
        )
    ],
    "slice": [(Y, "f32[2,2] slice(p0), slice={[1:4:2], [0:6:3]}")],
    "sort": [
        (
            "f32[3,7] s32[3,7]",
            "(f32[3,7], s32[3,7]) sort(p0, p1), dimensions={1}, is_stable=true, to_apply=down",
        )
    ],
    "topk": [("f32[3,9]", "(f32[3,4], s32[3,4]) topk(p0), k=4, largest=true")],
    "transpose": [(Z, "f32[4,2,3] transpose(p0), dimensions={2,0,1}")],
    "triangular-solve": [
        (
            "f32[3,3] f32[3,2]",
            "f32[3,2] triangular-solve(m, p1), left_side=true, lower=true, transpose_a=TRANSPOSE\n"
            " m = f32[3,3] add(p0, b)\n b = f32[3,3] broadcast(c), dimensions={}\n"
            " c = f32[] constant(4)\n",
        )
    ],
    "tuple": [(f"{X} {Y}", "(f32[4], f32[4,6]) tuple(p0, p1)")],
    "while": [
        (
            X,
            "(s32[], f32[4]) while(s), condition=below, body=step\n z = s32[] constant(0)\n"
            " s = (s32[], f32[4]) tuple(z, p0)\n",
        )
    ],
}


def module_text(shapes: str, code: str) -> str:
    """The module of a case: the root first, then what it needs, last needed first."""
    root, *rest = code.strip().split("\n")
    parameters = [f"p{n} = {s} parameter({n})" for n, s in enumerate(shapes.split())]
    lines = sorted_by_need([line.strip() for line in rest])
    body = "\n".join([*parameters, *lines, f"ROOT root = {root}"])
    return f"HloModule case\n{helpers()}\nENTRY main {{\n{body}\n}}\n"


def helpers() -> str:
    """The helpers with names that are unique in the module, which XLA asks for."""
    made = []
    for name, body in re.findall(r"(\w+) \{(.*?)\}", HELPERS, re.DOTALL):
        for local in re.findall(r"(\w+) = ", body):
            body = re.sub(rf"\b{local}\b(?! *\[)", f"{name}.{local}", body)
        made.append(f"{name} {{{body}}}")
    return "\n".join(made)


def sorted_by_need(lines: list[str]) -> list[str]:
    ready: list[str] = []
    names = {line.split(" = ")[0] for line in lines}
    while lines:
        made = {line.split(" = ")[0] for line in ready}
        for line in lines:
            words = line.split("(", 1)[1].split(")")[0].replace(",", " ").split()
            if not (set(words) & names) - made:
                ready.append(line)
                lines = [other for other in lines if other is not line]
                break
    return ready


def values(shapes: str) -> list[np.ndarray]:
    """Random values; integers are small, so that some are out of bounds as indices."""
    random, made = np.random.default_rng(0), []
    for variable in parse_module(module_text(shapes, "pred[] constant(true)")).entry.instructions:
        if variable.opcode == "parameter":
            shape = variable.shape
            dtype = np.dtype(shape.numpy)
            if dtype.kind in "iu":
                array = random.integers(-2 if dtype.kind == "i" else 0, 7, shape.dims)
            elif dtype.kind == "b":
                array = random.integers(0, 2, shape.dims)
            elif dtype.kind == "c":
                array = random.standard_normal(shape.dims) + 1j * random.standard_normal(shape.dims)
            else:
                array = 3 * random.standard_normal(shape.dims)
            made.append(np.asarray(array).astype(dtype))
    return made


def test_every_kernel_has_a_case():
    assert CASES.keys() | JUDGED_BY_NUMPY.keys() == KERNELS.keys()


@pytest.mark.parametrize("op", JUDGED_BY_NUMPY)
def test_kernel_computes_what_numpy_does(op):
    module = parse_module(module_text(Y, f"f32[4,6] {op}(p0)"))
    (x,) = values(Y)
    model = Model(compile_module(module).program, NeuronCore(0, 1 << 24))
    made = model.execute([memoryview(x.reshape(-1).view(np.uint8))])[0]
    expected = JUDGED_BY_NUMPY[op](x.astype(np.float64))
    np.testing.assert_allclose(made.view(np.float32).reshape(x.shape), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("shapes", "code"),
    [pytest.param(*case, id=f"{op}-{n}") for op in CASES for n, case in enumerate(CASES[op])],
)
def test_kernel_computes_what_xla_does(shapes, code):
    module = parse_module(module_text(shapes, code))
    arrays = values(shapes)
    model = Model(compile_module(module).program, NeuronCore(0, 1 << 24))
    made = model.execute([memoryview(a.reshape(-1).view(np.uint8)) for a in arrays])
    expected = run_hlo(write_module(module), arrays)
    for raw, value in zip(made, expected, strict=True):
        result = raw.view(value.dtype).reshape(value.shape)
        if value.dtype.kind in "biu":
            np.testing.assert_array_equal(result, value)
        else:
            np.testing.assert_allclose(
                result.astype(np.complex128), value.astype(np.complex128), rtol=1e-5, atol=1e-5
            )
