"""A program as one executable of XLA's, which JAX makes of the interpreter."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from neff.program import Program
from runtime.bounds import Bounds
from runtime.compiled import compiled
from runtime.executable import Executable, Made, Mode, State
from runtime.interpreter import interpret
from runtime.units.ffi import Planned, register
from runtime.units.native import Place
from runtime.units.plan import Plan, plan
from runtime.units.weights import Memory, filled


class JittedExecutable(Executable):
    """A program with weights and states on the device, each once; kernels compute its units."""

    def __init__(self, program: Program, mode: Mode, key: str | None = None) -> None:
        super().__init__(program)
        made = None
        if mode.native:
            register()
            made = plan(program)
        held = () if made is None else made.held
        with jax.enable_x64(True):
            with filled(held, program.weights) as memory:
                own = self._compile(mode, key, made, memory)
            self._weights = (*own, _on_device(memory.array))

    def _compile(
        self, mode: Mode, key: str | None, made: Plan | None, memory: Memory
    ) -> list[jax.Array]:
        """Make it an executable, and say what that reads beside what kernels do."""
        bound, weights = self._bound(made)
        self.initial_state = tuple(bound[n] for n in self._states)
        order = {n: p for p, n in enumerate((*self._called, *self._states, *weights))}
        position = [order.get(n) for n in range(len(self.program.inputs))]
        called = [jax.ShapeDtypeStruct(s.dims, s.numpy) for s in self.called]
        run = partial(_run, self.program, position, mode, made, memory.places)
        own = [bound[n] for n in weights]
        # States and weights themselves: a call on a device's arrays is another executable.
        given = (*called, *self.initial_state, *own, _like(memory.array))
        self._run = compiled(run, given, key)
        return own

    def _bound(self, made: Plan | None) -> tuple[dict[int, jax.Array], list[int]]:
        """The arrays of the inputs that are bound, each weight once, and which are weights.

        A weight that is held for kernels, and that nothing else reads, is left out.
        """
        placed: dict[str, jax.Array] = {}
        bound: dict[int, jax.Array] = {}
        for n, v in enumerate(self.program.inputs):
            read = made is None or n in made.inputs or n in self._states
            if v.weight is not None and read:
                if v.weight.digest not in placed:
                    placed[v.weight.digest] = _on_device(v.weight.array)
                bound[n] = placed[v.weight.digest]
        return bound, [n for n in bound if n not in self._states]

    def start(self, arrays: Sequence[Any], state: State) -> Made:
        with jax.enable_x64(True):
            made = self._run(*arrays, *state, *self._weights)
        outputs = tuple([made[n] for n in self._returned])
        outside = made[-1] if len(made) > len(self.program.outputs) else None
        return Made(outputs, tuple([made[n] for n in self._kept]), outside)


def _run(
    program: Program,
    position: list[int | None],
    mode: Mode,
    planned: Plan | None,
    places: Sequence[Place],
    *arguments: jax.Array,
) -> tuple[tuple[jax.Array, ...], jax.Array | None]:
    bounds = Bounds()
    watch = bounds if mode.check_bounds else None
    given = tuple(None if p is None else arguments[p] for p in position)
    units = None if planned is None else Planned(planned, places, arguments[-1])
    made = interpret(program, given, mode.rounding, watch, units)
    return made, bounds.exceeded


def _on_device(array: np.ndarray) -> jax.Array:
    """An array on the device: the host's memory itself where it is aligned."""
    return jax.device_put(array, jax.devices("cpu")[0], may_alias=True)


def _like(array: np.ndarray) -> jax.ShapeDtypeStruct:
    """What an array will be on the device."""
    here = jax.sharding.SingleDeviceSharding(jax.devices("cpu")[0])
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=here)
