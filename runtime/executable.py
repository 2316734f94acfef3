"""A program made ready to run: weights on the device and one XLA executable, for all its cores."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from neff.container import Neff
from neff.program import NARROWED, Kind, Program, Variable
from runtime.bounds import Bounds
from runtime.interpreter import interpret
from runtime.memory import Needs
from runtime.rounding import NEAREST, Rounding, rounding_in_force
from runtime.settings import switched_on

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
State = tuple[jax.Array, ...]
INSTRUCTION_BYTES = 64  # what an instruction is counted as in the account of model code


class Made(NamedTuple):
    """The result of a run, which may still be being computed."""

    outputs: tuple[jax.Array, ...]
    state: State
    out_of_bounds: jax.Array | None  # whether a gather or scatter left its operand


@dataclass(frozen=True, slots=True)
class Mode:
    """What the environment may change in a program when it is compiled for the cores."""

    rounding: Rounding = NEAREST
    check_bounds: bool = True

    @staticmethod
    def in_force() -> Mode:
        """What the environment asks of a model that is loaded now."""
        return Mode(rounding_in_force(), switched_on("NEURON_EMULATOR_CHECK_BOUNDS"))


def _spec(variable: Variable) -> TensorSpec:
    """A variable in torch's words; a type that torch has no tensors of keeps HLO's name."""
    dtype = variable.shape.dtype
    return variable.name, TORCH_TYPES.get(dtype, dtype), variable.shape.dims


def specs(program: Program) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """What a caller gives to a program and gets from it: not the weights, nor the states."""
    called = tuple(_spec(v) for v in program.inputs if v.kind is Kind.INPUT)
    return called, tuple(_spec(program.outputs[n]) for n in returned(program))


def returned(program: Program) -> list[int]:
    """The outputs that go to the caller: those that no state keeps."""
    kept = {o for o, n in program.aliases if program.inputs[n].kind is Kind.STATE}
    return [n for n in range(len(program.outputs)) if n not in kept]


def on_device(array: np.ndarray, alias: bool = True) -> jax.Array:
    """An array on the device; with `alias`, the host's memory itself where it is aligned."""
    return jax.device_put(array, jax.devices("cpu")[0], may_alias=alias)


class Executable:
    """What all cores that a program is loaded on have in common. Safe to call from any thread."""

    def __init__(self, program: Program, mode: Mode) -> None:
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
        self.narrowed = _narrowed_inputs(program, self._called)
        self.loops = any(i.op == "while" for f in program.functions for i in f.instructions)
        self.needs = self._needs()
        with jax.enable_x64(True):
            self._place(mode)

    def _needs(self) -> Needs:
        p = self.program
        states = sum(p.inputs[n].shape.bytes for n in self._states)
        moved = sum(p.inputs[n].shape.bytes for n in self._called)
        moved += sum(p.outputs[n].shape.bytes for n in self._returned)
        weights = [v.weight for v in p.inputs if v.kind is not Kind.STATE and v.weight is not None]
        constants = sum({w.digest: w.shape.bytes for w in weights}.values())
        code = INSTRUCTION_BYTES * sum(len(f.instructions) for f in p.functions)
        return Needs(p.name, code, constants, states + moved, p.scratchpad)

    def _place(self, mode: Mode) -> None:
        """Put weights and states on the device, each once, and compile the program for it."""
        placed = {d: on_device(w.array) for d, w in self.program.weights.items()}
        bound = {
            n: placed[v.weight.digest]
            for n, v in enumerate(self.program.inputs)
            if v.weight is not None
        }
        weights = [n for n in bound if n not in self._states]
        self._weights = tuple(bound[n] for n in weights)
        self.initial_state: State = tuple(bound[n] for n in self._states)
        order = {n: p for p, n in enumerate((*self._called, *self._states, *weights))}
        position = [order[n] for n in range(len(self.program.inputs))]
        called = [jax.ShapeDtypeStruct(s.dims, s.numpy) for s in self.called]
        run = partial(_run, self.program, position, mode)
        self._run = jax.jit(run, keep_unused=True, compiler_options=COMPILER_OPTIONS)
        # States and weights themselves: a call on a device's arrays is another executable.
        self._run.lower(*called, *self.initial_state, *self._weights).compile()

    def run(self, arrays: Sequence[Any], state: State) -> Any:
        """What XLA compiled, by itself; 64-bit types must be enabled."""
        return self._run(*arrays, *state, *self._weights)

    def start(self, arrays: Sequence[Any], state: State) -> Made:
        """Begin to run, with one array for each of `inputs`; the result may still be computed."""
        with jax.enable_x64(True):
            made, outside = self._run(*arrays, *state, *self._weights)
        outputs = tuple([made[n] for n in self._returned])
        return Made(outputs, tuple([made[n] for n in self._kept]), outside)


def _run(
    program: Program, position: list[int], mode: Mode, *arguments: jax.Array
) -> tuple[tuple[jax.Array, ...], jax.Array | None]:
    bounds = Bounds()
    watch = bounds if mode.check_bounds else None
    made = interpret(program, tuple(arguments[p] for p in position), mode.rounding, watch)
    return made, bounds.exceeded


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


class _Turn:
    """Held while an executable is being made."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


# Equal files share an executable for as long as a model uses it.
_Key = tuple[bytes, bool]
_cache: weakref.WeakValueDictionary[_Key, Executable] = weakref.WeakValueDictionary()
_turns: weakref.WeakValueDictionary[_Key, _Turn] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def executable(neff: Neff, mode: Mode) -> Executable:
    """The executable of a NEFF: that of an equal one that is loaded, where there is one.

    The first load compiles while others of the same file wait for it. A file that was not
    compared with its hash may equal no other with that hash, and a load that rounds by chance
    begins its series of random numbers anew: their executables are their own.
    """
    if not neff.verified or mode.rounding.seed is not None:
        return Executable(neff.program, mode)
    key = (neff.header.digest, mode.check_bounds)
    with _lock:
        turn = _turns.get(key)
        if turn is None:
            turn = _turns[key] = _Turn()
    with turn.lock:
        found = _cache.get(key)
        if found is None:
            found = _cache[key] = Executable(neff.program, mode)
        return found
