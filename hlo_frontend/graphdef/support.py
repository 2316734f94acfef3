"""Which TensorFlow operators can become HLO: what TensorFlow's own compiler registers for them."""

from __future__ import annotations

import functools
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import kernels, op_def_registry

COMPILER = "XLA_CPU_JIT"
# What is compiled, but does not compute there what it computes on the CPU: by reason, how the
# operators' names begin.
EXCLUDED = {
    "draws random numbers": (
        *("Multinomial", "Parameterized", "Random", "Rng", "Stateless", "Stateful", "Stochastic"),
        "Truncated",
    ),
    "is for several devices": ("Collective",),
    "is made for one device": ("Xla",),
}
CONTROL_FLOW = frozenset(
    {"StatefulPartitionedCall", "StatelessCase", "StatelessIf", "StatelessWhile", "PartitionedCall"}
)
# What AWS's allowlist names (tensorflow-neuron, Apache-2.0): each has a compiler's kernel.
# fmt: off
ALLOWLIST = frozenset({
    "Add", "AddN", "AddV2", "Any", "AvgPool", "AvgPool3D", "BatchMatMul", "BatchMatMulV2",
    "BatchToSpaceND", "BiasAdd", "Cast", "Concat", "ConcatV2", "Const", "Conv2D",
    "Conv2DBackpropInput", "Conv3D", "Conv3DBackpropInputV2", "Cumsum", "DepthwiseConv2dNative",
    "Einsum", "Elu", "Erf", "Exp", "ExpandDims", "FakeQuantWithMinMaxVars", "FusedBatchNorm",
    "FusedBatchNormV2", "FusedBatchNormV3", "Greater", "Identity", "IdentityN", "LeakyRelu",
    "LogicalAnd", "LogicalNot", "MatMul", "Max", "MaxPool", "MaxPool3D", "Maximum", "Minimum",
    "Mean", "Mul", "Neg", "NotEqual", "Pack", "Pad", "Pow", "RealDiv", "Relu", "Relu6", "Reshape",
    "Rsqrt", "Select", "SelectV2", "Selu", "Sigmoid", "Slice", "Softmax", "Softplus", "Softsign",
    "SpaceToBatchND", "Split", "SplitV", "Sqrt", "Square", "SquaredDifference", "Squeeze",
    "StridedSlice", "Sub", "Sum", "Tanh", "Tile", "Transpose", "Unpack",
})
# fmt: on


@functools.cache
def is_stateful(op: str) -> bool:
    """Whether an operator does more than compute its outputs."""
    known = op_def_registry.get(op)
    return known is None or bool(known.is_stateful)


def is_pure(node: Any) -> bool:
    return not is_stateful(node.op)


@functools.cache
def _kernels(op: str) -> tuple[Any, ...]:
    """The compiler's kernels for an operator."""
    _register()
    found = kernels.get_registered_kernels_for_op(op).kernel
    return tuple(k for k in found if k.device_type == COMPILER)


@functools.cache
def _register() -> None:
    """TensorFlow registers them when it compiles for the first time."""
    one = tf.TensorSpec([], tf.float32)
    tf.function(lambda x: -x, jit_compile=True, autograph=False).experimental_get_compiler_ir(one)()


def _fits(kernel: Any, node: Any) -> bool:
    for constraint in kernel.constraint:
        given = node.attr[constraint.name]
        types = given.list.type if given.HasField("list") else [given.type]
        if not set(types) <= set(constraint.allowed_values.list.type):
            return False
    return True


def refusal(node: Any) -> str | None:
    """Why a node stays on the CPU; None where TensorFlow's compiler computes what the CPU does."""
    for reason, names in EXCLUDED.items():
        if node.op.startswith(names) and node.op not in CONTROL_FLOW:
            return reason
    if not is_pure(node):
        return "has effects"
    if not _kernels(node.op):
        return "no compiler has it"
    if not any(_fits(kernel, node) for kernel in _kernels(node.op)):
        return "no compiler has it for these element types"
    return None


def is_supported(node: Any) -> bool:
    """Whether TensorFlow's compiler has a kernel for a node that computes what the CPU's does."""
    return refusal(node) is None
