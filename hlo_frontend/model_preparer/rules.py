"""Which function or method becomes which module: a table, keyed by what a node calls."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from hlo_frontend.model_preparer import modules as m
from hlo_frontend.model_preparer.calls import Call, Keep, Replacement
from hlo_frontend.model_preparer.convolution import conv2d
from hlo_frontend.model_preparer.settings import Settings, concat, dtyped, prelu, silu

# A function of torch or of `operator`, or the name of a tensor's method.
Target = Callable[..., Any] | str
Rule = Callable[[Call], Replacement]


@dataclass(frozen=True, slots=True)
class Forward:
    """A module that takes the arguments of the call, put in the order of `arrange` if need be."""

    make: type[m.Functional]
    arrange: Callable[[Call], Call] | None = None

    def __call__(self, call: Call) -> Replacement:
        if call.kwargs.get("out") is not None:
            raise Keep("it writes into `out`")
        arranged = self.arrange(call) if self.arrange else call
        return Replacement(self.make(), arranged.args, arranged.kwargs)


def _named(*names: str) -> Callable[[Call], Call]:
    """The arguments by name: for a target whose order is not that of the module's function."""
    return lambda call: call.named(*names)


def _with_indices(call: Call) -> Call:
    return Call(call.args[:6], {**call.kwargs, "return_indices": True}, call.tensor_of)


# Modules that hold the settings of the call: their names, as torch orders them, follow the input.
STATEFUL: tuple[tuple[Rule, tuple[Target, ...]], ...] = (
    (Settings(nn.ReLU, "inplace"), (F.relu, torch.relu, "relu")),
    (Settings(nn.ReLU6, "inplace"), (F.relu6,)),
    (Settings(nn.Hardtanh, "min_val", "max_val", "inplace"), (F.hardtanh,)),
    (Settings(nn.ELU, "alpha", "inplace"), (F.elu,)),
    (Settings(nn.SELU, "inplace"), (F.selu, torch.selu)),
    (Settings(nn.CELU, "alpha", "inplace"), (F.celu, torch.celu)),
    (Settings(nn.LeakyReLU, "negative_slope", "inplace"), (F.leaky_relu,)),
    (Settings(nn.RReLU, "lower", "upper", "training", "inplace"), (F.rrelu, torch.rrelu)),
    (Settings(nn.GLU, "dim"), (F.glu,)),
    (Settings(nn.GELU, "approximate"), (F.gelu,)),
    (Settings(nn.LogSigmoid), (F.logsigmoid,)),
    (Settings(nn.Hardshrink, "lambd"), (torch.hardshrink, "hardshrink")),
    (Settings(nn.Tanhshrink), (F.tanhshrink,)),
    (Settings(nn.Softsign), (F.softsign,)),
    (Settings(nn.Softplus, "beta", "threshold"), (F.softplus,)),
    (Settings(nn.Softshrink, "lambd"), (F.softshrink,)),
    (Settings(nn.Tanh), (torch.tanh, "tanh")),
    (Settings(nn.Sigmoid), (torch.sigmoid, "sigmoid")),
    (Settings(nn.Hardsigmoid, "inplace"), (F.hardsigmoid,)),
    (silu, (F.silu,)),
    (prelu, (torch.prelu, "prelu")),
    (dtyped(nn.Softmin, m.Softmin), (F.softmin,)),
    (dtyped(nn.Softmax, m.Softmax), (F.softmax, torch.softmax, "softmax")),
    (dtyped(nn.LogSoftmax, m.LogSoftmax), (F.log_softmax, torch.log_softmax, "log_softmax")),
    (concat, (torch.cat,)),
    (conv2d, (torch.conv2d,)),
)

# Modules that are called with what the function is called with.
STATELESS: tuple[tuple[Rule, tuple[Target, ...]], ...] = (
    (Forward(m.ScaledDotProductAttention), (F.scaled_dot_product_attention,)),
    (Forward(m.Pad), (F.pad,)),
    (Forward(m.Sum), (torch.sum, "sum")),
    (Forward(m.Add), (torch.add, operator.add, "add")),
    (Forward(m.Subtract), (torch.sub, torch.subtract, operator.sub, "sub", "subtract")),
    (Forward(m.Multiply), (torch.mul, operator.mul, "mul")),
    (Forward(m.Divide), (torch.div, operator.truediv, "div")),
    (Forward(m.FloorDivide), (operator.floordiv,)),
    (Forward(m.MatMul), (torch.matmul, operator.matmul, "matmul")),
    (Forward(m.Exponential), (torch.exp, "exp")),
    (Forward(m.Interpolate), (F.interpolate,)),
    (Forward(m.MaxPool2d), (F.max_pool2d, torch.max_pool2d)),
    (Forward(m.MaxPool2d, _with_indices), (F.max_pool2d_with_indices,)),
    (Forward(m.AdaptiveAvgPool2d), (F.adaptive_avg_pool2d,)),
    (Forward(m.AvgPool2d), (F.avg_pool2d,)),
    (Forward(m.Norm), (torch.norm, "norm")),
    (Forward(m.BatchNorm), (F.batch_norm,)),
    (
        Forward(
            m.BatchNorm,
            _named(
                *("input", "weight", "bias", "running_mean", "running_var"),
                *("training", "momentum", "eps", ""),
            ),
        ),
        (torch.batch_norm,),
    ),
    (Forward(m.GroupNorm), (F.group_norm,)),
    (
        Forward(m.GroupNorm, _named("input", "num_groups", "weight", "bias", "eps", "")),
        (torch.group_norm,),
    ),
    (Forward(m.Mean), (torch.mean, "mean")),
    (Forward(m.Pow), (torch.pow, operator.pow, "pow")),
    (Forward(m.Where), (torch.where,)),
    (Forward(m.Where, _named("input", "condition", "other")), ("where",)),
    (Forward(m.Addmm), (torch.addmm, "addmm")),
    (Forward(m.Bmm), (torch.bmm, "bmm")),
    (Forward(m.Baddbmm), (torch.baddbmm, "baddbmm")),
    (Forward(m.CumSum), (torch.cumsum, "cumsum")),
    (Forward(m.MaskedFill), (torch.masked_fill, "masked_fill")),
    (Forward(m.Square), (torch.square, "square")),
    (Forward(m.RSqrt), (torch.rsqrt, "rsqrt")),
    (Forward(m.GridSample), (F.grid_sample,)),
)


def _keyed() -> Iterator[tuple[Target, Rule]]:
    for rule, targets in (*STATEFUL, *STATELESS):
        for target in targets:
            yield target, rule


RULES: dict[Target, Rule] = dict(_keyed())
