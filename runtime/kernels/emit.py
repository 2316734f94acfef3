"""One JAX primitive that stands for any StableHLO operation, given by its name.

HLO and StableHLO share their operations, so an op written this way means what XLA says it means,
for every element type XLA takes. JAX's own functions refuse many (a power of integers, a sum of
predicates) and rewrite others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import ml_dtypes
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import mlir
from jaxlib.mlir import ir

from hlo_frontend.hlo.types import AnyShape, Shape, TupleShape
from runtime.kernels.kind import Value


@dataclass(frozen=True, slots=True)
class Region:
    """A computation an operation calls: its body in JAX, scalar types of arguments and results."""

    body: Callable[..., Value]
    arguments: tuple[np.dtype, ...]
    results: tuple[np.dtype, ...]


_hlo = Primitive("neuron_hlo")
_hlo.multiple_results = True
_hlo.def_abstract_eval(lambda *operands, results, **_: results)


def emit(
    name: str,
    operands: tuple[jax.Array, ...],
    shape: AnyShape,
    *,
    regions: tuple[Region, ...] = (),
    packed: bool = False,
    window: Mapping[str, str] | None = None,
    **attributes: str,
) -> Value:
    """The result of the operation `name` (`stablehlo.add`), a tuple where the shape is one.

    Attributes are in MLIR's text, those of a window as a mapping. Numbers of less than 8 bits are
    kept in 8 on the way, for XLA ends the process over some operations on them; `packed` says that
    it takes them in this one.
    """
    results = _avals(shape)
    if not packed:
        operands = tuple(_convert(x, _whole(np.dtype(x.dtype))) for x in operands)
        regions = tuple(map(_widened, regions))
    made = _hlo.bind(
        *operands,
        results=results if packed else tuple(a.update(dtype=_whole(a.dtype)) for a in results),
        name=name,
        attributes=(*attributes.items(), *(window or {}).items()),
        regions=regions,
    )
    values = tuple(_convert(v, a.dtype) for v, a in zip(made, results, strict=True))
    return values if isinstance(shape, TupleShape) else values[0]


# Where numbers of less than 8 bits are kept.
_WHOLE: dict[np.dtype, np.dtype] = {
    np.dtype(narrow): np.dtype(wide)
    for narrow, wide in (
        (ml_dtypes.int2, np.int8),
        (ml_dtypes.int4, np.int8),
        (ml_dtypes.uint2, np.uint8),
        (ml_dtypes.uint4, np.uint8),
        (ml_dtypes.float4_e2m1fn, ml_dtypes.float8_e4m3fn),
    )
}


def _whole(dtype: np.dtype) -> np.dtype:
    return _WHOLE.get(dtype, dtype)


def _convert(x: jax.Array, dtype: np.dtype) -> jax.Array:
    return x if x.dtype == dtype else jax.lax.convert_element_type(x, dtype)


def _widened(region: Region) -> Region:
    """A region that takes and gives whole bytes; its body sees what the region was written for."""
    if not any(d in _WHOLE for d in (*region.arguments, *region.results)):
        return region

    def body(*arguments: jax.Array) -> Value:
        narrow = (_convert(a, d) for a, d in zip(arguments, region.arguments, strict=True))
        made = _flat(region.body(*narrow))
        return tuple(_convert(v, _whole(np.dtype(v.dtype))) for v in made)

    arguments, results = (tuple(map(_whole, d)) for d in (region.arguments, region.results))
    return Region(body, arguments, results)


def _avals(shape: AnyShape) -> tuple[Any, ...]:
    leaves = shape.elements if isinstance(shape, TupleShape) else (shape,)
    arrays = [leaf for leaf in leaves if isinstance(leaf, Shape)]
    return tuple(jax.core.ShapedArray(a.dims, a.numpy) for a in arrays)


def _lower(
    context: Any,
    *operands: Any,
    results: tuple[Any, ...],
    name: str,
    attributes: tuple[tuple[str, str], ...],
    regions: tuple[Region, ...],
) -> Any:
    operation = ir.Operation.create(
        name,
        results=[mlir.aval_to_ir_type(context.module_context, aval) for aval in results],
        operands=operands,
        attributes={key: ir.Attribute.parse(text) for key, text in attributes},
        regions=len(regions),
    )
    for block_of, region in zip(operation.regions, regions, strict=True):
        _fill(context, block_of, region)
    return operation.results


def _fill(context: Any, block_of: Any, region: Region) -> None:
    """Give a region its block: the body on scalars, and what it returns."""
    scalars, outputs = (
        [jax.core.ShapedArray((), dtype) for dtype in dtypes]
        for dtypes in (region.arguments, region.results)
    )
    block = block_of.blocks.append(
        *(mlir.aval_to_ir_type(context.module_context, s) for s in scalars)
    )
    with ir.InsertionPoint(block):
        inner = context.replace(primitive=None, avals_in=scalars, avals_out=outputs)
        made = mlir.lower_fun(_many(region.body), multiple_results=True)(inner, *block.arguments)
        values = [value for values in made for value in _flat(values)]
        ir.Operation.create("stablehlo.return", operands=values)


mlir.register_lowering(_hlo, _lower)


def _flat(values: Any) -> tuple[Any, ...]:
    return tuple(values) if isinstance(values, list | tuple) else (values,)


def _many(body: Callable[..., Value]) -> Callable[..., tuple[Value, ...]]:
    def called(*arguments: Value) -> tuple[Value, ...]:
        result = body(*arguments)
        return result if isinstance(result, tuple) else (result,)

    return called


def ints(values: Any) -> str:
    """Integers as an MLIR dense array."""
    listed = ", ".join(map(str, values))
    return f"array<i64: {listed}>" if listed else "array<i64>"


def pairs(values: Any) -> str:
    """Pairs of integers as an MLIR tensor, such as the padding of a window."""
    rows = [[int(a), int(b)] for a, b in values]
    return f"dense<{rows}> : tensor<{len(rows)}x2xi64>" if rows else "dense<> : tensor<0x2xi64>"


def bools(values: Any) -> str:
    """Booleans as an MLIR dense array."""
    listed = ", ".join("true" if v else "false" for v in values)
    return f"array<i1: {listed}>" if listed else "array<i1>"


def boolean(value: bool) -> str:
    """A boolean attribute."""
    return "true" if value else "false"


def integer(value: int, bits: int = 64) -> str:
    """An integer attribute."""
    return f"{value} : i{bits}"
