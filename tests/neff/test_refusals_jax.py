"""The error pages show most conditions as JAX programs: such programs are refused likewise."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from hlo_frontend.hlo.proto import read_module
from neff.options import parse_options
from neff.support.refusals import refusals

IMAGE = jnp.ones((1, 4, 4, 1))
KERNEL = jnp.ones((3, 3, 1, 1))
ROWS = lax.GatherDimensionNumbers((1,), (0,), (0,))
UPDATES = lax.ScatterDimensionNumbers((1,), (0,), (0,))


def convolution(**window):
    def run(x, kernel):
        return lax.conv_general_dilated(
            x,
            kernel,
            padding=((2, 2), (2, 2)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            **{"window_strides": (1, 1), **window},
        )

    return run


def pooled(**dilation):
    def run(x):
        return lax.reduce_window(
            x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 1, 1, 1), "VALID", **dilation
        )

    return run


def both_extremes(x):
    return lax.reduce_window(
        (x, x),
        (-jnp.inf, jnp.inf),
        lambda a, b: (jnp.maximum(a[0], b[0]), jnp.minimum(a[1], b[1])),
        (1, 2, 2, 1),
        (1, 2, 2, 1),
        "VALID",
    )


def rows(count):
    def run(x):
        indices = lax.iota(jnp.int32, count).reshape(count, 1)
        return lax.gather(x, indices, ROWS, slice_sizes=(1, 4))

    return run


def written(count):
    def run(x):
        indices = lax.iota(jnp.int32, count).reshape(count, 1)
        return lax.scatter(x, indices, jnp.ones((count, 4)), UPDATES)

    return run


def random_bits(algorithm):
    return lambda key: lax.rng_bit_generator(key, (4,), algorithm=algorithm)


def plus(constant):
    return lambda x: x + jnp.uint64(constant)


KEY = jnp.zeros(4, jnp.uint32)
TABLE = jnp.zeros((3, 4))
# fmt: off
CASES = [
    (convolution(lhs_dilation=(2, 2), rhs_dilation=(2, 2)), (IMAGE, KERNEL), ["NCC_EVRF010"]),
    (convolution(lhs_dilation=(1, 1), rhs_dilation=(2, 2)), (IMAGE, KERNEL), []),
    (convolution(window_strides=(2, 2), lhs_dilation=(2, 2)), (IMAGE, KERNEL), ["NCC_EVRF011"]),
    (convolution(window_strides=(2, 2)), (IMAGE, KERNEL), []),
    (pooled(base_dilation=(1, 2, 1, 1)), (IMAGE,), ["NCC_EVRF017"]),
    (pooled(window_dilation=(1, 2, 2, 1)), (IMAGE,), ["NCC_EVRF018"]),
    (pooled(), (IMAGE,), []),
    (both_extremes, (IMAGE,), ["NCC_EVRF019"]),
    (rows(10), (TABLE,), ["NCC_EVRF056"]),
    (rows(3), (TABLE,), []),
    (written(10), (TABLE,), ["NCC_EVRF031"]),
    (written(3), (TABLE,), []),
    (random_bits(lax.RandomAlgorithm.RNG_PHILOX), (KEY,), ["NCC_EVRF006"]),
    (random_bits(lax.RandomAlgorithm.RNG_DEFAULT), (KEY,), []),
    (lambda key: jax.random.normal(key, (4,)), (jnp.zeros(2, jnp.uint32),), []),
    (plus(5_000_000_000), (np.ones(3, np.uint64),), ["NCC_ESFH002"]),
    (plus(5), (np.ones(3, np.uint64),), []),
]
# fmt: on


@pytest.mark.parametrize(("func", "inputs", "codes"), CASES)
def test_refused_as_the_pages_say(func, inputs, codes):
    with jax.enable_x64(any(x.dtype == np.uint64 for x in inputs)):
        proto = jax.jit(func).lower(*inputs).compiler_ir("hlo")
    module = read_module(proto.as_serialized_hlo_module_proto())
    assert [r.code for r in refusals(module, parse_options(""))] == codes
