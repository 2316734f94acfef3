"""Kernels for ops whose body JAX has no function for: the body becomes a StableHLO region."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import mlir
from jaxlib.mlir import ir
from jaxlib.mlir.dialects import stablehlo

from hlo_frontend.hlo.attributes import ScatterDimensionNumbers, Window
from hlo_frontend.hlo.types import AnyShape, Shape, TupleShape
from runtime.kernels.kind import Body, Kernel, Value

# Builds the op from result types and operands; its regions are still empty.
Build = Callable[[list[Any], list[Any]], Any]

_with_regions = Primitive("neuron_with_regions")
_with_regions.multiple_results = True


_with_regions.def_abstract_eval(lambda *operands, results, **_: results)


def _lower(
    context: Any, *operands: Any, results: tuple[Any, ...], build: Build, bodies: Any
) -> Any:
    types = [mlir.aval_to_ir_type(context.module_context, aval) for aval in results]
    op = build(types, list(operands))
    for region, (body, dtypes, outputs) in zip(op.regions, bodies, strict=True):
        scalars = [jax.core.ShapedArray((), dtype) for dtype in dtypes]
        block = region.blocks.append(
            *(mlir.aval_to_ir_type(context.module_context, s) for s in scalars)
        )
        with ir.InsertionPoint(block):
            inner = context.replace(
                primitive=None,
                avals_in=scalars,
                avals_out=[jax.core.ShapedArray((), dtype) for dtype in outputs],
            )
            made = mlir.lower_fun(_many(body), multiple_results=True)(inner, *block.arguments)
            stablehlo.return_([value for values in made for value in _flat(values)])
    return op.results


mlir.register_lowering(_with_regions, _lower)


def _flat(values: Any) -> tuple[Any, ...]:
    return tuple(values) if isinstance(values, list | tuple) else (values,)


def _many(body: Body) -> Callable[..., tuple[Value, ...]]:
    def called(*arguments: Value) -> tuple[Value, ...]:
        result = body(*arguments)
        return result if isinstance(result, tuple) else (result,)

    return called


def _avals(shape: AnyShape) -> tuple[Any, ...]:
    leaves = shape.elements if isinstance(shape, TupleShape) else (shape,)
    arrays = [leaf for leaf in leaves if isinstance(leaf, Shape)]
    return tuple(jax.core.ShapedArray(a.dims, a.numpy) for a in arrays)


def _bind(
    operands: tuple[jax.Array, ...],
    shape: AnyShape,
    build: Build,
    bodies: tuple[tuple[Body, tuple[Any, ...], tuple[Any, ...]], ...],
) -> Value:
    made = _with_regions.bind(*operands, results=_avals(shape), build=build, bodies=bodies)
    return tuple(made) if isinstance(shape, TupleShape) else made[0]


def _sort(
    *operands: jax.Array,
    shape: AnyShape,
    dimensions: tuple[int, ...],
    bodies: tuple[Body],
    is_stable: bool = False,
) -> Value:
    def build(types: list[Any], values: list[Any]) -> Any:
        return stablehlo.SortOp(types, values, dimension=dimensions[0], is_stable=is_stable)

    pairs = tuple(x.dtype for x in operands for _ in range(2))
    return _bind(operands, shape, build, ((bodies[0], pairs, (np.dtype(bool),)),))


def _scatter(
    *operands: jax.Array,
    shape: AnyShape,
    scatter_dimension_numbers: ScatterDimensionNumbers,
    bodies: tuple[Body],
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
) -> Value:
    n, count = scatter_dimension_numbers, len(operands) // 2

    def build(types: list[Any], values: list[Any]) -> Any:
        numbers = stablehlo.ScatterDimensionNumbers.get(
            list(n.update_window_dims),
            list(n.inserted_window_dims),
            list(n.input_batching_dims),
            list(n.scatter_indices_batching_dims),
            list(n.scatter_dims_to_operand_dims),
            n.index_vector_dim,
        )
        return stablehlo.ScatterOp(
            types,
            values[:count],
            values[count],
            values[count + 1 :],
            numbers,
            indices_are_sorted=indices_are_sorted,
            unique_indices=unique_indices,
        )

    dtypes = tuple(x.dtype for x in operands[:count])
    return _bind(operands, shape, build, ((bodies[0], (*dtypes, *dtypes), dtypes),))


def _select_and_scatter(
    operand: jax.Array,
    source: jax.Array,
    initial: jax.Array,
    *,
    shape: Shape,
    window: Window,
    bodies: tuple[Body, Body],
) -> Value:
    def build(types: list[Any], values: list[Any]) -> Any:
        pads = np.array([(w.pad_low, w.pad_high) for w in window], np.int64)
        return stablehlo.SelectAndScatterOp(
            types[0],
            *values,
            window_dimensions=mlir.dense_int_array([w.size for w in window]),
            window_strides=mlir.dense_int_array([w.stride for w in window]),
            padding=ir.DenseElementsAttr.get(pads.data),
        )

    pair = (operand.dtype, operand.dtype)
    select, scatter = bodies
    regions = ((select, pair, (np.dtype(bool),)), (scatter, pair, (operand.dtype,)))
    return _bind((operand, source, initial), shape, build, regions)


KERNELS: dict[str, Kernel] = {
    "scatter": _scatter,
    "select-and-scatter": _select_and_scatter,
    "sort": _sort,
}
