"""The pass pipelines, each step with the reason for its place, and the runner."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from neff.files import write_atomically
from neff.options import CompileOptions
from neff.passes.accumulate import accumulate_as_typed, accumulate_in_f32
from neff.passes.auto_cast import AutoCast, AutoCastAll
from neff.passes.batch_norm import fold_batch_norm
from neff.passes.cleanup import eliminate_common_subexpressions, eliminate_dead_code
from neff.passes.constants import fold_constants, fold_weights, outline_constants
from neff.passes.fuse import fuse
from neff.passes.integers import DowncastIntegers, narrow_int64
from neff.passes.layout import assign_layouts
from neff.passes.masked_rows import ask_row_maxima
from neff.passes.maximum import keep_maximum_exact
from neff.passes.norms import expand_row_norms
from neff.passes.operators import compute_operators_in_f32
from neff.passes.place import assign_engines, place_buffers
from neff.passes.relayout import Relayout
from neff.passes.round_early import round_before_moving
from neff.passes.saturate import saturate_transposed
from neff.passes.simplify import simplify
from neff.passes.slices import join_dots_of_slices, slice_before_concatenating
from neff.printing import print_program
from neff.program import Program
from neff.verify import verify_program

Pass = Callable[[Program], Program]


@dataclass(frozen=True, slots=True)
class PassRecord:
    """What a pass did: its seconds, what the entry has after it, whether it changed any."""

    name: str
    seconds: float
    instructions: int
    changed: bool
    regions: int = 0


Observer = Callable[[PassRecord], None]
ACCUMULATION: dict[str, tuple[Pass, ...]] = {
    # In this order: an operator is what lies around the conversions of its sums.
    "on": (accumulate_in_f32, compute_operators_in_f32),
    "off": (accumulate_as_typed,),
}
CASTS: dict[str, Callable[[str], Pass] | None] = {
    "none": None,
    "matmult": AutoCast,
    "all": AutoCastAll,
}


def pipeline(options: CompileOptions) -> tuple[Pass, ...]:
    """The passes for a set of options, in order."""
    integers: tuple[Pass, ...] = (
        *((narrow_int64,) if options.narrows_int64 else ()),  # first: all else sees 32 bits
        DowncastIntegers(options.downcasts),
    )
    floats: tuple[Pass, ...] = (
        *_casts(options),  # before folding, so that weights are rounded once, when compiling
        # After the casts: it is their short types that it accumulates.
        *ACCUMULATION[options.mixed_precision_accumulation],
        *((saturate_transposed,) if options.saturates_infinity else ()),
        *((Relayout(options.relayout),) if options.relayout != "none" else ()),  # what stays f32
    )
    optimize: tuple[Pass, ...] = (
        fold_batch_norm,  # before the casts: its arithmetic on bound weights is in their own type
        *((fold_constants, fold_weights) if options.auto_cast == "all" else ()),  # as that is
        *floats,
        expand_row_norms,  # in the types that the casts left
        fold_constants,  # exposes the neutral elements that simplify removes
        simplify,
        eliminate_common_subexpressions,  # before weights fold, so that each is computed once
        ask_row_maxima,  # once each value stands once, so that it is seen
        fold_constants,  # what is repeated is computed once now: on scalars
        assign_layouts,  # after the casts, so that the short value is moved; it moves weights
        round_before_moving,  # what stays where it was computed is rounded there
        fold_constants,  # the moved ones
        eliminate_common_subexpressions,  # a weight that many read is moved once
        fold_weights,
        join_dots_of_slices,  # now that weights are bound and slices are of rows
        slice_before_concatenating,  # what was put together for such dots alone is one's operand
        outline_constants,  # after folding: what is left large goes the way of the weights
        eliminate_common_subexpressions,  # equal constants were bound one by one
    )
    place: tuple[Pass, ...] = (
        keep_maximum_exact,  # once each value stands once, so that it is seen
        eliminate_dead_code,  # nothing unused is fused, placed or written
        assign_engines,
        fuse,  # last that looks at uses; placement only gives addresses
        place_buffers,
    )
    return (*integers, *(optimize if options.optlevel != "1" else floats), *place)


def _casts(options: CompileOptions) -> tuple[Pass, ...]:
    cast = CASTS[options.auto_cast]
    return (cast(options.auto_cast_type),) if cast is not None else ()


def write_dump(folder: Path, stage: str, program: Program) -> None:
    """Keep a program as text, in a file named by the stage that made it."""
    write_atomically(folder / f"{stage}.txt", print_program(program).encode())


def name_of(step: Pass) -> str:
    return step.__name__


def run(
    program: Program, steps: tuple[Pass, ...], observe: Observer, dump: Path | None = None
) -> Program:
    """The program after every pass. What each made is verified, then reported to `observe`.

    With `dump`, every program is written there as `NN-<pass>.txt`.
    """
    for number, step in enumerate(steps, start=1):
        start = time.perf_counter()
        made = step(program)
        seconds = time.perf_counter() - start
        verify_program(made, name_of(step))
        if dump is not None:
            write_dump(dump, f"{number:02}-{name_of(step)}", made)
        size = len(made.main.instructions), made != program, len(made.regions)
        observe(PassRecord(name_of(step), seconds, *size))
        program = made
    return program
