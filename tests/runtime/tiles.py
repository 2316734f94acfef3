"""Programs as one native call over rows, and as JAX computes them, for the tests of these calls."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from hlo_frontend.hlo.parse import parse_module
from neff.lower import lower
from neff.program import Program
from runtime.interpreter import interpret
from runtime.units.ffi import call
from runtime.units.native import available
from runtime.units.rows import lower_rows

SMALLEST = np.finfo(np.float32).tiny


def program_of(text: str) -> Program:
    """The program of a module's text; of the entry's lines alone, where no function is called."""
    return lower(
        parse_module(text if "ENTRY" in text else f"HloModule m\nENTRY main {{\n{text}\n}}")
    )


def members_of(program: Program) -> tuple[int, ...]:
    """All instructions of the entry function that compute."""
    sources = ("parameter", "constant")
    return tuple(p for p, i in program.main.numbered() if i.op not in sources)


def in_rows(program: Program, *arrays: np.ndarray, members: Sequence[int] = ()) -> np.ndarray:
    """The value of the last member (of all, unless given) by the native kernel for rows."""
    assert available(), "the native kernels must be there: is a C++ compiler installed?"
    main = program.main
    members = tuple(members) or members_of(program)
    code = lower_rows(program, members)
    shape = main.instructions[members[-1]].array

    def run(*given: jax.Array) -> jax.Array:
        values = [
            given[i["number"]] if i.op == "parameter" else jnp.asarray(i["literal"].numpy())
            for i in (main.instructions[o] for o in code.operands)
        ]
        return call("neuron_rows", shape, code.words, values)

    with jax.enable_x64(True):
        return np.asarray(jax.jit(run)(*arrays))


def by_jax(program: Program, *arrays: np.ndarray) -> np.ndarray:
    """The program's only output by the kernels in JAX."""
    with jax.enable_x64(True):
        return np.asarray(jax.jit(lambda *xs: interpret(program, xs)[0])(*arrays))


def flushed(x: np.ndarray) -> np.ndarray:
    """Numbers as kernels see them under XLA, which takes denormals for zeros of their sign."""
    return np.where(np.abs(x) < SMALLEST, np.copysign(x.dtype.type(0), x), x)


def ulps_off(made: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """How far f32 numbers are from exact ones, in units in the last place of these.

    0 for equal values, for NaN where NaN is exact, and for what is flushed to zero.
    """
    with np.errstate(all="ignore"):
        nearest = exact.astype(np.float32)
        magnitude = np.minimum(np.abs(nearest), np.finfo(np.float32).max)
        off = np.abs(made.astype(np.float64) - exact) / np.spacing(magnitude).astype(np.float64)
    equal = (made == nearest) | (np.isnan(made) & np.isnan(nearest))
    gone = (made == 0) & (np.abs(exact) <= SMALLEST)
    return np.where(equal | gone, 0.0, np.where(np.isnan(off), np.inf, off))


def same_bits(made: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Where two arrays of floats have the same value and sign, or both NaN."""
    same = (made == expected) & (np.signbit(made) == np.signbit(expected))
    return same | (np.isnan(made) & np.isnan(expected))
