"""Serialized modules of real programs, from torch-xla's tensors and from JAX's lowering."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import nn

from hlo_frontend.capture.xla import device, extension


def of_torch(make: Callable[[], tuple[Callable[..., Any], tuple[torch.Tensor, ...]]]) -> bytes:
    """The module of a callable's results on lazy tensors."""
    native = extension()
    torch.manual_seed(0)
    function, inputs = make()
    on = device()
    if isinstance(function, nn.Module):
        function = function.eval().to(on)
    with torch.no_grad():
        results = function(*(i.to(on) for i in inputs))
    tensors = [t for t in _flat(results) if isinstance(t, torch.Tensor)]
    proto: bytes = native._get_xla_tensors_hlo_proto(tensors)
    return proto


def _flat(value: Any) -> list[Any]:
    if isinstance(value, (tuple, list)):
        return [leaf for v in value for leaf in _flat(v)]
    return [value]


def of_jax(function: Callable[..., Any], *inputs: Any) -> bytes:
    """The module of a function lowered for these inputs."""
    proto: bytes = (
        jax.jit(function).lower(*inputs).compiler_ir("hlo").as_serialized_hlo_module_proto()
    )
    return proto


def _perceptron() -> Any:
    return nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2)), (torch.randn(3, 4),)


def _convolution() -> Any:
    layers = (nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2))
    return nn.Sequential(*layers), (torch.randn(2, 3, 8, 8),)


def _grouped_convolution() -> Any:
    layers = (nn.Conv2d(4, 8, 3, stride=2, groups=2, dilation=2, padding=2), nn.AvgPool2d(2))
    return nn.Sequential(*layers), (torch.randn(1, 4, 9, 9),)


def _transposed_convolution() -> Any:
    return nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1), (torch.randn(1, 3, 5, 5),)


def _layer_norm() -> Any:
    return nn.LayerNorm(6), (torch.randn(2, 3, 6),)


def _softmax() -> Any:
    return lambda x: torch.softmax(x, -1), (torch.randn(2, 5),)


def _recurrent() -> Any:
    return nn.LSTM(4, 5), (torch.randn(3, 2, 4),)


def _embedding() -> Any:
    return nn.Embedding(10, 4), (torch.tensor([[1, 2], [3, 9]]),)


def _indexing() -> Any:
    def function(x: torch.Tensor, i: torch.Tensor) -> Any:
        y = x.clone()
        y[i] = 0.5
        return (
            x[i],
            torch.gather(x, 1, i[None]),
            y,
            torch.zeros(3, 4).to(x.device).scatter(1, i[:, None] % 4, 2.0),
            x.index_select(0, i),
        )

    return function, (torch.randn(3, 4), torch.tensor([0, 2, 1]))


def _sorting() -> Any:
    return lambda x: (*x.sort(-1), *x.topk(2), x.argmax(0), x.cumsum(1)), (torch.randn(3, 5),)


def _types() -> Any:
    def function(x: torch.Tensor) -> Any:
        half, brain, whole = x.half(), x.bfloat16(), x.int()
        return (
            half * 0.1,
            brain + 0.3,
            whole // 3,
            x > 0.5,
            x.double() ** 2,
            (whole & 7).to(torch.uint8),
        )

    return function, (torch.randn(2, 3),)


def _attention() -> Any:
    def function(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> Any:
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)

    return function, tuple(torch.randn(1, 2, 4, 8) for _ in range(3))


def _random() -> Any:
    return lambda x: x + torch.rand_like(x), (torch.randn(3),)


TORCH = {
    f.__name__.strip("_"): f
    for f in (
        _perceptron,
        _convolution,
        _grouped_convolution,
        _transposed_convolution,
        _layer_norm,
        _softmax,
        _recurrent,
        _embedding,
        _indexing,
        _sorting,
        _types,
        _attention,
        _random,
    )
}

_MATRIX = np.arange(9, dtype=np.float32).reshape(3, 3)
_IMAGE = np.ones((1, 6, 6, 2), np.float32)
_KERNEL = np.ones((3, 3, 2, 4), np.float32)


def _loop(x: Any) -> Any:
    return jax.lax.while_loop(lambda s: s[0] < 5, lambda s: (s[0] + 1, jnp.tanh(s[1]) @ x), (0, x))


def _branches(i: Any, x: Any) -> Any:
    two = jax.lax.cond(i > 0, jnp.sin, jnp.cos, x)
    return jax.lax.switch(i, [jnp.exp, jnp.log, jnp.negative], two)


def _scan(x: Any) -> Any:
    return jax.lax.scan(lambda c, row: (c + row, c * row), x[0], x)


def _windows(x: Any) -> Any:
    def pool(v: Any) -> Any:
        return jax.lax.reduce_window(v, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "SAME")

    return pool(x), jax.grad(lambda v: pool(v).sum())(x), jax.lax.cumsum(x, axis=1)


def _convolve(x: Any, k: Any) -> Any:
    return jax.lax.conv_general_dilated(
        x,
        k,
        (2, 1),
        "SAME",
        rhs_dilation=(1, 2),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=jax.lax.Precision.HIGHEST,
    )


def _algebra(x: Any) -> Any:
    spectrum = jnp.fft.rfft(x)
    lower = jax.lax.linalg.cholesky(x @ x.T + 9 * jnp.eye(3), symmetrize_input=False)
    solved = jax.lax.linalg.triangular_solve(lower, x, left_side=True, lower=True)
    return jnp.fft.irfft(spectrum, 3), lower, solved, jnp.einsum("ij,kj->ik", x, x)


def _order(x: Any) -> Any:
    keys, values = jax.lax.sort((x, -x), num_keys=1)
    return keys, values, jax.lax.top_k(x, 2), jnp.argsort(x, axis=0), jnp.median(x)


def _pieces(x: Any, i: Any) -> Any:
    block = jax.lax.dynamic_slice(x, (i, i), (2, 2))
    padded = jax.lax.pad(x, jnp.float32(-1), ((1, 0, 2), (0, -1, 0), (0, 0, 0))[:2])
    updated = jax.lax.dynamic_update_slice(x, 2 * block, (i, 0))
    return block, padded, updated, x[::-1, ::2], jnp.concatenate([x, x]), x.at[i].add(1)


def _bits(x: Any) -> Any:
    bits = jax.lax.bitcast_convert_type(x, jnp.uint8)
    counted = jax.lax.population_count(bits), jax.lax.clz(bits)
    rounded = jax.lax.reduce_precision(x, 8, 7)
    return bits, counted, rounded, jnp.isfinite(x), jnp.bitwise_xor(bits, 3) >> 1


def _complex_numbers(x: Any) -> Any:
    z = jax.lax.complex(x, x + 1)
    return z * z, jnp.abs(z), jnp.real(z), jnp.imag(z), z == z


def _elementary(x: Any) -> Any:
    functions = (
        jax.lax.erf,
        jax.lax.cbrt,
        jax.lax.logistic,
        jax.lax.log1p,
        jax.lax.expm1,
        jax.lax.tan,
        jax.lax.asinh,
        jax.lax.round,
        jax.lax.sign,
        jax.lax.rsqrt,
    )
    return [f(x) for f in functions], jnp.arctan2(x, x), jnp.clip(x, -1, 1), x % 3, x**3


def _noise(x: Any) -> Any:
    key = jax.random.key(0)
    return jax.random.normal(key, (3,)), jax.lax.rng_uniform(x[0, 0], x[0, 1], (4,))


def _constants(x: Any) -> Any:
    table = jnp.array([[np.nan, np.inf, 3e10], [1e-9, 0.1, 16777217.0]], jnp.float32)
    return table, jnp.arange(12).reshape(2, 2, 3, 1), jnp.array([1.1, 2.2], jnp.bfloat16), x


JAX: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "loop": (_loop, (_MATRIX,)),
    "branches": (_branches, (1, _MATRIX)),
    "scan": (_scan, (_MATRIX,)),
    "windows": (_windows, (_IMAGE,)),
    "convolve": (_convolve, (_IMAGE, _KERNEL)),
    "algebra": (_algebra, (_MATRIX,)),
    "order": (_order, (_MATRIX,)),
    "pieces": (_pieces, (_MATRIX, 1)),
    "bits": (_bits, (_MATRIX,)),
    "complex_numbers": (_complex_numbers, (_MATRIX,)),
    "elementary": (_elementary, (_MATRIX,)),
    "noise": (_noise, (_MATRIX,)),
    "constants": (_constants, (_MATRIX,)),
}
