"""Runs single instructions of a program, so that every value it makes can be looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import jax
import numpy as np

from hlo_frontend.hlo.module import NO_METADATA
from hlo_frontend.hlo.types import AnyShape, Shape, TupleShape
from neff.program import Function, Instruction
from runtime.compiled import COMPILER_OPTIONS
from runtime.interpreter import evaluate
from runtime.kernels.kind import Value

# Most instructions run a few times on little data: compiling them well costs more than it saves.
QUICK_BYTES = 1 << 22
QUICK = {"xla_backend_optimization_level": 0}
_Key = tuple[Instruction, tuple[Function, ...]]


class Probe:
    """Compiles each instruction by itself; equal ones, of any program, share one executable.

    Nothing is fused, so every value is rounded to the type that the program gives it.
    """

    def __init__(self) -> None:
        self._compiled: dict[_Key, Callable[..., Value]] = {}

    def run(
        self,
        functions: Mapping[str, Function],
        instruction: Instruction,
        position: int,
        operands: Sequence[Value],
    ) -> Value:
        """The value of an instruction that is not a parameter.

        Raises UnsupportedInstructionError where the runtime has no kernel for it.
        """
        bodies = tuple(functions.values()) if instruction.bodies else ()
        key = (canonical(instruction), bodies)
        with jax.enable_x64(True):
            if key not in self._compiled:
                step = partial(_step, functions, instruction, position)
                options = {**COMPILER_OPTIONS, **(QUICK if _is_small(instruction.shape) else {})}
                self._compiled[key] = jax.jit(step, keep_unused=True, compiler_options=options)
            return self._compiled[key](*operands)

    def place(self, array: np.ndarray) -> Value:
        """An array as a value; on the CPU it is not copied where it is aligned."""
        with jax.enable_x64(True):
            return jax.device_put(array, jax.devices("cpu")[0], may_alias=True)

    def convert(self, value: Value, shape: AnyShape) -> Value:
        """A value in the element types of `shape`, rounded to nearest even; itself if it has them.

        Raises TypeError where a complex value would lose its imaginary part.
        """
        if isinstance(shape, TupleShape):
            parts = (self.convert(v, s) for v, s in zip(value, shape.elements, strict=True))
            return tuple(parts)
        if not isinstance(shape, Shape) or value.dtype == shape.numpy:
            return value
        if value.dtype.kind == "c" and shape.numpy.kind != "c":
            raise TypeError(f"probe: a complex value must stay complex, got {shape}")
        with jax.enable_x64(True):
            return value.astype(shape.numpy)


def canonical(instruction: Instruction) -> Instruction:
    """What an instruction computes, wherever it stands: without operands, place and engine."""
    return replace(instruction, operands=(), metadata=NO_METADATA, engine=None)


def _is_small(shape: AnyShape) -> bool:
    return shape.bytes <= QUICK_BYTES


def _step(
    functions: Mapping[str, Function], instruction: Instruction, position: int, *operands: Value
) -> Value:
    return evaluate(functions, instruction, position, operands)
