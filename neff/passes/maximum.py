"""Rows from which their maximum is subtracted, as softmax does: the maximum itself gives zero.

XLA on the CPU computes a product and the subtraction after it as one fused multiply-add. The
maximum was rounded, the product that is it then is not, and where a mask of the lowest float was
scaled the difference of the two is 1e31 instead of 0. Choosing the zero is exact in any case.
"""

from __future__ import annotations

from hlo_frontend.hlo.literal import Literal
from hlo_frontend.hlo.types import Shape
from neff.builder import Builder, rewrite
from neff.program import Function, Instruction, Program

SCALES = frozenset({"divide", "multiply"})
EXTREMES = frozenset({"maximum", "minimum"})
REPEATS = frozenset({"broadcast", "reshape"})


def keep_maximum_exact(program: Program) -> Program:
    """`w - max(w)` of a product or quotient w is chosen to be 0 where w is its maximum."""
    maxima = frozenset(f.name for f in program.functions if extremum_of(f) == "maximum")
    main = program.main
    guarded = {_guarded_by(main, i) for i in main.instructions if i.op == "select"}
    found = {
        position
        for position, i in main.numbered()
        if position not in guarded and _subtracts_maximum(main, i, maxima)
    }
    if not found:
        return program
    positions = iter(range(len(main.instructions)))

    def guard(b: Builder, i: Instruction) -> int | None:
        return _guarded(b, i) if next(positions) in found else None

    return program.with_main(rewrite(main, guard))


def combiner_of(function: Function) -> str | None:
    """The op that a function is of its two parameters, where it is one."""
    if len(function.results) != 1 or len(function.parameters) != 2:
        return None
    result = function.instructions[function.results[0]]
    return result.op if set(result.operands) == set(function.parameters) else None


def extremum_of(function: Function) -> str | None:
    """`maximum` or `minimum`, where a function is that of its two parameters."""
    op = combiner_of(function)
    return op if op in EXTREMES else None


def _subtracts_maximum(main: Function, i: Instruction, maxima: frozenset[str]) -> bool:
    if i.op != "subtract" or i.array.dtype not in ("f32", "f64"):
        return False
    row, other = i.operands
    if main.instructions[row].op not in SCALES:
        return False
    while main.instructions[other].op in REPEATS:
        other = main.instructions[other].operands[0]
    top = main.instructions[other]
    return top.op == "reduce" and top.operands[0] == row and set(top.bodies) <= maxima


def _guarded_by(main: Function, i: Instruction) -> int:
    """The difference that a select guards as this pass does, or -1."""
    difference = main.instructions[i.operands[2]]
    chosen = main.instructions[i.operands[0]]
    tests = [main.instructions[o] for o in chosen.operands] if chosen.op == "and" else []
    equal = any(t.op == "compare" and t.operands == difference.operands for t in tests)
    return i.operands[2] if equal and any(t.op == "is-finite" for t in tests) else -1


def _guarded(b: Builder, i: Instruction) -> int:
    """`select(w == m and w is finite, 0, w - m)`: an infinite maximum gives NaN, as it did."""
    row, top = i.operands
    flags, shape = Shape("pred", i.array.dims), i.array
    difference = b.emit(i)
    equal = b.op("compare", flags, row, top, metadata=i.metadata, direction="EQ")
    finite = b.op("is-finite", flags, row, metadata=i.metadata)
    chosen = b.op("and", flags, equal, finite, metadata=i.metadata)
    zero = b.constant(Literal.of(shape.numpy.type(0)))
    zeros = b.op("broadcast", shape, zero, metadata=i.metadata, dimensions=())
    return b.op("select", shape, chosen, zeros, difference, metadata=i.metadata)
