"""Every function and method that becomes a module, in every way to call it: tables as data."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

# What torch.fx calls the node (without its number), the module's class, the ways to call.
TABLE: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("relu", "ReLU", ("F.relu(x)", "F.relu(input=x)", "F.relu(x + 0.0, True)", "torch.relu(x)")),
    ("relu", "ReLU", ("torch.relu(input=x)", "x.relu()", "F.relu(x.clone(), inplace=True)")),
    ("relu6", "ReLU6", ("F.relu6(x)", "F.relu6(x, False)", "F.relu6(input=x, inplace=False)")),
    ("hardtanh", "Hardtanh", ("F.hardtanh(x)", "F.hardtanh(x, -0.5, 0.25)")),
    ("hardtanh", "Hardtanh", ("F.hardtanh(x, max_val=0.5, min_val=-0.1)",)),
    ("elu", "ELU", ("F.elu(x)", "F.elu(x, 0.5)", "F.elu(x, alpha=0.5)")),
    ("selu", "SELU", ("F.selu(x)", "torch.selu(x)")),
    ("celu", "CELU", ("F.celu(x, 0.5)", "F.celu(x, alpha=2.0)", "torch.celu(x, 0.5)")),
    ("celu", "CELU", ("torch.celu(x, alpha=0.5)", "torch.celu(x)")),
    ("leaky_relu", "LeakyReLU", ("F.leaky_relu(x)", "F.leaky_relu(x, 0.2)")),
    ("leaky_relu", "LeakyReLU", ("F.leaky_relu(x, negative_slope=0.3)",)),
    ("prelu", "PReLU", ("F.prelu(x, self.slope)", "torch.prelu(x, weight=self.slopes)")),
    ("prelu", "PReLU", ("x.prelu(self.slope)",)),
    ("prelu", "DynamicPReLU", ("F.prelu(x, v)", "x.prelu(weight=v)", "F.prelu(x, self.fixed)")),
    ("rrelu", "RReLU", ("F.rrelu(x)", "F.rrelu(x, 0.1, 0.5)", "torch.rrelu(x, 0.1, 0.5, False)")),
    ("glu", "GLU", ("F.glu(x)", "F.glu(x, 1)", "F.glu(x, dim=1)")),
    ("gelu", "GELU", ("F.gelu(x)", "F.gelu(x, approximate='tanh')", "F.gelu(input=x)")),
    ("log_sigmoid", "LogSigmoid", ("F.logsigmoid(x)",)),
    ("hardshrink", "Hardshrink", ("F.hardshrink(x)", "F.hardshrink(x, 0.1)", "x.hardshrink(0.1)")),
    ("hardshrink", "Hardshrink", ("F.hardshrink(x, lambd=0.2)", "torch.hardshrink(x)")),
    ("tanhshrink", "Tanhshrink", ("F.tanhshrink(x)",)),
    ("softsign", "Softsign", ("F.softsign(x)",)),
    ("softplus", "Softplus", ("F.softplus(x)", "F.softplus(x, 2)", "F.softplus(x, 2, 10)")),
    ("softplus", "Softplus", ("F.softplus(x, beta=2, threshold=1)",)),
    ("softmin", "Softmin", ("F.softmin(x, 1)", "F.softmin(x, dim=-1)")),
    ("softmin", "Softmin", ("F.softmin(x, 1, dtype=torch.float64)",)),
    ("softmax", "Softmax", ("F.softmax(x, 1)", "F.softmax(x, dim=-1)", "torch.softmax(x, 1)")),
    ("softmax", "Softmax", ("x.softmax(1)", "x.softmax(dim=2)", "torch.softmax(input=x, dim=1)")),
    ("softmax", "Softmax", ("torch.softmax(x, 1, torch.float64)", "x.softmax(1, torch.float64)")),
    ("softmax", "Softmax", ("F.softmax(x, 1, dtype=torch.float64)",)),
    ("softshrink", "Softshrink", ("F.softshrink(x)", "F.softshrink(x, 0.1)")),
    ("softshrink", "Softshrink", ("F.softshrink(x, lambd=0.1)",)),
    ("log_softmax", "LogSoftmax", ("F.log_softmax(x, 1)", "torch.log_softmax(x, 1)")),
    ("log_softmax", "LogSoftmax", ("x.log_softmax(dim=1)", "x.log_softmax(1, torch.float64)")),
    ("tanh", "Tanh", ("torch.tanh(x)", "F.tanh(x)", "x.tanh()")),
    ("sigmoid", "Sigmoid", ("torch.sigmoid(x)", "F.sigmoid(x)", "x.sigmoid()")),
    ("hardsigmoid", "Hardsigmoid", ("F.hardsigmoid(x)", "F.hardsigmoid(x, inplace=False)")),
    ("silu", "CustomSiLU", ("F.silu(x)", "F.silu(x.clone(), inplace=True)")),
    (
        "scaled_dot_product_attention",
        "ScaledDotProductAttention",
        (
            "F.scaled_dot_product_attention(x, y, x)",
            "F.scaled_dot_product_attention(x, y, x, is_causal=True)",
            "F.scaled_dot_product_attention(x, y, x, None, 0.0, True)",
            "F.scaled_dot_product_attention(x, y, x, attn_mask=y > 0.5, scale=0.3)",
            "F.scaled_dot_product_attention(query=x, key=y, value=x)",
        ),
    ),
    ("cat", "Concat", ("torch.cat([x, y])", "torch.cat((x, y), 1)", "torch.cat([x, y], dim=1)")),
    ("cat", "Concat", ("torch.cat([x, y], axis=2)", "torch.cat(tensors=[x, y], dim=-1)")),
    (
        "cat",
        "Concat",
        ("torch.cat(x.chunk(2, 1), 2)", "torch.cat([x])", "torch.cat(y.split(1), 1)"),
    ),
    ("conv2d", "Conv2d", ("F.conv2d(x, self.kernel)", "F.conv2d(x, self.kernel, self.bias)")),
    ("conv2d", "Conv2d", ("F.conv2d(x, self.kernel, bias=self.bias, stride=2)",)),
    ("conv2d", "Conv2d", ("torch.conv2d(x, self.kernel, None, 1, 1, 2)",)),
    ("conv2d", "Conv2d", ("F.conv2d(input=x, weight=self.kernel, padding='same')",)),
    ("conv2d", "Conv2d", ("F.conv2d(x, self.grouped, self.bias, (2, 1), (1, 0), 1, 2)",)),
    ("conv2d", "DynamicConv2d", ("F.conv2d(x, w)", "F.conv2d(x, w, bias=v)")),
    ("conv2d", "DynamicConv2d", ("F.conv2d(x, w, self.bias, stride=2, groups=1)",)),
    ("conv2d", "DynamicConv2d", ("F.conv2d(x, self.kernel, v)", "F.conv2d(x, self.buffer)")),
    ("pad", "Pad", ("F.pad(x, (1, 1))", "F.pad(x, (1, 2), value=3.0)")),
    (
        "pad",
        "Pad",
        ("F.pad(x, (1, 1, 1, 1), 'reflect')", "F.pad(x, pad=(0, 1, 1, 0), mode='circular')"),
    ),
    ("sum", "Sum", ("torch.sum(x)", "torch.sum(x, 1)", "torch.sum(x, dim=(1, 2), keepdim=True)")),
    ("sum", "Sum", ("x.sum()", "x.sum(1, True)", "x.sum((1, 2), True)", "x.sum(dim=-1)")),
    ("sum", "Sum", ("x.sum(axis=1)", "x.sum(dtype=torch.float64)")),
    ("add", "Add", ("x + y", "1 + x", "x + 1", "torch.add(x, y)", "torch.add(x, y, alpha=2)")),
    (
        "add",
        "Add",
        ("x.add(y)", "x.add(y, alpha=0.5)", "torch.add(input=x, other=y)", "x + self.slope"),
    ),
    (
        "add",
        "Add",
        ("x.add(other=3)", "x.new_full((x.size(0) + 1,), 2.0)", "x.view(x.shape[:2] + (36,))"),
    ),
    ("sub", "Subtract", ("x - y", "1 - x", "x - 1", "torch.sub(x, y)", "x.sub(y, alpha=2)")),
    ("sub", "Subtract", ("torch.sub(x, other=y, alpha=3)",)),
    ("subtract", "Subtract", ("torch.subtract(x, y)", "x.subtract(y)")),
    ("subtract", "Subtract", ("torch.subtract(x, y, alpha=2)", "x.subtract(other=1)")),
    ("mul", "Multiply", ("x * y", "2 * x", "x * 0.5", "torch.mul(x, y)", "x.mul(y)")),
    ("mul", "Multiply", ("torch.mul(x, other=y)", "x.reshape(x.size(0) * 4, -1)")),
    ("truediv", "Divide", ("x / y", "2 / x", "x / 3")),
    ("div", "Divide", ("torch.div(x, y)", "x.div(2)", "torch.div(x, y, rounding_mode='floor')")),
    ("div", "Divide", ("x.div(other=y, rounding_mode='trunc')",)),
    ("floordiv", "FloorDivide", ("x // y", "x // 0.3", "2 // x", "x.view(2, x.size(1) // 2, -1)")),
    (
        "matmul",
        "MatMul",
        ("x @ y", "torch.matmul(x, y)", "x.matmul(y)", "torch.matmul(x, other=y)"),
    ),
    ("exp", "Exponential", ("torch.exp(x)", "x.exp()", "torch.exp(input=x)")),
    (
        "interpolate",
        "Interpolate",
        (
            "F.interpolate(x, scale_factor=2)",
            "F.interpolate(x, (3, 4))",
            "F.interpolate(x, size=x.shape[2], mode='bilinear', align_corners=True)",
        ),
    ),
    ("max_pool2d", "MaxPool2d", ("F.max_pool2d(x, 2)", "F.max_pool2d(x, 3, 1, 1)")),
    ("max_pool2d", "MaxPool2d", ("F.max_pool2d(x, kernel_size=2, stride=1, ceil_mode=True)",)),
    ("max_pool2d_with_indices", "MaxPool2d", ("F.max_pool2d(x, 2, return_indices=True)",)),
    ("max_pool2d", "MaxPool2d", ("torch.max_pool2d(x, 2)", "torch.max_pool2d(x, 3, stride=2)")),
    ("max_pool2d_with_indices", "MaxPool2d", ("F.max_pool2d_with_indices(x, 2)",)),
    ("max_pool2d_with_indices", "MaxPool2d", ("F.max_pool2d_with_indices(x, 3, 1, padding=1)",)),
    ("adaptive_avg_pool2d", "AdaptiveAvgPool2d", ("F.adaptive_avg_pool2d(x, 1)",)),
    ("adaptive_avg_pool2d", "AdaptiveAvgPool2d", ("F.adaptive_avg_pool2d(x, output_size=(2, 3))",)),
    ("avg_pool2d", "AvgPool2d", ("F.avg_pool2d(x, 2)", "F.avg_pool2d(x, 3, 1, 1, False, False)")),
    ("avg_pool2d", "AvgPool2d", ("F.avg_pool2d(x, kernel_size=2, stride=1, divisor_override=3)",)),
    ("norm", "Norm", ("torch.norm(x)", "torch.norm(x, 1, 2)", "torch.norm(x, p='fro', dim=1)")),
    ("norm", "Norm", ("x.norm()", "x.norm(1)", "x.norm(2, 1, True)", "x.norm(p=1, dim=-1)")),
    ("batch_norm", "BatchNorm", ("F.batch_norm(x, self.bias, self.slopes.abs())",)),
    (
        "batch_norm",
        "BatchNorm",
        (
            "F.batch_norm(x, self.mean, self.var, self.slopes, self.bias, eps=0.1)",
            "F.batch_norm(x, None, None, training=True)",
            "torch.batch_norm(x, self.slopes, v, self.mean, self.var, False, 0.1, 0.2, True)",
        ),
    ),
    (
        "group_norm",
        "GroupNorm",
        ("F.group_norm(x, 2)", "F.group_norm(x, 2, self.slopes, self.bias)"),
    ),
    ("group_norm", "GroupNorm", ("torch.group_norm(x, 4, None, self.bias, 0.1, False)",)),
    ("group_norm", "GroupNorm", ("torch.group_norm(x, num_groups=2)",)),
    ("mean", "Mean", ("torch.mean(x)", "torch.mean(x, (2, 3))", "x.mean(1, True)", "x.mean()")),
    ("mean", "Mean", ("x.mean([2, 3])", "torch.mean(x, dim=1)", "x.mean(dim=1, keepdim=True)")),
    ("pow", "Pow", ("x**2", "2**x", "y**x", "torch.pow(x, 2)", "torch.pow(2, x)")),
    ("pow", "Pow", ("x.pow(3)", "x.pow(exponent=2)", "torch.pow(y, exponent=x)")),
    (
        "where",
        "Where",
        ("torch.where(x > 0, x, y)", "torch.where(x > 0, x, 0.0)", "x.where(x > 0, y)"),
    ),
    ("where", "Where", ("x.where(condition=y > 0.5, other=y)", "x.where(x > y, 2.0)")),
    ("where", "Where", ("torch.where(condition=x > 0, input=x, other=y)", "torch.where(x > 0.5)")),
    ("addmm", "Addmm", ("torch.addmm(m, m, m)", "m.addmm(m, m)", "torch.addmm(m, m, m, beta=0.5)")),
    ("addmm", "Addmm", ("m.addmm(mat1=m, mat2=m, alpha=2)",)),
    ("bmm", "Bmm", ("torch.bmm(x[0], y[0])", "x[0].bmm(y[1])", "torch.bmm(x[0], mat2=y[0])")),
    ("baddbmm", "Baddbmm", ("torch.baddbmm(x[0], x[1], y[0])", "x[0].baddbmm(x[1], y[1], beta=2)")),
    ("cumsum", "CumSum", ("torch.cumsum(x, 1)", "x.cumsum(dim=-1)", "torch.cumsum(x, dim=0)")),
    ("masked_fill", "MaskedFill", ("x.masked_fill(x > 0, 2.0)", "torch.masked_fill(x, x > 0, 1)")),
    ("masked_fill", "MaskedFill", ("x.masked_fill(mask=x > 0, value=-1.0)",)),
    ("square", "Square", ("torch.square(x)", "x.square()")),
    ("rsqrt", "RSqrt", ("torch.rsqrt(y)", "y.rsqrt()")),
    ("grid_sample", "GridSample", ("F.grid_sample(x, g, align_corners=False)",)),
    ("grid_sample", "GridSample", ("F.grid_sample(x, g, 'nearest', 'border', True)",)),
)

BUILTINS = ("pow", "sum")  # torch.fx never gives a node the name of one of Python's functions


@dataclass(frozen=True, slots=True)
class Case:
    """A call, and what becomes of it."""

    node: str
    module: str
    expression: str

    def name(self, number: int) -> str:
        """The name of the module in the place of the call, which is the model's `number`th."""
        number += self.node in BUILTINS
        return f"module_{self.node}_{number}" if number else f"module_{self.node}"


CASES = tuple(Case(node, kind, e) for node, kind, calls in TABLE for e in calls)

FORWARD = """
def forward(self, x, y, m, g, v, w):
    return {expression}
"""


class Tensors(nn.Module):
    """What the calls of the table read from the model."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.kernel, self.grouped = _parameter(4, 4, 3, 3), _parameter(4, 2, 3, 3)
        self.bias, self.slopes, self.slope = _parameter(4), _parameter(4), _parameter(1)
        self.register_buffer("buffer", torch.rand(4, 4, 3, 3))
        self.register_buffer("fixed", torch.rand(4))
        self.register_buffer("mean", torch.rand(4))
        self.register_buffer("var", torch.rand(4))


def _parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.rand(shape))


def block(expression: str) -> nn.Module:
    """A module that computes the expression."""
    scope: dict[str, object] = {"F": F, "torch": torch}
    exec(FORWARD.format(expression=expression), scope)
    return type("Block", (Tensors,), {"forward": scope["forward"]})()


class Twice(nn.Module):
    """Two blocks, each called once."""

    def __init__(self, expression: str) -> None:
        super().__init__()
        self.first, self.second = block(expression), block(expression)

    def forward(self, x, y, m, g, v, w):
        return self.first(x, y, m, g, v, w), self.second(x, y, m, g, v, w)


def inputs() -> tuple[torch.Tensor, ...]:
    """x, y > 0, a matrix, a grid, a vector and a kernel."""
    torch.manual_seed(1)
    return (
        torch.randn(2, 4, 6, 6),
        torch.rand(2, 4, 6, 6) + 0.1,
        torch.randn(3, 3),
        torch.rand(2, 3, 3, 2) * 2 - 1,
        torch.rand(4),
        torch.rand(4, 4, 2, 2),
    )
