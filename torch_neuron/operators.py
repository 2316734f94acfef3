"""The operators that the compiler for Inferentia supports, as AWS publishes them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

Node = Any  # torch._C.Node, which has no complete type of its own

# Source: AWS Neuron documentation, PyTorch Neuron (torch-neuron) supported operators: what was
# added at some release and not removed since.
_ATEN = """
    __and__ _convolution _convolution_mode _shape_as_tensor _weight_norm abs adaptive_avg_pool1d
    adaptive_avg_pool2d adaptive_max_pool1d adaptive_max_pool2d add add_ addmm all amax amin any
    arange argmax argmin avg_pool2d baddbmm batch_norm bmm broadcast_tensors broadcast_to bucketize
    cat ceil chunk clamp clamp_max clamp_min clip clone constant_pad_nd contiguous cos detach
    dimension_value div dot dropout einsum embedding_renorm_ empty empty_like eq erf exp expand
    expand_as eye fill_ flatten flip floor floor_divide full full_like ge gelu group_norm gt
    hardsigmoid hardswish hardtanh hardtanh_ index_select instance_norm Int isnan layer_norm le
    leaky_relu linear log log2 log_softmax logical_and logical_not logical_or logical_xor lt
    masked_fill matmul max max_pool2d max_pool2d_with_indices mean meshgrid min mm movedim mul mv ne
    neg new_empty new_ones numel one_hot ones ones_like permute pixel_shuffle pow prelu reciprocal
    reflection_pad2d relu relu_ remainder repeat repeat_interleave reshape roll rsqrt rsub
    ScalarImplicit scalarImplicit select sigmoid silu sin size slice softmax softplus split
    split_with_sizes sqrt squeeze stack sub sum t tanh tensor_split tensordot threshold to topk
    transpose tril triu true_divide trunc type_as unbind unsqueeze upsample_bilinear2d
    upsample_nearest2d values view zero_ zeros zeros_like
"""
_PRIM = """
    Constant DictConstruct GetAttr ImplicitTensorToNum ListConstruct ListUnpack NumToTensor
    TupleConstruct TupleUnpack
"""
SUPPORTED = frozenset(
    [*(f"aten::{name}" for name in _ATEN.split()), *(f"prim::{name}" for name in _PRIM.split())]
)
# What later releases of PyTorch record where those of that time recorded operators of the list.
LATER = {
    "aten::linalg_vector_norm": "aten::norm",
    "aten::lift_fresh": "aten::detach",
    "aten::pad": "aten::constant_pad_nd",
    "aten::rms_norm": "aten::mul, aten::mean, aten::rsqrt",
    "aten::scaled_dot_product_attention": "aten::matmul, aten::softmax",
    "aten::unflatten": "aten::view",
}
NORMS = (1, 2, math.inf, -math.inf, "fro")


def get_supported_operations() -> list[str]:
    """The names of the operators that are supported whatever their arguments: `aten::add`.

    Source: AWS Neuron documentation, PyTorch Neuron (torch-neuron) supported operators.
    """
    return sorted(SUPPORTED)


def _has_known_order(node: Node) -> bool:
    order = list(node.inputs())[1]
    return order.node().kind() == "prim::Constant" and order.toIValue() in NORMS


def _has_known_classes(node: Node) -> bool:
    classes = list(node.inputs())[1]
    return classes.node().kind() == "prim::Constant" and classes.toIValue() != -1


def _pads_with_a_constant(node: Node) -> bool:
    mode = list(node.inputs())[2]
    return mode.node().kind() == "prim::Constant" and mode.toIValue() == "constant"


def _has_no_indices(node: Node) -> bool:
    return not list(node.outputs())[1].uses()


# Operators that are supported with some arguments.
CONDITIONS: dict[str, Callable[[Node], bool]] = {
    "aten::linalg_vector_norm": _has_known_order,
    "aten::lstm": lambda node: node.schema().startswith("aten::lstm.input("),  # no packed sequence
    "aten::max_pool3d_with_indices": _has_no_indices,
    "aten::norm": _has_known_order,
    "aten::one_hot": _has_known_classes,
    "aten::pad": _pads_with_a_constant,
    "aten::where": lambda node: len(list(node.inputs())) == 3,
}


def is_supported(node: Node) -> bool:
    """Whether the compiler supports an operator, in place or not, with the arguments it has."""
    kind = str(node.kind())
    if kind in CONDITIONS:
        return CONDITIONS[kind](node)
    return not SUPPORTED.isdisjoint((kind, kind.removesuffix("_"))) or kind in LATER
