"""Op classes of the numerics contract: HLO in f32, arguments, and what float64 makes of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Reference = Callable[..., np.ndarray]
Range = tuple[float, float]
_erf = np.vectorize(math.erf)


@dataclass(frozen=True, slots=True)
class OpClass:
    """One row: the entry computation's body, its arguments' shapes and range, the reference.

    A range of None is a standard normal distribution.
    """

    name: str
    body: str
    shapes: tuple[tuple[int, ...], ...]
    spread: tuple[Range | None, ...]
    reference: Reference

    def module(self) -> str:
        """The HLO text."""
        sizes = (",".join(map(str, s)) for s in self.shapes)
        inputs = (f" p{n} = f32[{s}] parameter({n})" for n, s in enumerate(sizes))
        entry = "\n".join((*inputs, *(f" {line}" for line in self.body.strip().split("; "))))
        return f"HloModule {self.name.split()[0]}\n{BODIES}\nENTRY main {{\n{entry}\n}}\n"

    def arguments(self) -> list[np.ndarray]:
        """The same f32 values each time."""
        random = np.random.default_rng(0)
        drawn = (
            random.standard_normal(s) if r is None else random.uniform(*r, s)
            for s, r in zip(self.shapes, self.spread, strict=True)
        )
        return [a.astype(np.float32) for a in drawn]


BODIES = "\n".join(
    f"{name} {{ {name}.a = f32[] parameter(0)\n {name}.b = f32[] parameter(1)\n"
    f" ROOT {name}.r = f32[] {op}({name}.a, {name}.b)\n}}"
    for name, op in (("sum", "add"), ("largest", "maximum"))
)
COUNT = 4096  # elements of an elementwise row


def _matmul(k: int) -> OpClass:
    body = "ROOT r = f32[16,16] dot(p0, p1), lhs_contracting_dims={1}, rhs_contracting_dims={0}"
    shapes = ((16, k), (k, 16))
    return OpClass(f"matmul K={k}", body, shapes, (None, None), lambda x, y: x @ y)


def _convolve(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (2, 3))
    return np.einsum("bchwij,ocij->bohw", windows, w)


def _unary(op: str, low: float, high: float, reference: Reference) -> OpClass:
    body = f"ROOT r = f32[{COUNT}] {op}(p0)"
    return OpClass(op, body, ((COUNT,),), ((low, high),), reference)


def _binary(op: str, first: Range, second: Range, reference: Reference) -> OpClass:
    body = f"ROOT r = f32[{COUNT}] {op}(p0, p1)"
    return OpClass(op, body, ((COUNT,), (COUNT,)), (first, second), reference)


def _sum(length: int) -> OpClass:
    body = "zero = f32[] constant(0); ROOT r = f32[8] reduce(p0, zero), dimensions={1}, "
    shapes = ((8, length),)
    return OpClass(f"sum of {length}", body + "to_apply=sum", shapes, ((0, 1),), lambda x: x.sum(1))


def _softmax(n: int) -> OpClass:
    body = (
        "low = f32[] constant(-inf); zero = f32[] constant(0); "
        "m = f32[8] reduce(p0, low), dimensions={1}, to_apply=largest; "
        f"mb = f32[8,{n}] broadcast(m), dimensions={{0}}; d = f32[8,{n}] subtract(p0, mb); "
        f"e = f32[8,{n}] exponential(d); "
        "s = f32[8] reduce(e, zero), dimensions={1}, to_apply=sum; "
        f"sb = f32[8,{n}] broadcast(s), dimensions={{0}}; ROOT r = f32[8,{n}] divide(e, sb)"
    )

    def reference(x: np.ndarray) -> np.ndarray:
        e = np.exp(x - x.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    return OpClass(f"softmax of {n}", body, ((8, n),), (None,), reference)


def _layer_norm(n: int) -> OpClass:
    body = (
        "zero = f32[] constant(0); "
        f"count = f32[] constant({n}); cb = f32[8] broadcast(count), dimensions={{}}; "
        "eps = f32[] constant(1e-05); eb = f32[8] broadcast(eps), dimensions={}; "
        "t = f32[8] reduce(p0, zero), dimensions={1}, to_apply=sum; m = f32[8] divide(t, cb); "
        f"mb = f32[8,{n}] broadcast(m), dimensions={{0}}; c = f32[8,{n}] subtract(p0, mb); "
        f"q = f32[8,{n}] multiply(c, c); "
        "u = f32[8] reduce(q, zero), dimensions={1}, to_apply=sum; v = f32[8] divide(u, cb); "
        "w = f32[8] add(v, eb); i = f32[8] rsqrt(w); "
        f"ib = f32[8,{n}] broadcast(i), dimensions={{0}}; ROOT r = f32[8,{n}] multiply(c, ib)"
    )

    def reference(x: np.ndarray) -> np.ndarray:
        return (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)

    return OpClass(f"layernorm of {n}", body, ((8, n),), ((-1, 3),), reference)


_N = f"f32[{COUNT}]"
_GELU = (
    f"h = f32[] constant(0.5); hb = {_N} broadcast(h), dimensions={{}}; o = f32[] constant(1); "
    f"ob = {_N} broadcast(o), dimensions={{}}; s = f32[] constant(0.70710678); "
    f"sb = {_N} broadcast(s), dimensions={{}}; x = {_N} multiply(p0, sb); e = {_N} erf(x); "
    f"a = {_N} add(e, ob); b = {_N} multiply(p0, hb); ROOT r = {_N} multiply(a, b)"
)

CLASSES: tuple[OpClass, ...] = (
    *map(_matmul, (64, 512, 4096)),
    OpClass(
        "convolution 3x3 of 64",
        "ROOT r = f32[1,8,10,10] convolution(p0, p1), window={size=3x3}, "
        "dim_labels=bf01_oi01->bf01",
        ((1, 64, 12, 12), (8, 64, 3, 3)),
        (None, None),
        _convolve,
    ),
    *map(_softmax, (128, 1024)),
    _layer_norm(768),
    OpClass(
        "gelu",
        _GELU,
        ((COUNT,),),
        ((-5, 5),),
        lambda x: 0.5 * x * (1 + _erf(x * 0.5**0.5)),
    ),
    *map(_sum, (64, 1024, 16384)),
    OpClass(
        "cumulative sum of 256",
        "zero = f32[] constant(0); ROOT r = f32[8,256] reduce-window(p0, zero), "
        "window={size=1x256 pad=0_0x255_0}, to_apply=sum",
        ((8, 256),),
        ((0, 1),),
        lambda x: x.cumsum(1),
    ),
    _unary("exponential", -4, 4, np.exp),
    _unary("exponential-minus-one", -1, 1, np.expm1),
    _unary("log", 0.01, 100, np.log),
    _unary("log-plus-one", -0.5, 2, np.log1p),
    _unary("logistic", -8, 8, lambda x: 1 / (1 + np.exp(-x))),
    _unary("tanh", -4, 4, np.tanh),
    _unary("erf", -3, 3, _erf),
    _unary("sqrt", 0, 100, np.sqrt),
    _unary("rsqrt", 0.01, 100, lambda x: 1 / np.sqrt(x)),
    _unary("sine", -3.14, 3.14, np.sin),
    _unary("cosine", -3.14, 3.14, np.cos),
    _binary("divide", (-4, 4), (0.5, 2), np.divide),
    _binary("power", (0.5, 2), (-3, 3), np.power),
    _binary("multiply", (-4, 4), (-4, 4), np.multiply),
)
