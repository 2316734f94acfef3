"""A NEFF loaded on a NeuronCore: weights on the device, and one compiled executable."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial

import jax
import numpy as np

from neff.container import read_neff
from neff.program import NARROWED, Kind, Program, Variable
from runtime.core import NeuronCore, machine
from runtime.interpreter import interpret
from runtime.rounding import Rounding, rounding_in_force

logger = logging.getLogger("Neuron")
# XLA must not leave out the rounding of a value that it would widen again.
COMPILER_OPTIONS = {"xla_allow_excess_precision": False}

# What the tensor of an element type is called in torch.
TORCH_TYPES = {
    "pred": "bool",
    "s8": "int8",
    "s16": "int16",
    "s32": "int32",
    "s64": "int64",
    "u8": "uint8",
    "u16": "uint16",
    "u32": "uint32",
    "u64": "uint64",
    "f16": "float16",
    "bf16": "bfloat16",
    "f32": "float32",
    "f64": "float64",
    "c64": "complex64",
    "c128": "complex128",
    "f8e4m3fn": "float8_e4m3fn",
    "f8e5m2": "float8_e5m2",
}
TensorSpec = tuple[str, str, tuple[int, ...]]  # name, torch's dtype, sizes


def _spec(variable: Variable) -> TensorSpec:
    """A variable in torch's words; a type that torch has no tensors of keeps HLO's name."""
    dtype = variable.shape.dtype
    return variable.name, TORCH_TYPES.get(dtype, dtype), variable.shape.dims


def _device_array(array: np.ndarray) -> jax.Array:
    """An array on the device; on the CPU, the host's memory itself where it is aligned."""
    return jax.device_put(array, jax.devices("cpu")[0], may_alias=True)


class Model:
    """A program on a core. `execute` may be called from many threads; executions take turns."""

    def __init__(self, program: Program, core: NeuronCore) -> None:
        self.program = program
        self.core = core
        kinds = [v.kind for v in program.inputs]
        self._called = [n for n, k in enumerate(kinds) if k is Kind.INPUT]
        self._states = [n for n, k in enumerate(kinds) if k is Kind.STATE]
        state_of = {output: n for output, n in program.aliases if n in self._states}
        self._returned = [n for n in range(len(program.outputs)) if n not in state_of]
        self._kept = {n: output for output, n in state_of.items()}
        self.inputs = tuple(_spec(program.inputs[n]) for n in self._called)
        self.outputs = tuple(_spec(program.outputs[n]) for n in self._returned)
        self._layout = [
            (program.inputs[n].shape.numpy, program.inputs[n].shape.dims) for n in self._called
        ]
        self._watched = _narrowed_inputs(program, self._called)
        self._memory = program.scratchpad + sum(w.shape.bytes for w in program.weights.values())
        core.allocate(self._memory)
        try:
            with jax.enable_x64(True):
                self._place()
        except BaseException:
            core.free(self._memory)
            raise

    def _place(self) -> None:
        """Put weights and states on the core, each once, and compile the program for it."""
        on_core = {d: _device_array(w.array) for d, w in self.program.weights.items()}
        bound = {
            n: on_core[v.weight.digest]
            for n, v in enumerate(self.program.inputs)
            if v.weight is not None
        }
        weights = [n for n in bound if n not in self._states]
        self._weights = tuple(bound[n] for n in weights)
        self._state = tuple(bound[n] for n in self._states)
        order = {n: p for p, n in enumerate((*self._called, *self._states, *weights))}
        position = [order[n] for n in range(len(self.program.inputs))]
        called = [jax.ShapeDtypeStruct(dims, dtype) for dtype, dims in self._layout]
        run = partial(_run, self.program, position, rounding_in_force())
        self._executable = jax.jit(run, keep_unused=True, compiler_options=COMPILER_OPTIONS)
        # States and weights themselves: a call on a device's arrays is another executable.
        self._executable.lower(*called, *self._state, *self._weights).compile()

    def execute(self, inputs: Sequence[memoryview]) -> list[np.ndarray]:
        """Run once. Inputs are the bytes of each tensor, row-major; so are the results, as uint8.

        Shapes and types must have been checked against `inputs` of this model.
        """
        arrays = [
            np.frombuffer(view, dtype).reshape(dims)
            for view, (dtype, dims) in zip(inputs, self._layout, strict=True)
        ]
        if self._watched:
            self._watch(arrays)
        with self.core.queue, jax.enable_x64(True):
            made = self._executable(*arrays, *self._state, *self._weights)
            if self._states:
                self._state = tuple(made[self._kept[n]] for n in self._states)
            outputs = [np.asarray(made[n]) for n in self._returned]
        return [o.reshape(-1).view(np.uint8) for o in outputs]

    def _watch(self, arrays: Sequence[np.ndarray]) -> None:
        """Warn, once a model, of an input that the emulated core would cut off to 32 bits."""
        for n, lowest, highest in self._watched:
            given = arrays[n].reshape(-1)
            if given.size and (_greatest(given) > highest or _least(given) < lowest):
                self._watched = ()
                logger.warning(
                    "input %s holds integers that 32 bits cannot (%d to %d): on this target "
                    "int64 is computed as int32, and their upper halves are cut off",
                    *(self.inputs[n][0], _least(given), _greatest(given)),
                )
                return

    def unload(self) -> None:
        """Give the core's memory back. The model cannot be executed afterwards."""
        self.core.free(self._memory)
        del self._executable, self._weights, self._state
        self._memory = 0


def _run(
    program: Program, position: list[int], rounding: Rounding, *arguments: jax.Array
) -> tuple[jax.Array, ...]:
    return interpret(program, tuple(arguments[p] for p in position), rounding)


_least, _greatest = np.minimum.reduce, np.maximum.reduce  # half the time of an array's methods


def _narrowed_inputs(program: Program, called: list[int]) -> tuple[tuple[int, int, int], ...]:
    """The inputs of a call whose 64-bit integers are cut off, the least and greatest that fit."""
    main = program.main
    found = {
        main.instructions[i.operands[0]]["number"]: np.iinfo(i.array.numpy)
        for i in main.instructions
        if i.op == "convert" and i.attrs == NARROWED
    }
    return tuple(
        (n, int(found[number].min), int(found[number].max))
        for n, number in enumerate(called)
        if number in found
    )


def load(neff: bytes | bytearray | memoryview, core: NeuronCore | None = None) -> Model:
    """Load a NEFF on a core, the next in turn by default. Raises NeffError, NeuronRuntimeError."""
    return Model(read_neff(neff).program, core or machine().next_core())
