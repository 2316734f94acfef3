"""A program as StableHLO, for runtimes that know nothing of NeuronCores."""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import numpy as np
from jax import export

from neff.container import read_neff
from neff.program import Kind, Program
from runtime.executable import returned
from runtime.interpreter import interpret
from runtime.rounding import NEAREST


@dataclass(frozen=True, slots=True)
class Portable:
    """Serialized StableHLO, whose arguments are a program's inputs, then its weights.

    `version` is that of the calling convention: the attribute of TensorFlow's XlaCallModule.
    """

    module: bytes
    version: int
    weights: tuple[np.ndarray, ...] = field(compare=False, repr=False)


def portable(neff: bytes) -> Portable:
    """The program of a NEFF. Raises ValueError for one that keeps states between its calls."""
    program = read_neff(neff).program
    states = [v.name for v in program.inputs if v.kind is Kind.STATE]
    if states:
        raise ValueError(f"portable: a program with states has no such form, got {states}")
    bound = [n for n, v in enumerate(program.inputs) if v.weight is not None]
    called = [n for n, v in enumerate(program.inputs) if v.weight is None]
    place = {n: p for p, n in enumerate((*called, *bound))}
    with jax.enable_x64(True):
        arguments = [
            jax.ShapeDtypeStruct(s.dims, s.numpy)
            for s in (program.inputs[n].shape for n in (*called, *bound))
        ]
        function = jax.jit(lambda *given: _outputs(program, place, given), keep_unused=True)
        made = export.export(function, platforms=["cpu"])(*arguments)
    weights = tuple(np.asarray(w.array) for n in bound if (w := program.inputs[n].weight))
    return Portable(bytes(made.mlir_module_serialized), made.calling_convention_version, weights)


def _outputs(
    program: Program, place: dict[int, int], given: tuple[jax.Array, ...]
) -> tuple[jax.Array, ...]:
    arguments = tuple(given[place[n]] for n in range(len(program.inputs)))
    made = interpret(program, arguments, NEAREST, None)
    return tuple(made[n] for n in returned(program))
