"""Kernels of the PE array: dot and convolution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
from jax import lax

from hlo_frontend.hlo.attributes import ConvolutionDimensionNumbers, DotDimensionNumbers, Window
from hlo_frontend.hlo.types import Shape
from runtime.kernels.emit import bools, emit, integer, ints
from runtime.kernels.kind import Kernel, Value
from runtime.kernels.regions import window_attributes


@dataclass(frozen=True, slots=True)
class Algorithm:
    """How a dot computes: its operands rounded to `parts` terms of a format, what it sums in.

    Of the products of the parts, those of the orders `order` and below are summed: with parts
    high and low, order 1 leaves out low times low.
    """

    round: Callable[[jax.Array], jax.Array]
    accumulator: str
    parts: int = 1
    order: int = 0


def _to(dtype: str) -> Callable[[jax.Array], jax.Array]:
    return lambda x: x.astype(dtype)


def _tf32(x: jax.Array) -> jax.Array:
    return lax.reduce_precision(x, 8, 10)


def _as_is(x: jax.Array) -> jax.Array:
    return x


ALGORITHMS: dict[str, Algorithm] = {
    "dot_any_f8_any_f8_f32": Algorithm(_as_is, "f32"),
    "dot_any_f8_any_f8_f32_fast_accum": Algorithm(_as_is, "f32"),
    "dot_f16_f16_f16": Algorithm(_to("float16"), "f16"),
    "dot_f16_f16_f32": Algorithm(_to("float16"), "f32"),
    "dot_bf16_bf16_bf16": Algorithm(_to("bfloat16"), "bf16"),
    "dot_bf16_bf16_f32": Algorithm(_to("bfloat16"), "f32"),
    "dot_bf16_bf16_f32_x3": Algorithm(_to("bfloat16"), "f32", parts=2, order=1),
    "dot_bf16_bf16_f32_x6": Algorithm(_to("bfloat16"), "f32", parts=3, order=2),
    "dot_bf16_bf16_f32_x9": Algorithm(_to("bfloat16"), "f32", parts=3, order=4),
    "dot_tf32_tf32_f32": Algorithm(_tf32, "f32"),
    "dot_tf32_tf32_f32_x3": Algorithm(_tf32, "f32", parts=2, order=1),
    "dot_f32_f32_f32": Algorithm(_to("float32"), "f32"),
    "dot_f64_f64_f64": Algorithm(_to("float64"), "f64"),
}


def _precision(names: tuple[str, ...]) -> str:
    return f"[{', '.join(f'#stablehlo<precision {n.upper()}>' for n in names or ['default'] * 2)}]"


def _dot(
    x: jax.Array,
    y: jax.Array,
    *,
    shape: Shape,
    dot_dimension_numbers: DotDimensionNumbers,
    operand_precision: tuple[str, ...] = (),
    algorithm: str = "",
) -> Value:
    n = dot_dimension_numbers
    numbers = (
        f"#stablehlo.dot<lhs_batching_dimensions = {list(n.lhs_batch)}, "
        f"rhs_batching_dimensions = {list(n.rhs_batch)}, "
        f"lhs_contracting_dimensions = {list(n.lhs_contracting)}, "
        f"rhs_contracting_dimensions = {list(n.rhs_contracting)}>"
    )

    def product(a: jax.Array, b: jax.Array, result: Shape) -> jax.Array:
        made: jax.Array = emit(
            "stablehlo.dot_general",
            (a, b),
            result,
            dot_dimension_numbers=numbers,
            precision_config=_precision(operand_precision),
        )
        return made

    if not algorithm:
        return product(x, y, shape)
    return _by_algorithm(ALGORITHMS[algorithm], x, y, shape, product)


def _by_algorithm(
    algorithm: Algorithm,
    x: jax.Array,
    y: jax.Array,
    shape: Shape,
    product: Callable[[jax.Array, jax.Array, Shape], jax.Array],
) -> jax.Array:
    """The products of the parts of both operands, the smallest summed first."""
    xs, ys = _parts(algorithm, x), _parts(algorithm, y)
    orders = [(i + j, i, j) for i in range(len(xs)) for j in range(len(ys))]
    result = Shape(algorithm.accumulator, shape.dims)
    terms = [
        product(xs[i], ys[j], result)
        for order, i, j in sorted(orders, reverse=True)
        if order <= algorithm.order
    ]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total.astype(shape.numpy)


def _parts(algorithm: Algorithm, x: jax.Array) -> list[jax.Array]:
    """A value as a sum: its rounding, the rounding of what that leaves out, and so on."""
    parts = [algorithm.round(x)]
    while len(parts) < algorithm.parts:
        x = x - parts[-1].astype(x.dtype)
        parts.append(algorithm.round(x))
    return parts


def _labels(letters: dict[str, int], spatial: tuple[int, ...]) -> str:
    at = {position: letter for letter, position in letters.items()}
    at |= {position: str(i) for i, position in enumerate(spatial)}
    return f"[{', '.join(at[d] for d in range(len(at)))}]"


def _convolution(
    x: jax.Array,
    kernel: jax.Array,
    *,
    shape: Shape,
    window: Window,
    dim_labels: ConvolutionDimensionNumbers,
    feature_group_count: int,
    batch_group_count: int,
    operand_precision: tuple[str, ...] = (),
) -> Value:
    n = dim_labels
    image = _labels({"b": n.input_batch, "f": n.input_feature}, n.input_spatial)
    taps = _labels({"i": n.kernel_input_feature, "o": n.kernel_output_feature}, n.kernel_spatial)
    output = _labels({"b": n.output_batch, "f": n.output_feature}, n.output_spatial)
    return emit(
        "stablehlo.convolution",
        (x, kernel),
        shape,
        lhs_dilation=ints(w.base_dilation for w in window),
        rhs_dilation=ints(w.window_dilation for w in window),
        window_reversal=bools(w.reversal for w in window),
        dimension_numbers=f"#stablehlo.conv<{image}x{taps}->{output}>",
        feature_group_count=integer(feature_group_count),
        batch_group_count=integer(batch_group_count),
        precision_config=_precision(operand_precision),
        window=window_attributes(window),
    )


KERNELS: dict[str, Kernel] = {"convolution": _convolution, "dot": _dot}
