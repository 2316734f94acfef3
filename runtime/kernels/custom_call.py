"""Custom calls: one table from target to what it computes.

Where the documents name a target and not its operands, the convention stands in the kernel's
docstring, and a call of another form is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from hlo_frontend.hlo.types import AnyShape, Shape, TupleShape
from runtime.kernels.emit import boolean, emit
from runtime.kernels.indexing import top_k
from runtime.kernels.kind import Kernel, UnsupportedFormError, Value
from runtime.kernels.resize import RESIZES

# A target's kernel: operands, then the result's shape and the call's `backend_config` as text.
Target = Callable[..., Value]


def refuse(target: str, what: str, got: object) -> UnsupportedFormError:
    """The error for a call of a form that the kernel does not know."""
    return UnsupportedFormError(f"runtime: custom call {target}: {what}, got {got}")


def _count(target: str, operands: tuple[Any, ...], counts: range | tuple[int, ...]) -> None:
    if len(operands) not in counts:
        wanted = " or ".join(map(str, counts))
        raise refuse(target, f"there must be {wanted} operands", len(operands))


def _dimension(target: str, config: str, rank: int) -> int:
    """The dimension the configuration names; the last one where it names none."""
    if not config:
        return rank - 1
    if not re.fullmatch(r"-?\d+", config) or not -rank <= int(config) < rank:
        raise refuse(target, f"backend_config must be a dimension of {rank}, or nothing", config)
    return int(config) % rank


def _unary(target: str, function: Callable[[jax.Array], jax.Array]) -> Target:
    """One operand, computed in f32 at least: the activation engine does."""

    def kernel(*operands: jax.Array, shape: Shape, config: str) -> jax.Array:
        _count(target, operands, (1,))
        return _in_float32(function, operands[0]).astype(shape.numpy)

    return kernel


def _in_float32(function: Callable[..., jax.Array], *operands: jax.Array) -> jax.Array:
    wide = jnp.promote_types(operands[0].dtype, jnp.float32)
    return function(*(x.astype(wide) for x in operands))


def _backward(target: str, function: Callable[[jax.Array], jax.Array]) -> Target:
    """The gradient with respect to x; operands: the gradient of the result, x."""

    def kernel(*operands: jax.Array, shape: Shape, config: str) -> jax.Array:
        _count(target, operands, (2,))

        def pulled(gradient: jax.Array, x: jax.Array) -> jax.Array:
            made: jax.Array = jax.vjp(function, x)[1](gradient)[0]
            return made

        return _in_float32(pulled, *operands).astype(shape.numpy)

    return kernel


def _gelu(x: jax.Array) -> jax.Array:
    return jax.nn.gelu(x, approximate=False)


def _softmax(x: jax.Array, *, shape: Shape, config: str) -> jax.Array:
    """Along the dimension that `backend_config` names, the last by default."""
    axis = _dimension("AwsNeuronSoftmax", config, x.ndim)
    return _in_float32(lambda v: jax.nn.softmax(v, axis), x).astype(shape.numpy)


def _softmax_backward(*operands: jax.Array, shape: Shape, config: str) -> jax.Array:
    """The gradient with respect to x; operands: the gradient of the result, the result."""
    target = "AwsNeuronSoftmaxBackward"
    _count(target, operands, (2,))
    axis = _dimension(target, config, operands[0].ndim)

    def pulled(gradient: jax.Array, made: jax.Array) -> jax.Array:
        return made * (gradient - jnp.sum(gradient * made, axis, keepdims=True))

    return _in_float32(pulled, *operands).astype(shape.numpy)


def _rms_norm(*operands: jax.Array, shape: Shape, config: str) -> jax.Array:
    """x over its root mean square, times a scale; operands: x, the scale, epsilon (a scalar).

    Along the dimension that `backend_config` names, the last by default.
    """
    target = "AwsNeuronRmsNorm"
    _count(target, operands, (3,))
    x, scale, epsilon = operands
    axis = _dimension(target, config, x.ndim)
    if scale.shape != (x.shape[axis],) or epsilon.size != 1:
        raise refuse(
            target,
            f"scale must hold {x.shape[axis]} numbers and epsilon 1",
            f"{list(scale.shape)}, {list(epsilon.shape)}",
        )

    def norm(v: jax.Array, s: jax.Array, e: jax.Array) -> jax.Array:
        mean = jnp.mean(v * v, axis, keepdims=True)
        return v * lax.rsqrt(mean + e.reshape(())) * lax.broadcast_in_dim(s, v.shape, (axis,))

    return _in_float32(norm, x, scale, epsilon).astype(shape.numpy)


def _int_matmult(*operands: jax.Array, shape: Shape, config: str) -> jax.Array:
    """The matrix product of integers, summed in the type of the result."""
    target = "AwsNeuronIntMatmult"
    _count(target, operands, (2,))
    x, y = operands
    sizes = f"{list(x.shape)}, {list(y.shape)}"
    if not (x.ndim == y.ndim == 2 and x.shape[1] == y.shape[0]):
        raise refuse(target, "operands must be two matrices that multiply", sizes)
    if shape.dims != (x.shape[0], y.shape[1]):
        raise refuse(target, f"result must be the product of {sizes}", shape)
    return lax.dot(x, y, preferred_element_type=shape.numpy)


def _extreme(target: str, function: Callable[..., jax.Array]) -> Target:
    """The position of the first extreme along a dimension, which the result may keep as 1."""

    def kernel(*operands: jax.Array, shape: Shape, config: str) -> jax.Array:
        _count(target, operands, (1,))
        axis = _dimension(target, config, operands[0].ndim)
        found = function(operands[0], axis)
        kept = jnp.expand_dims(found, axis)
        for made in (found, kept):
            if made.shape == shape.dims:
                return made.astype(shape.numpy)
        raise refuse(target, f"result must hold {list(found.shape)}", shape)

    return kernel


def _top(target: str) -> Target:
    """The greatest along the last dimension and their positions; the result says how many."""

    def kernel(*operands: jax.Array, shape: AnyShape, config: str) -> Value:
        x = operands[0]
        leaves = shape.elements if isinstance(shape, TupleShape) else ()
        if len(leaves) != 2 or not all(
            isinstance(s, Shape) and s.dims[:-1] == x.shape[:-1] for s in leaves
        ):
            raise refuse(target, "result must be values and positions", shape)
        assert isinstance(shape, TupleShape) and isinstance(leaves[0], Shape)
        k = leaves[0].dims[-1]
        if config.isdigit() and int(config) != k:
            raise refuse(target, f"backend_config must be the {k} of the result", config)
        largest = not re.search(r"largest\W*(false|0)", config)
        return top_k(x, shape=shape, k=k, largest=largest)

    return kernel


def _identity(target: str) -> Target:
    """A mark for the compiler; the data goes through."""

    def kernel(*operands: Value, shape: AnyShape, config: str) -> Value:
        leaves = shape.elements if isinstance(shape, TupleShape) else (shape,)
        given = [x.shape for x in operands]
        if [s.dims for s in leaves if isinstance(s, Shape)] != given:
            raise refuse(target, f"results must be its operands, {list(map(list, given))}", shape)
        return operands if isinstance(shape, TupleShape) else operands[0]

    return kernel


def _device_print(*operands: jax.Array, shape: AnyShape, config: str) -> Value:
    """Prints its operands, and gives them back where a result is asked for."""
    for n, x in enumerate(operands):
        jax.debug.print("AwsNeuronDevicePrint {}[{}]: {}", config, n, x)
    if isinstance(shape, TupleShape) and not shape.elements:
        return ()
    return _identity("AwsNeuronDevicePrint")(*operands, shape=shape, config=config)


def _expanded(target: str) -> Target:
    """A call that XLA's own compiler turns into HLO."""

    def kernel(*operands: jax.Array, shape: AnyShape, config: str) -> Value:
        return emit(
            "stablehlo.custom_call",
            operands,
            shape,
            call_target_name=f'"{target}"',
            backend_config='"' + config.replace("\\", r"\\").replace('"', r"\"") + '"',
            has_side_effect=boolean(False),
        )

    return kernel


def _composed(name: str) -> Target:
    return lambda *operands, shape, config: emit(name, operands, shape)


def _not_built(target: str, why: str) -> Target:
    def kernel(*operands: Value, shape: AnyShape, config: str) -> Value:
        raise UnsupportedFormError(f"runtime: custom call {target} is not built: {why}")

    return kernel


_MARKS = """
    AwsNeuronLNCShardingConstraint AwsNeuronTransferWithStaticRing
    AwsNeuronModuleMarkerStart-Forward AwsNeuronModuleMarkerStart-Backward
    AwsNeuronModuleMarkerEnd-Forward AwsNeuronModuleMarkerEnd-Backward
    NeuronBoundaryMarker-Start NeuronBoundaryMarker-End
    Sharding SPMDFullToShardShape SPMDShardToFullShape annotate_device_placement MoveToHost
    MoveToDevice
"""
_EXPANDED = "Qr ProductOfElementaryHouseholderReflectors Eigh"
_MHLO = "acos acosh asin asinh atanh cosh erf sinh tan"
_NOT_BUILT = {
    "AwsNeuronCollectiveMatmul": "it needs several NeuronCores",
    "AwsNeuronCustomNativeKernel": "it holds a kernel compiled for the chip",
    "AwsNeuronCustomOp": "it holds a C++ operator compiled for the chip",
    "AwsNeuronDropoutMaskV1": "no document says what its operands are",
    "AwsNeuronQuantizeMX": "micro-scaled formats exist on trn3 only",
    "QuantizeMX": "micro-scaled formats exist on trn3 only",
    "AwsNeuronScaledMatmul": "micro-scaled formats exist on trn3 only",
    "ScaledMatmul": "micro-scaled formats exist on trn3 only",
}
TARGETS: dict[str, Target] = {
    **{target: _identity(target) for target in _MARKS.split()},
    **{target: _expanded(target) for target in _EXPANDED.split()},
    **{target: _not_built(target, why) for target, why in _NOT_BUILT.items()},
    **{f"mhlo.{op}": _composed(f"chlo.{op}") for op in _MHLO.split()},
    **RESIZES,
    "AwsNeuronArgMax": _extreme("AwsNeuronArgMax", jnp.argmax),
    "AwsNeuronArgMin": _extreme("AwsNeuronArgMin", jnp.argmin),
    "AwsNeuronDevicePrint": _device_print,
    "AwsNeuronErf": _unary("AwsNeuronErf", lax.erf),
    "AwsNeuronGelu": _unary("AwsNeuronGelu", _gelu),
    "AwsNeuronGeluApprxTanh": _unary("AwsNeuronGeluApprxTanh", jax.nn.gelu),
    "AwsNeuronGeluBackward": _backward("AwsNeuronGeluBackward", _gelu),
    "AwsNeuronIntMatmult": _int_matmult,
    "AwsNeuronRmsNorm": _rms_norm,
    "AwsNeuronSilu": _unary("AwsNeuronSilu", jax.nn.silu),
    "AwsNeuronSiluBackward": _backward("AwsNeuronSiluBackward", jax.nn.silu),
    "AwsNeuronSoftmax": _softmax,
    "AwsNeuronSoftmaxBackward": _softmax_backward,
    "AwsNeuronTopK": _top("AwsNeuronTopK"),
    "TopK": _top("TopK"),
    "mhlo.topk": _top("mhlo.topk"),
}


def _custom_call(
    *operands: Value,
    shape: AnyShape,
    custom_call_target: str,
    backend_config: bytes = b"",
    bodies: tuple[Any, ...] = (),
    **_: Any,
) -> Value:
    kernel = TARGETS.get(custom_call_target)
    if kernel is None:
        raise UnsupportedFormError(
            f"runtime: the target of a custom call must be one the runtime knows, "
            f"got {custom_call_target}"
        )
    config = backend_config.decode("utf-8", "backslashreplace")
    return kernel(*operands, shape=shape, config=config)


KERNELS: dict[str, Kernel] = {"custom-call": _custom_call}
