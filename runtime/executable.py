"""A program made ready to run: weights on the device and one XLA executable, for all its cores."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from neff.container import Neff
from neff.program import NARROWED, Kind, Program, Variable
from runtime.bounds import Bounds
from runtime.compiled import compiled
from runtime.executable_cache import key_of
from runtime.interpreter import interpret
from runtime.memory import Needs
from runtime.rounding import NEAREST, Rounding, rounding_in_force
from runtime.settings import switched_on
from runtime.units.native import Place, available
from runtime.units.plan import Plan, Planned, plan
from runtime.units.sequence import KernelSequence, whole
from runtime.units.weights import Memory

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

    outputs: tuple[jax.Array | np.ndarray, ...]
    state: State
    out_of_bounds: jax.Array | np.bool_ | None  # whether a gather or scatter left its operand


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


def on_device(array: np.ndarray, alias: bool = True) -> jax.Array:
    """An array on the device; with `alias`, the host's memory itself where it is aligned."""
    return jax.device_put(array, jax.devices("cpu")[0], may_alias=alias)


class Executable:
    """What all cores that a program is loaded on have in common. Safe to call from any thread."""

    def __init__(self, program: Program, mode: Mode, key: str | None = None) -> None:
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
        self._sequence: KernelSequence | None = None
        with jax.enable_x64(True):
            self._place(mode, key)

    def _needs(self) -> Needs:
        p = self.program
        states = sum(p.inputs[n].shape.bytes for n in self._states)
        moved = sum(p.inputs[n].shape.bytes for n in self._called)
        moved += sum(p.outputs[n].shape.bytes for n in self._returned)
        weights = [v.weight for v in p.inputs if v.kind is not Kind.STATE and v.weight is not None]
        constants = sum({w.digest: w.shape.bytes for w in weights}.values())
        code = INSTRUCTION_BYTES * sum(len(f.instructions) for f in p.functions)
        return Needs(p.name, code, constants, states + moved, p.scratchpad)

    def _place(self, mode: Mode, key: str | None) -> None:
        """Put weights and states on the device, each once, and make the program ready for it.

        Weights are written as kernels read them meanwhile, which takes all processors.
        """
        complete = whole(self.program, mode.check_bounds) if mode.native else None
        made = plan(self.program) if mode.native and complete is None else complete
        held = () if made is None else made.held
        weights = self.program.weights
        memory = Memory.of(held)
        with ThreadPoolExecutor(len(os.sched_getaffinity(0)), "neuron-pack") as pool:
            written = [pool.submit(h.write, weights, memory.room(n)) for n, h in enumerate(held)]
            own: list[jax.Array] = []
            if complete is not None:
                self._sequence = KernelSequence(self.program, complete, memory)
            else:
                own = self._compile(mode, key, made, memory)
            for done in written:
                done.result()
        if complete is None:
            self._weights = (*own, on_device(memory.array))

    def _compile(
        self, mode: Mode, key: str | None, made: Plan | None, memory: Memory
    ) -> list[jax.Array]:
        """Make it an executable of XLA's, which calls kernels. Returns what XLA reads, too."""
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
                    placed[v.weight.digest] = on_device(v.weight.array)
                bound[n] = placed[v.weight.digest]
        return bound, [n for n in bound if n not in self._states]

    def run(self, arrays: Sequence[Any], state: State) -> Sequence[Any]:
        """What was made ready, by itself; 64-bit types must be enabled."""
        if self._sequence is not None:
            return self._sequence(*arrays)[0]
        return self._run(*arrays, *state, *self._weights)

    def start(self, arrays: Sequence[Any], state: State) -> Made:
        """Begin to run, with one array for each of `inputs`; the result may still be computed."""
        if self._sequence is not None:
            found, within = self._sequence(*arrays)
            return Made(tuple(found), (), np.bool_(not within))
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


def _like(array: np.ndarray) -> jax.ShapeDtypeStruct:
    """What an array will be on the device."""
    here = jax.sharding.SingleDeviceSharding(jax.devices("cpu")[0])
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=here)


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

    The first load compiles while others of the same file wait for it. A file that was not
    compared with its hash may equal no other with that hash, and a load that rounds by chance
    begins its series of random numbers anew: their executables are their own.
    """
    if not neff.verified or mode.rounding.seed is not None:
        return _of_whole(neff, mode)
    key = (neff.header.digest, mode.check_bounds, mode.native)
    with _lock:
        turn = _turns.get(key)
        if turn is None:
            turn = _turns[key] = _Turn()
    with turn.lock:
        found = _cache.get(key)
        if found is None:
            found = _cache[key] = _of_whole(neff, mode, key_of(*key))
        else:
            neff.check()
        return found


def _of_whole(neff: Neff, mode: Mode, key: str | None = None) -> Executable:
    """The executable of a file that is whole. Raises NeffError rather than anything else."""
    try:
        return Executable(neff.program, mode, key)
    finally:
        neff.check()
