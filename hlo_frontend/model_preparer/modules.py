"""The modules that stand for functionals: torch's functions, with their arguments and semantics.

Each is called as the function it is made of: `Add()(x, y, alpha=2)` is `torch.add(x, y, alpha=2)`.
Those that hold their settings (`Concat`, `DynamicConv2d`, `CustomSiLU`) say so.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor


class Functional(torch.nn.Module):
    """A function of torch as a module; the arguments of a call are the function's."""

    function: ClassVar[Callable[..., Any]]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return type(self).function(*args, **kwargs)


class Arithmetic(Functional):
    """An operator of Python: on two operands it takes what the operator takes, numbers too."""

    operator: ClassVar[Callable[[Any, Any], Any]]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if len(args) == 2 and not kwargs:
            return type(self).operator(*args)
        return type(self).function(*args, **kwargs)


def create_wrapper_module(name: str, function: Callable[..., Any]) -> type[Functional]:
    """A module class called `name` that calls `function`."""
    doc = f"`{getattr(function, '__name__', name)}` as a module."
    members = {"function": staticmethod(function), "__doc__": doc, "__module__": __name__}
    return type(name, (Functional,), members)


def _arithmetic(
    name: str, function: Callable[..., Any], symbol: Callable[[Any, Any], Any]
) -> type[Arithmetic]:
    members = {
        "function": staticmethod(function),
        "operator": staticmethod(symbol),
        "__doc__": f"`torch.{function.__name__}`, of two operands Python's operator, as a module.",
        "__module__": __name__,
    }
    return type(name, (Arithmetic,), members)


Add = _arithmetic("Add", torch.add, operator.add)
Subtract = _arithmetic("Subtract", torch.sub, operator.sub)
Multiply = _arithmetic("Multiply", torch.mul, operator.mul)
Divide = _arithmetic("Divide", torch.div, operator.truediv)
FloorDivide = _arithmetic("FloorDivide", torch.floor_divide, operator.floordiv)
Pow = _arithmetic("Pow", torch.pow, operator.pow)
Remainder = _arithmetic("Remainder", torch.remainder, operator.mod)
Greater = _arithmetic("Greater", torch.gt, operator.gt)
Less = _arithmetic("Less", torch.lt, operator.lt)
GreaterEqual = _arithmetic("GreaterEqual", torch.ge, operator.ge)
LessEqual = _arithmetic("LessEqual", torch.le, operator.le)
Equal = _arithmetic("Equal", torch.eq, operator.eq)
NotEqual = _arithmetic("NotEqual", torch.ne, operator.ne)

Abs = create_wrapper_module("Abs", torch.abs)
AMax = create_wrapper_module("AMax", torch.amax)
AMin = create_wrapper_module("AMin", torch.amin)
Argmax = create_wrapper_module("Argmax", torch.argmax)
Argmin = create_wrapper_module("Argmin", torch.argmin)
Asin = create_wrapper_module("Asin", torch.asin)
Atan = create_wrapper_module("Atan", torch.atan)
Cos = create_wrapper_module("Cos", torch.cos)
CumSum = create_wrapper_module("CumSum", torch.cumsum)
ElementwiseCeil = create_wrapper_module("ElementwiseCeil", torch.ceil)
ElementwiseFloor = create_wrapper_module("ElementwiseFloor", torch.floor)
ElementwiseUnarySign = create_wrapper_module("ElementwiseUnarySign", torch.sign)
Erf = create_wrapper_module("Erf", torch.erf)
Exponential = create_wrapper_module("Exponential", torch.exp)
Fmod = create_wrapper_module("Fmod", torch.fmod)
Log = create_wrapper_module("Log", torch.log)
LogicalAnd = create_wrapper_module("LogicalAnd", torch.logical_and)
LogicalNot = create_wrapper_module("LogicalNot", torch.logical_not)
LogicalOr = create_wrapper_module("LogicalOr", torch.logical_or)
Max = create_wrapper_module("Max", torch.max)
Maximum = create_wrapper_module("Maximum", torch.maximum)
Mean = create_wrapper_module("Mean", torch.mean)
Min = create_wrapper_module("Min", torch.min)
Minimum = create_wrapper_module("Minimum", torch.minimum)
Neg = create_wrapper_module("Neg", torch.neg)
Norm = create_wrapper_module("Norm", torch.norm)
Prod = create_wrapper_module("Prod", torch.prod)
Round = create_wrapper_module("Round", torch.round)
RSqrt = create_wrapper_module("RSqrt", torch.rsqrt)
Sin = create_wrapper_module("Sin", torch.sin)
Sqrt = create_wrapper_module("Sqrt", torch.sqrt)
Square = create_wrapper_module("Square", torch.square)
Sum = create_wrapper_module("Sum", torch.sum)

Addmm = create_wrapper_module("Addmm", torch.addmm)
Baddbmm = create_wrapper_module("Baddbmm", torch.baddbmm)
Bmm = create_wrapper_module("Bmm", torch.bmm)
DynamicLinear = create_wrapper_module("DynamicLinear", F.linear)
DynamicPReLU = create_wrapper_module("DynamicPReLU", torch.prelu)
MatMul = create_wrapper_module("MatMul", torch.matmul)
Outer = create_wrapper_module("Outer", torch.outer)
ScaledDotProductAttention = create_wrapper_module(
    "ScaledDotProductAttention", F.scaled_dot_product_attention
)

Gather = create_wrapper_module("Gather", torch.gather)
IndexSelect = create_wrapper_module("IndexSelect", torch.index_select)
MaskedFill = create_wrapper_module("MaskedFill", torch.masked_fill)
NonZero = create_wrapper_module("NonZero", torch.nonzero)
Permute = create_wrapper_module("Permute", torch.permute)
Reshape = create_wrapper_module("Reshape", torch.reshape)
Select = create_wrapper_module("Select", torch.select)
Split = create_wrapper_module("Split", torch.split)
Tile = create_wrapper_module("Tile", torch.tile)
TopK = create_wrapper_module("TopK", torch.topk)
Where = create_wrapper_module("Where", torch.where)

AdaptiveAvgPool2d = create_wrapper_module("AdaptiveAvgPool2d", F.adaptive_avg_pool2d)
AvgPool2d = create_wrapper_module("AvgPool2d", F.avg_pool2d)
BatchNorm = create_wrapper_module("BatchNorm", F.batch_norm)
GridSample = create_wrapper_module("GridSample", F.grid_sample)
GroupNorm = create_wrapper_module("GroupNorm", F.group_norm)
Interpolate = create_wrapper_module("Interpolate", F.interpolate)
MaxPool2d = create_wrapper_module("MaxPool2d", F.max_pool2d)
Normalize = create_wrapper_module("Normalize", F.normalize)
Pad = create_wrapper_module("Pad", F.pad)


class Concat(torch.nn.Module):
    """`torch.cat` along `axis`, of the tensors that are its arguments or of one list of them."""

    def __init__(self, axis: int = 0) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, *tensors: Any) -> Tensor:
        listed = len(tensors) == 1 and isinstance(tensors[0], list | tuple)
        return torch.cat(tensors[0] if listed else tensors, dim=self.axis)

    def extra_repr(self) -> str:
        return f"axis={self.axis}"


class DynamicConv2d(torch.nn.Module):
    """`torch.nn.functional.conv2d` with settings of its own and a weight that is an argument."""

    def __init__(self, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1):
        super().__init__()
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups

    def forward(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return F.conv2d(input, weight, bias, self.stride, self.padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        return (
            f"stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, groups={self.groups}"
        )


class CustomSiLU(torch.nn.Module):
    """`torch.nn.SiLU` whose sigmoid and multiplication are modules, `sigmoid` and `mul`.

    Both are called where somebody looks: a tracer, a hook of theirs, or who replaced one. Else the
    result is that of `torch.nn.functional.silu`, from which the product differs in the last bit.
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace
        self.sigmoid = torch.nn.Sigmoid()
        self.mul = Multiply()

    def forward(self, input: Tensor) -> Tensor:
        if self._is_plain():
            return F.silu(input, self.inplace)
        result: Tensor = self.mul(input, self.sigmoid(input))
        return input.copy_(result) if self.inplace else result

    def _is_plain(self) -> bool:
        children = self._modules.values()
        kinds = [type(child) for child in children]
        replaced = kinds != [torch.nn.Sigmoid, Multiply]
        return not (replaced or torch.jit.is_tracing() or any(map(_has_hooks, children)))

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


def _has_hooks(module: torch.nn.Module | None) -> bool:
    assert module is not None
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )


class Softmax(torch.nn.Softmax):
    """`torch.nn.Softmax` that casts its input to `dtype` first, as the functional can."""

    def __init__(self, dim: int | None, dtype: torch.dtype) -> None:
        super().__init__(dim)
        self.dtype = dtype

    def forward(self, input: Tensor) -> Tensor:
        return F.softmax(input, self.dim, dtype=self.dtype)


class LogSoftmax(torch.nn.LogSoftmax):
    """`torch.nn.LogSoftmax` that casts its input to `dtype` first, as the functional can."""

    def __init__(self, dim: int | None, dtype: torch.dtype) -> None:
        super().__init__(dim)
        self.dtype = dtype

    def forward(self, input: Tensor) -> Tensor:
        return F.log_softmax(input, self.dim, dtype=self.dtype)


class Softmin(torch.nn.Softmin):
    """`torch.nn.Softmin` that casts its input to `dtype` first, as the functional can."""

    def __init__(self, dim: int | None, dtype: torch.dtype) -> None:
        super().__init__(dim)
        self.dtype = dtype

    def forward(self, input: Tensor) -> Tensor:
        return F.softmin(input, self.dim, dtype=self.dtype)
