"""Every kernel, for every element type, against XLA itself on the same HLO."""

from __future__ import annotations

from collections import defaultdict

import jax
import ml_dtypes
import numpy as np
import pytest

from hlo_frontend.hlo.ops import OPS
from hlo_frontend.hlo.parse import parse_module
from hlo_frontend.hlo.proto import write_module
from hlo_frontend.hlo.types import ELEMENT_TYPES, TupleShape
from hlo_frontend.hlo.verify import verify_module
from neff.lower import lower
from runtime.interpreter import interpret
from tests.runtime.conformance import (
    NARROW,
    Case,
    arguments,
    in_whole_bytes,
    module_text,
    read_cases,
)
from tests.xla_judge import FAST_COMPILATION, run_hlo

CASES: dict[str, list[Case]] = defaultdict(list)
for _case in read_cases():
    CASES[_case.dtype].append(_case)

# Ops of the table that XLA's CPU compiler does not compile as they are: why, and who judges them.
JUDGED_ELSEWHERE = {
    **dict.fromkeys(
        ("acos", "acosh", "asin", "asinh", "atanh", "cosh", "sinh", "mulhi"),
        "known to XLA by their expansion only; numpy, in test_kernels",
    ),
    "bitcast": "made by XLA's own passes, for layouts; numpy, in test_kernels",
    "after-all": "a token is no result; used by add-dependency",
    "collective-broadcast": "not in XLA's CPU compiler; test_kernels",
    "custom-call": "by target: test_custom_calls",
    "parameter": "part of every case",
    "rng": "its state is the executable's; test_random",
    "rng-get-and-update-state": "its state is the executable's; test_random",
    "stochastic-convert": "to floats XLA has none; test_random",
}
# How far from XLA, in units of the last place of the result's largest magnitude, and why. All other
# ops must give the same bits (or values, for NaN and zeros).
TOLERANCE = {
    "cholesky": (8, "LAPACK, where XLA expands the op into a loop"),
    "triangular-solve": (8, "BLAS, where XLA expands the op into a loop"),
    **dict.fromkeys(
        (
            *("atan2", "batch-norm-grad", "batch-norm-inference", "batch-norm-training"),
            *("convolution", "cosine", "custom-call", "dot", "exponential"),
            *("exponential-minus-one", "fft", "log", "log-plus-one", "logistic", "power"),
            *("cbrt", "erf", "rsqrt", "sine", "sqrt", "tan", "tanh", "divide", "multiply", "abs"),
        ),
        (2, "XLA may keep more bits, or vectorize otherwise, next to other instructions"),
    ),
}


def _ours(text: str, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """What the kernels compute: no pass has touched the program."""
    program = lower(parse_module(text))
    with jax.enable_x64(True):
        call = jax.jit(lambda *xs: interpret(program, xs), compiler_options=FAST_COMPILATION)
        return [np.asarray(o) for o in call(*arrays)]


def _leaf_cases(cases: list[Case], text: str) -> list[Case]:
    """The case each array of the result comes from."""
    root = parse_module(text).entry.instructions[-1].shape
    assert isinstance(root, TupleShape)
    return [
        case
        for case, shape in zip(cases, root.elements, strict=True)
        for _ in range(len(shape.elements) if isinstance(shape, TupleShape) else 1)
    ]


def _assert_close(case: Case, made: np.ndarray, expected: np.ndarray) -> None:
    assert made.dtype == expected.dtype and made.shape == expected.shape, case.text
    if made.tobytes() == expected.tobytes():
        return
    kind = "exact" if expected.dtype.kind in "biu" else "float"
    units = TOLERANCE.get(case.op, (0, ""))[0]
    assert kind == "float" and expected.size, f"{case.text}: {made} is not {expected}"
    wide = np.complex128 if expected.dtype.kind == "c" else np.float64
    ours, theirs = made.astype(wide), expected.astype(wide)
    finite = np.abs(theirs[np.isfinite(theirs)])
    eps = float(ml_dtypes.finfo(expected.dtype).eps)
    # Elementwise results are held to their own magnitude, sums to the largest of the array.
    scale = np.abs(theirs) if finite.size and case.op in ELEMENTWISE else finite.max(initial=0.0)
    with np.errstate(all="ignore"):
        near = np.abs(ours - theirs) <= units * eps * scale
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs)) | near
    assert same.all(), f"{case.text}: {ours[~same][:4]} is not {theirs[~same][:4]}"


# Ops that XLA's CPU compiler takes on numbers of less than 8 bits.
PACKED = {
    *("abs", "add", "and", "clamp", "compare", "convert", "constant", "copy", "divide"),
    *("maximum", "minimum", "multiply", "negate", "not", "or", "power", "remainder", "select"),
    *("shift-left", "shift-right-arithmetic", "shift-right-logical", "sign", "subtract", "xor"),
    *("count-leading-zeros", "popcnt"),
}
ELEMENTWISE = {
    *("atan2", "cbrt", "cosine", "erf", "exponential", "exponential-minus-one", "log"),
    *("log-plus-one", "logistic", "power", "rsqrt", "sine", "sqrt", "tan", "tanh", "divide"),
}


def _theirs(cases: list[Case], arrays: list[np.ndarray]) -> list[np.ndarray]:
    """What XLA computes of a module of the cases."""
    text = module_text(cases)
    module = parse_module(text)
    verify_module(module)
    return run_hlo(write_module(module), arrays, FAST_COMPILATION)


def _values(cases: list[Case]) -> list[np.ndarray]:
    return [a for case in cases for a in arguments(case)]


@pytest.mark.parametrize("dtype", [t for t in CASES if t not in NARROW])
def test_kernels_compute_what_xla_does(dtype: str) -> None:
    cases = CASES[dtype]
    text, arrays = module_text(cases), _values(cases)
    made, expected = _ours(text, arrays), _theirs(cases, arrays)
    for case, ours, theirs in zip(_leaf_cases(cases, text), made, expected, strict=True):
        _assert_close(case, ours, theirs)


@pytest.mark.parametrize("dtype", NARROW)
def test_kernels_compute_on_few_bits_what_xla_does(dtype: str) -> None:
    """What XLA does not take in so few bits, it computes in 8, of which the low bits count."""
    cases = CASES[dtype]
    text, arrays = module_text(cases), _values(cases)
    made = iter(zip(_leaf_cases(cases, text), _ours(text, arrays), strict=True))
    packed = [c for c in cases if c.op in PACKED]
    whole = [in_whole_bytes(c) for c in cases if c.op not in PACKED]
    narrow, wide = ELEMENT_TYPES[dtype].numpy, ELEMENT_TYPES[NARROW[dtype]].numpy
    widened = [
        a.astype(wide) if a.dtype == narrow else a
        for c in cases
        if c.op not in PACKED
        for a in arguments(c)
    ]
    by_packed = iter(_theirs(packed, _values(packed)))
    by_whole = iter(_theirs(whole, widened))
    for case, ours in made:
        theirs = next(by_packed if case.op in PACKED else by_whole)
        _assert_close(case, ours, theirs.astype(ours.dtype))


def test_every_op_has_a_case_or_a_reason() -> None:
    used = {case.op for cases in CASES.values() for case in cases}
    modules = [parse_module(module_text(cases)) for cases in CASES.values()]
    needed = {i.opcode for module in modules for i in module.entry.instructions}
    assert used <= needed <= OPS.keys()
    assert needed | JUDGED_ELSEWHERE.keys() == OPS.keys()
    assert TOLERANCE.keys() <= used


def test_a_row_must_name_what_it_makes() -> None:
    from tests.runtime.conformance import _needed_first

    with pytest.raises(ValueError, match="a row names what it does not make"):
        _needed_first(["%a = f32[] copy(%b)", "%b = f32[] copy(%a)"])
