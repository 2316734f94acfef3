"""The native kernels in XLA: registered once, called from what JAX traces."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from hlo_frontend.hlo.types import Shape
from neff.program import Function
from runtime.kernels.kind import Value
from runtime.units.native import Place, loaded
from runtime.units.plan import Plan
from runtime.units.unit import Slot

_KERNELS = ("neuron_chain", "neuron_contraction", "neuron_pair", "neuron_rows", "neuron_windows")
GIVEN = (-1, 0, 0)  # instead of a place in the memory of weights: an argument of its own


@functools.cache
def register() -> None:
    """Tell XLA of the kernels: what makes a call of one of its words, once, and what runs it.

    An executable that calls them cannot be read back before.
    """
    jax.devices("cpu")  # before there is a backend JAX would register types after what is of them
    native, capsule = loaded(), jax.ffi.pycapsule

    def told(part: str) -> Any:
        tell = getattr(native, f"neuron_call_{part}")
        tell.restype = ctypes.c_void_p
        return capsule(ctypes.c_void_p(tell()))

    described: Any = {"type_id": told("id"), "type_info": told("info")}
    jax.ffi.register_ffi_type("neuron_call", described, platform="cpu")
    for name in _KERNELS:
        stages = {"instantiate": getattr(native, f"{name}_make"), "execute": getattr(native, name)}
        handlers = {stage: capsule(handler) for stage, handler in stages.items()}
        jax.ffi.register_ffi_target(name, handlers, platform="cpu")


def call(
    kernel: str,
    shape: Shape,
    words: Sequence[int],
    operands: Sequence[Value | Place],
    memory: Value | None = None,
) -> jax.Array:
    """The result of a kernel on arrays, as a part of what is being traced.

    Those that are places are there in `memory`.
    """
    register()
    result = jax.ShapeDtypeStruct(shape.dims, shape.numpy)
    given = [o for o in operands if not isinstance(o, Place)]
    if len(given) < len(operands):
        given.insert(0, memory)
    places = (o if isinstance(o, Place) else GIVEN for o in operands)
    every = (len(operands), *sum(places, ()), *words)
    made: jax.Array = jax.ffi.ffi_call(kernel, result)(*given, words=np.array(every, np.int64))
    return made


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan with the weights that its kernels read, on the device."""

    plan: Plan
    places: Sequence[Place]
    memory: Value

    def value(self, function: Function, position: int, values: Sequence[Value]) -> Value:
        """What the unit makes whose result is at a position, of the values before it."""
        unit = self.plan.units[position]
        given = [self.places[o.number] if isinstance(o, Slot) else values[o] for o in unit.operands]
        shape = function.instructions[position].array
        return call(unit.kernel, shape, unit.words, given, self.memory)
