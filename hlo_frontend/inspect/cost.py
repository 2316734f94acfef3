"""What every HLO opcode costs: its floating-point operations, the bytes it reads and writes.

The conventions are those of the usual counters: a multiply-add is two operations, an arithmetic
function of one element is one, edge padding of a convolution counts as data. Operations on
integers and predicates count only in dot and convolution, where the PE array does them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hlo_frontend.hlo.ops import OPS
from hlo_frontend.hlo.types import AnyShape, Shape, TupleShape


@dataclass(frozen=True, slots=True)
class Cost:
    """Floating-point operations, bytes read and written; `note` says what is not counted."""

    flops: int = 0
    read: int = 0
    written: int = 0
    note: str = ""

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.flops + other.flops,
            self.read + other.read,
            self.written + other.written,
            self.note or other.note,
        )


@dataclass(frozen=True, slots=True)
class Use:
    """One instruction as the rules see it; `bodies` are the costs of one call of each function."""

    op: str
    shape: AnyShape
    operands: tuple[AnyShape, ...]
    attrs: Mapping[str, Any]
    bodies: tuple[Cost, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """Operations of a use, bytes read of each operand, bytes written, and what is left out."""

    flops: Callable[[Use], int]
    reads: Callable[[Use], tuple[int, ...]]
    writes: Callable[[Use], int]
    note: Callable[[Use], str]


def cost_of(use: Use) -> Cost:
    """The cost of one instruction, by the table."""
    rule = COSTS[use.op]
    return Cost(rule.flops(use), sum(rule.reads(use)), rule.writes(use), rule.note(use))


def _array(shape: AnyShape) -> Shape:
    """The array of a shape: its first leaf where it is a tuple."""
    while isinstance(shape, TupleShape):
        if not shape.elements:
            return Shape("pred", (0,))
        shape = shape.elements[0]
    return shape if isinstance(shape, Shape) else Shape("pred", (0,))


def _kind(use: Use) -> str:
    return _array(use.operands[0] if use.operands else use.shape).element.kind


# Real operations in one complex operation.
_COMPLEX = {"multiply": 6, "divide": 11}
_COMPLEX_MULTIPLY_ADD = 4  # times the two of a real one


def _scale(use: Use) -> int:
    """Floating-point operations per element of an arithmetic instruction, by its element type."""
    kind = _kind(use)
    return {"float": 1, "complex": _COMPLEX.get(use.op, 2)}.get(kind, 0)


def _none(use: Use) -> int:
    return 0


def _no_note(use: Use) -> str:
    return ""


def _per_element(operations: int = 1) -> Callable[[Use], int]:
    return lambda use: operations * _scale(use) * _array(use.shape).size


def _per_operand_element(operations: int) -> Callable[[Use], int]:
    return lambda use: operations * _scale(use) * _array(use.operands[0]).size


def _multiply_adds(use: Use, count: int) -> int:
    return 2 * count * (_COMPLEX_MULTIPLY_ADD if _kind(use) == "complex" else 1)


def _dot(use: Use) -> int:
    lhs = _array(use.operands[0])
    contracted = (lhs.dims[d] for d in use.attrs["dot_dimension_numbers"].lhs_contracting)
    return _multiply_adds(use, _array(use.shape).size * math.prod(contracted))


def _convolution(use: Use) -> int:
    """Products of every result element; none for the holes that base dilation makes."""
    numbers, out = use.attrs["dim_labels"], _array(use.shape)
    image, kernel = (_array(o) for o in use.operands)
    spatial = zip(use.attrs["window"], numbers.output_spatial, numbers.input_spatial, strict=True)
    products = math.prod(_window_products(w, out.dims[o], image.dims[i]) for w, o, i in spatial)
    channels = out.dims[numbers.output_batch] * out.dims[numbers.output_feature]
    return _multiply_adds(use, products * channels * kernel.dims[numbers.kernel_input_feature])


def _window_products(window: Any, out: int, image: int) -> int:
    """How often, along one dimension, a kernel element meets data."""
    if window.base_dilation == 1:
        return int(out * window.size)
    span = (image - 1) * window.base_dilation
    starts = (o * window.stride - window.pad_low for o in range(out))
    places = (s + k * window.window_dilation for s in starts for k in range(window.size))
    return sum(0 <= p <= span and p % window.base_dilation == 0 for p in places)


def _body(use: Use) -> int:
    return sum(b.flops for b in use.bodies)


def _reduce(use: Use) -> int:
    return (_array(use.operands[0]).size - _array(use.shape).size) * _body(use)


def _reduce_window(use: Use) -> int:
    window = math.prod(w.size for w in use.attrs["window"])
    return _array(use.shape).size * (window - 1) * _body(use)


def _select_and_scatter(use: Use) -> int:
    window = math.prod(w.size for w in use.attrs["window"])
    select, scatter = (b.flops for b in use.bodies)
    return _array(use.operands[1]).size * ((window - 1) * select + scatter)


def _scatter(use: Use) -> int:
    updates = use.operands[(len(use.operands) + 1) // 2]
    return _array(updates).size * _body(use)


def _per_result(use: Use) -> int:
    return _array(use.shape).size * _body(use)


def _all_operands(use: Use) -> int:
    return sum(_array(o).size for o in use.operands) * _body(use)


def _sort(use: Use) -> int:
    """One comparison per element and level of a merge sort."""
    shape = _array(use.operands[0])
    (dimension,) = use.attrs["dimensions"]
    levels = math.ceil(math.log2(max(shape.dims[dimension], 1)))
    return shape.size * levels * _body(use)


def _topk(use: Use) -> int:
    return _array(use.operands[0]).size * math.ceil(math.log2(use.attrs["k"] + 1)) * _scale(use)


def _fft(use: Use) -> int:
    """5 n log2 n for each complex transform of n elements, half of it where one side is real."""
    lengths = use.attrs["fft_length"]
    n = math.prod(lengths)
    shapes = (_array(use.operands[0]), _array(use.shape))
    real = any(s.element.kind == "float" for s in shapes)
    rank = shapes[0].rank - len(lengths)
    transforms = math.prod(shapes[0].dims[:rank])
    return round(transforms * (2.5 if real else 5) * n * math.log2(max(n, 1)))


def _cholesky(use: Use) -> int:
    shape = _array(use.shape)
    n = shape.dims[-1]
    return _multiply_adds(use, math.prod(shape.dims[:-2]) * n**3) // 6


def _triangular_solve(use: Use) -> int:
    n = _array(use.operands[0]).dims[-1]
    return _multiply_adds(use, _array(use.shape).size * n) // 2


def _most(use: Use) -> int:
    return max((b.flops for b in use.bodies), default=0)


def _all_bytes(use: Use) -> tuple[int, ...]:
    return tuple(o.bytes for o in use.operands)


def _result_bytes(use: Use) -> int:
    return use.shape.bytes


def _no_bytes(use: Use) -> tuple[int, ...]:
    return (0,) * len(use.operands)


def _picked(use: Use) -> tuple[int, ...]:
    """Of the first operand only what becomes the result; indices in full."""
    return (min(use.shape.bytes, use.operands[0].bytes), *(o.bytes for o in use.operands[1:]))


def _around_update(use: Use) -> tuple[int, ...]:
    """The updated operands stay where they are: only updates and indices are read."""
    held = len(use.operands) // 2 if use.op == "scatter" else 1
    held = max(held, 1)
    return (*(0 for _ in use.operands[:held]), *(o.bytes for o in use.operands[held:]))


def _update_bytes(use: Use) -> int:
    if use.op == "dynamic-update-slice":
        return use.operands[1].bytes
    return sum(o.bytes for o in use.operands[(len(use.operands) + 1) // 2 :])


def _of_bodies(use: Use) -> tuple[int, ...]:
    """What the functions called read, told of the first operand."""
    read = sum(b.read for b in use.bodies)
    return (read, *(0 for _ in use.operands[1:])) if use.operands else ()


def _written_by_bodies(use: Use) -> int:
    return sum(b.written for b in use.bodies)


def _most_read(use: Use) -> tuple[int, ...]:
    read = max((b.read for b in use.bodies), default=0)
    return (read, *(0 for _ in use.operands[1:]))


def _most_written(use: Use) -> int:
    return max((b.written for b in use.bodies), default=0)


def _custom_note(use: Use) -> str:
    return f"operations of custom call {use.attrs['custom_call_target']} are not counted"


_Flops = Callable[[Use], int]
COSTS: dict[str, Rule] = {}


def _define(
    names: str,
    flops: _Flops = _none,
    reads: Callable[[Use], tuple[int, ...]] = _all_bytes,
    writes: Callable[[Use], int] = _result_bytes,
    note: Callable[[Use], str] = _no_note,
) -> None:
    for name in names.split():
        assert name not in COSTS, name
        COSTS[name] = Rule(flops, reads, writes, note)


def _free(names: str) -> None:
    """Names for values that are there already."""
    _define(names, _none, _no_bytes, _none)


_define(
    "abs acos acosh add asin asinh atan2 atanh cbrt ceil compare cosh cosine divide erf "
    "exponential exponential-minus-one floor log log-plus-one logistic maximum minimum multiply "
    "negate power remainder round-nearest-afz round-nearest-even rsqrt sign sine sinh sqrt "
    "subtract tan tanh",
    _per_element(),
)
_define(
    "clamp", lambda use: 2 * _array(use.shape).size * (_array(use.shape).element.kind == "float")
)
_define(
    "and complex convert count-leading-zeros imag is-finite mulhi not or popcnt real "
    "reduce-precision select shift-left shift-right-arithmetic shift-right-logical "
    "stochastic-convert xor"
)
_define("dot", _dot)
_define("convolution", _convolution)
_define("reduce", _reduce)
_define("reduce-window", _reduce_window)
_define("select-and-scatter", _select_and_scatter)
_define("map", _per_result)
_define("sort", _sort)
_define("topk", _topk)
_define("scatter", _scatter, _around_update, _update_bytes)
_define("fft", _fft)
_define("cholesky", _cholesky)
_define("triangular-solve", _triangular_solve)
_define("batch-norm-inference", _per_operand_element(4))
_define("batch-norm-training", _per_operand_element(8))  # mean 1, variance 3, normalizing 4
_define("batch-norm-grad", _per_operand_element(11))  # two sums 5, the gradient 6
_define(
    "bitcast-convert broadcast concatenate copy iota pad reverse rng rng-bit-generator "
    "rng-get-and-update-state set-dimension-size transpose"
)
_define("slice dynamic-slice gather", _none, _picked)
_define("dynamic-update-slice", _none, _around_update, _update_bytes)
_free(
    "add-dependency after-all bitcast constant domain get-dimension-size get-tuple-element "
    "opt-barrier parameter partition-id replica-id reshape tuple"
)
_define("call", _body, _of_bodies, _written_by_bodies)
_define("fusion", _body)
_define("while", _body, _of_bodies, _written_by_bodies, lambda use: "one turn of a loop is counted")
_define("conditional", _most, _most_read, _most_written, lambda use: "the costliest branch counts")
_define("custom-call", note=_custom_note)
_define("all-reduce reduce-scatter", _all_operands)
_define("all-gather all-to-all collective-broadcast collective-permute")
assert COSTS.keys() == OPS.keys(), COSTS.keys() ^ OPS.keys()
