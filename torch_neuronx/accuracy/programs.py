"""The programs that are compared: the reference, each setting's, and which values correspond."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hlo_frontend.hlo.module import Metadata
from hlo_frontend.hlo.types import AnyShape, Shape, TupleShape
from neff.options import CompileOptions
from neff.passes.cleanup import eliminate_dead_code
from neff.pipeline import PassRecord, pipeline, run
from neff.program import Instruction, Program

ROUNDINGS = frozenset({"convert", "reduce-precision"})


@dataclass(frozen=True, slots=True)
class Marked:
    """A program whose instructions can be found again after any pass.

    Each carries, in its metadata, its position in the `origin` that was marked.
    """

    origin: Program
    program: Program


def mark(origin: Program) -> Marked:
    """Mark the entry function of a program that no pass has seen."""
    instructions = tuple(
        replace(i, metadata=Metadata(op_type=str(position)))
        for position, i in origin.main.numbered()
    )
    return Marked(origin, origin.with_main(replace(origin.main, instructions=instructions)))


def marked_position(i: Instruction) -> int | None:
    """The position an instruction was marked with; None for one a pass made of nothing."""
    return int(i.metadata.op_type) if i.metadata.op_type.isdecimal() else None


def reference_program(marked: Marked) -> Program:
    """What was captured, as it is: only what no result needs is gone."""
    return eliminate_dead_code(marked.program)


def cast_program(marked: Marked, options: CompileOptions) -> Program:
    """The program of a setting with every instruction kept: its casts, and nothing optimized."""
    program = replace(marked.program, target=options.target)
    return run(program, pipeline(replace(options, optlevel="1")), _ignore)


def _ignore(record: PassRecord) -> None:
    """Nobody waits for the stages of these programs."""


def counterparts(reference: Program, cast: Program, *, written: bool) -> dict[int, int]:
    """For values of the second program that stand for one of the first, the mark they share.

    A pass copies the metadata of what it casts or replaces, so a mark may stand several times:
    the instruction of the same op and sizes is meant, among those one of the same element type.
    With `written`, casts round a value where it is made, not where it is read: then it is what
    the rounding leaves that stands for the value.
    """
    found = _Counterparts(cast, written)
    pairs: dict[int, int] = {}
    for i in reference.main.instructions:
        position = found.of(i)
        if position is not None:
            pairs[position] = int(i.metadata.op_type)
    return pairs


class _Counterparts:
    def __init__(self, cast: Program, written: bool) -> None:
        self.made = cast.main.instructions
        self.users = cast.main.users()
        self.written = written
        self.candidates: dict[int | None, list[int]] = {}
        for position, i in cast.main.numbered():
            self.candidates.setdefault(marked_position(i), []).append(position)

    def of(self, i: Instruction) -> int | None:
        """The position of what stands for an instruction of the reference."""
        marked = self.candidates.get(marked_position(i), [])
        alike = [p for p in marked if self.made[p].op == i.op and self._as_large(p, i)]
        if not alike:
            return None
        found = next((p for p in alike if self.made[p].shape == i.shape), alike[0])
        made_here = self.written and i.op != "parameter"
        return self._rounded(found, i) if made_here else found

    def _as_large(self, position: int, i: Instruction) -> bool:
        return sizes(self.made[position].shape) == sizes(i.shape)

    def _rounded(self, position: int, i: Instruction) -> int:
        """Past the rounding of a value, where all that read it read the rounded one."""
        readers = set(self.users[position])
        if len(readers) != 1:
            return position
        (reader,) = readers
        rounds = self.made[reader].op in ROUNDINGS and self._as_large(reader, i)
        same = self.made[reader].metadata.op_type == i.metadata.op_type
        return reader if rounds and same else position


def sizes(shape: AnyShape) -> object:
    """A shape without its element types."""
    if isinstance(shape, TupleShape):
        return tuple(sizes(e) for e in shape.elements)
    return shape.dims if isinstance(shape, Shape) else None


def layer_path(i: Instruction) -> str:
    """`encoder.layer.0` of `encoder.layer.0/aten__mm`; empty outside every layer."""
    return i.metadata.op_name.rpartition("/")[0]
