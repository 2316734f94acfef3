"""A program made ready to run: weights on the device and one XLA executable, for all its cores."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import jax
import numpy as np

from neff.container import Neff
from neff.program import Kind, Program, Variable
from runtime.bounds import Bounds
from runtime.interpreter import interpret
from runtime.memory import Needs

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
State = tuple[jax.Array, ...]
INSTRUCTION_BYTES = 64  # what an instruction is counted as in the account of model code


@dataclass(frozen=True, slots=True)
class Made:
    """The result of a run, which may still be being computed."""

    outputs: tuple[jax.Array, ...]
    state: State
    out_of_bounds: jax.Array | None  # whether a gather or scatter left its operand

    def wait(self, seconds: float) -> bool:
        """Wait for the result to be there; False after `seconds`."""
        deadline = time.monotonic() + seconds
        pause = 1e-5
        while not all(a.is_ready() for a in (*self.outputs, *self.state)):
            if time.monotonic() > deadline:
                return False
            time.sleep(pause)
            pause = min(2 * pause, 1e-3)
        return True


def _spec(variable: Variable) -> TensorSpec:
    return variable.name, TORCH_TYPES[variable.shape.dtype], variable.shape.dims


def specs(program: Program) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """What a caller gives to a program and gets from it: not the weights, nor the states."""
    called = tuple(_spec(v) for v in program.inputs if v.kind is Kind.INPUT)
    return called, tuple(_spec(program.outputs[n]) for n in returned(program))


def returned(program: Program) -> list[int]:
    """The outputs that go to the caller: those that no state keeps."""
    kept = {o for o, n in program.aliases if program.inputs[n].kind is Kind.STATE}
    return [n for n in range(len(program.outputs)) if n not in kept]


def _device_array(array: np.ndarray) -> jax.Array:
    """An array on the device; on the CPU, the host's memory itself where it is aligned."""
    return jax.device_put(array, jax.devices("cpu")[0], may_alias=True)


class Executable:
    """What all cores that a program is loaded on have in common. Safe to call from any thread."""

    def __init__(self, program: Program) -> None:
        self.program = program
        kinds = [v.kind for v in program.inputs]
        self._called = [n for n, k in enumerate(kinds) if k is Kind.INPUT]
        self._states = [n for n, k in enumerate(kinds) if k is Kind.STATE]
        self._returned = returned(program)
        kept = {n: output for output, n in program.aliases}
        self._kept = [kept[n] for n in self._states]
        self.inputs, self.outputs = specs(program)
        self.returned = tuple(program.outputs[n].shape for n in self._returned)
        self.called = tuple(program.inputs[n].shape for n in self._called)
        self.loops = any(i.op == "while" for f in program.functions for i in f.instructions)
        self.needs = self._needs()
        with jax.enable_x64(True):
            self._place()

    def _needs(self) -> Needs:
        p = self.program
        states = sum(p.inputs[n].shape.bytes for n in self._states)
        moved = sum(p.inputs[n].shape.bytes for n in self._called)
        moved += sum(p.outputs[n].shape.bytes for n in self._returned)
        bound = {w.digest: w.shape.bytes for v in p.inputs if (w := v.weight) is not None}
        initial = {p.inputs[n].weight.digest for n in self._states}  # type: ignore[union-attr]
        constants = sum(size for digest, size in bound.items() if digest not in initial)
        code = INSTRUCTION_BYTES * sum(len(f.instructions) for f in p.functions)
        return Needs(p.name, code, constants, states + moved, p.scratchpad)

    def _place(self) -> None:
        """Put weights and states on the device, each once, and compile the program for it."""
        on_core = {d: _device_array(w.array) for d, w in self.program.weights.items()}
        bound = {
            n: on_core[v.weight.digest]
            for n, v in enumerate(self.program.inputs)
            if v.weight is not None
        }
        weights = [n for n in bound if n not in self._states]
        self._weights = tuple(bound[n] for n in weights)
        self.initial_state: State = tuple(bound[n] for n in self._states)
        order = {n: p for p, n in enumerate((*self._called, *self._states, *weights))}
        position = [order[n] for n in range(len(self.program.inputs))]
        arguments = [
            jax.ShapeDtypeStruct(
                self.program.inputs[n].shape.dims, self.program.inputs[n].shape.numpy
            )
            for n in order
        ]
        self._run = jax.jit(partial(_run, self.program, position), keep_unused=True)
        self._run.lower(*arguments).compile()

    def start(self, arrays: Sequence[np.ndarray], state: State) -> Made:
        """Begin to run, with one array for each of `inputs`; the result may still be computed."""
        with jax.enable_x64(True):
            made, outside = self._run(*arrays, *state, *self._weights)
        outputs = tuple(made[n] for n in self._returned)
        return Made(outputs, tuple(made[n] for n in self._kept), outside)


def _run(
    program: Program, position: list[int], *arguments: jax.Array
) -> tuple[tuple[jax.Array, ...], jax.Array | None]:
    bounds = Bounds()
    made = interpret(program, tuple(arguments[p] for p in position), bounds)
    return made, bounds.exceeded


# Equal files share an executable for as long as a model uses it.
_cache: weakref.WeakValueDictionary[bytes, Executable] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def executable(neff: Neff) -> Executable:
    """The executable of a NEFF: that of an equal one that is loaded, where there is one.

    The first load compiles while others of the same file wait for it.
    """
    with _lock:
        found = _cache.get(neff.header.digest)
        if found is None:
            found = _cache[neff.header.digest] = Executable(neff.program)
        return found
