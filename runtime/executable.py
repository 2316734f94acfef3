"""A program made ready to run, for all its cores: what kernels compute, or else XLA."""

from __future__ import annotations

import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from neff.container import Neff
from neff.program import NARROWED, Kind, Program, Variable
from runtime.executable_cache import key_of
from runtime.memory import Needs
from runtime.rounding import NEAREST, Rounding, rounding_in_force
from runtime.settings import switched_on
from runtime.units.native import available
from runtime.units.plan import Plan
from runtime.units.sequence import KernelSequence, whole
from runtime.units.weights import filled

if TYPE_CHECKING:
    import jax

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
State: TypeAlias = "tuple[jax.Array, ...]"
INSTRUCTION_BYTES = 64  # what an instruction is counted as in the account of model code


class Made(NamedTuple):
    """The result of a run, which may still be being computed."""

    outputs: tuple[jax.Array | np.ndarray, ...]
    state: State
    out_of_bounds: jax.Array | np.bool_ | None  # whether a gather or scatter left its operand

    def wait(self) -> None:
        """Return once all of it is there."""
        for array in (*self.outputs, *self.state):
            np.asarray(array)


@dataclass(frozen=True, slots=True)
class Mode:
    """What the environment may change in a program when it is compiled for the cores."""

    rounding: Rounding = NEAREST
    check_bounds: bool = True
    native: bool = False  # whether regions run on native kernels

    @staticmethod
    def in_force() -> Mode:
        """What the environment asks of a model that is loaded now."""
        rounding = rounding_in_force()
        # The kernels round to nearest.
        native = rounding.seed is None and available()
        return Mode(rounding, switched_on("NEURON_EMULATOR_CHECK_BOUNDS"), native)


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


class Executable(ABC):
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
        self.narrowed = _narrowed_inputs(program, self._called)
        self.loops = any(i.op == "while" for f in program.functions for i in f.instructions)
        self.needs = self._needs()
        self.initial_state: State = ()

    def _needs(self) -> Needs:
        p = self.program
        states = sum(p.inputs[n].shape.bytes for n in self._states)
        moved = sum(p.inputs[n].shape.bytes for n in self._called)
        moved += sum(p.outputs[n].shape.bytes for n in self._returned)
        weights = [v.weight for v in p.inputs if v.kind is not Kind.STATE and v.weight is not None]
        constants = sum({w.digest: w.shape.bytes for w in weights}.values())
        code = INSTRUCTION_BYTES * sum(len(f.instructions) for f in p.functions)
        return Needs(p.name, code, constants, states + moved, p.scratchpad)

    @abstractmethod
    def start(self, arrays: Sequence[Any], state: State) -> Made:
        """Begin to run, with one array for each of `inputs`; the result may still be computed."""


class KernelExecutable(Executable):
    """A program that kernels compute entirely: a list of their calls."""

    def __init__(self, program: Program, plan: Plan) -> None:
        super().__init__(program)
        with filled(plan.held, program.weights) as memory:
            self._sequence = KernelSequence(program, plan, memory)

    def start(self, arrays: Sequence[Any], state: State) -> Made:
        found, within = self._sequence(*arrays)
        return Made(tuple(found), (), np.bool_(not within))


def prepared(program: Program, mode: Mode, key: _Key | None = None) -> Executable:
    """A program made ready to run. What XLA makes of it is kept by the key, if there is one."""
    complete = whole(program, mode.check_bounds) if mode.native else None
    if complete is not None:
        return KernelExecutable(program, complete)
    # JAX, which is half a second of a process that does nothing else, only where it is needed.
    from runtime.jitted import JittedExecutable

    return JittedExecutable(program, mode, None if key is None else key_of(*key))


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
_Key = tuple[bytes, bool, bool]
_cache: weakref.WeakValueDictionary[_Key, Executable] = weakref.WeakValueDictionary()
_turns: weakref.WeakValueDictionary[_Key, _Turn] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def executable(neff: Neff, mode: Mode) -> Executable:
    """The executable of a NEFF: that of an equal one that is loaded, where there is one.

    The first load compiles while others of the same file wait for it. A load that rounds by chance
    begins its series of random numbers anew: its executable is its own.
    """
    if mode.rounding.seed is not None:
        return _of_whole(neff, mode)
    key = (neff.identity, mode.check_bounds, mode.native)
    with _lock:
        turn = _turns.get(key)
        if turn is None:
            turn = _turns[key] = _Turn()
    with turn.lock:
        found = _cache.get(key)
        if found is None:
            found = _cache[key] = _of_whole(neff, mode, key)
        else:
            neff.check()
        return found


def _of_whole(neff: Neff, mode: Mode, key: _Key | None = None) -> Executable:
    """The executable of a file that is whole. Raises NeffError rather than anything else."""
    try:
        return prepared(neff.program, mode, key)
    finally:
        neff.check()
