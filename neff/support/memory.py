"""Whether a program fits the device memory of one core, and what takes the most of it if not."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from hlo_frontend.hlo.module import HloModule, Metadata
from neff.errors import RefusedError
from neff.options import CompileOptions
from neff.program import Kind, Program, Space
from neff.support.refusals import Refusal
from neff.targets import GIB, TARGETS

SHOWN = 5  # buffers in the message


@dataclass(frozen=True, slots=True)
class Use:
    """One buffer in device memory: its bytes, what it is, and whether it stays between calls."""

    size: int
    what: str
    stays: bool = False  # weights and states


@dataclass(frozen=True, slots=True)
class Memory:
    """What a program needs of device memory, in bytes: `held` stays, `activations` last a call."""

    held: int
    activations: int


def memory_of(program: Program) -> Memory:
    """The memory a placed program needs: its inputs, and the peak of what it computes.

    An output that is a state's next value is stored where the state is.
    """
    held = sum(w.shape.bytes for w in program.weights.values())
    inputs = sum(v.shape.bytes for v in program.inputs if v.kind is Kind.INPUT)
    aliased = sum(program.outputs[output].shape.bytes for output, _ in program.aliases)
    return Memory(held, inputs + max(program.scratchpad - aliased, 0))


def check_memory(program: Program, options: CompileOptions) -> None:
    """Raise RefusedError (NCC_EOOM001, NCC_EOOM002) if a placed program does not fit one core.

    The first where what lasts a call is too much by itself, the second where it is with the
    weights and states. The documents describe both with the same words.
    """
    memory = memory_of(program)
    if memory.held + memory.activations > _limit(options):
        raise _error(memory, _uses(program), options)


def check_interface(module: HloModule, held: Collection[int], options: CompileOptions) -> None:
    """The same for what a module takes and returns, before anything is made of it.

    `held` are the numbers of the parameters that are weights and states. Their values are not
    looked at, so a model that is far too large is refused without a copy of its weights.
    """
    parameters, result = module.entry.signature
    kept = sum(parameters[n].bytes for n in held)
    outputs = max(result.bytes - sum(parameters[a.parameter].bytes for a in module.aliases), 0)
    memory = Memory(kept, sum(p.bytes for p in parameters) - kept + outputs)
    if memory.held + memory.activations <= _limit(options):
        return
    entry = module.entry
    names = [entry.instructions[p].metadata.op_name for p in entry.parameters]
    uses = [
        Use(shape.bytes, f"{'weight' if n in held else 'input'} {names[n] or n} {shape}", n in held)
        for n, shape in enumerate(parameters)
    ]
    uses.append(Use(result.bytes, f"the result {result}"))
    raise _error(memory, uses, options)


def _limit(options: CompileOptions) -> int:
    return TARGETS[options.target].memory(options.logical_cores) * options.neuroncore_pipeline_cores


def _uses(program: Program) -> list[Use]:
    weights = {v.weight.digest: v for v in program.inputs if v.weight is not None}
    uses = [Use(v.shape.bytes, f"{v.kind} {v.name} {v.shape}", True) for v in weights.values()]
    uses += [
        Use(v.shape.bytes, f"input {v.name} {v.shape}")
        for v in program.inputs
        if v.kind is Kind.INPUT
    ]
    for buffer in program.buffers:
        if buffer.space is Space.HBM:
            i = program.main.instructions[buffer.value]
            what = f"%{buffer.value} = {i.shape} {i.op}{_place(i.metadata)}"
            uses.append(Use(buffer.size, what))
    return uses


def _place(metadata: Metadata) -> str:
    line = f" from {metadata.source_file}:{metadata.source_line}" if metadata.source_file else ""
    return line + (f" in {metadata.op_name}" if metadata.op_name else "")


def _error(memory: Memory, uses: Sequence[Use], options: CompileOptions) -> RefusedError:
    limit = _limit(options)
    code = "NCC_EOOM001" if memory.activations > limit else "NCC_EOOM002"
    largest = sorted(uses, key=lambda use: -use.size)[:SHOWN]
    lines = [
        f"{_gib(memory.held + memory.activations)} are needed: {_gib(memory.activations)} for "
        f"inputs, outputs and intermediate values, {_gib(memory.held)} for weights and states; "
        f"a NeuronCore of {options.target} with --lnc={options.logical_cores} has {_gib(limit)}",
        "the largest:",
        *(f"  {_gib(use.size):>10}  {use.what}" for use in largest),
    ]
    return Refusal(code, "\n  ".join(lines)).error()


def _gib(size: int) -> str:
    return f"{size / GIB:.2f} GiB"
