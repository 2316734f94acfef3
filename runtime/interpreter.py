"""The interpreter: a loop over the kernel table, traced once by JAX into one XLA executable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from neff.printing import quote
from neff.program import Function, Instruction, Program
from runtime.compute import compute
from runtime.kernels.kind import Body, UnsupportedFormError, UnsupportedInstructionError, Value
from runtime.kernels.table import KERNELS
from runtime.rounding import CONTROL, NEAREST, Rounding
from runtime.units.ffi import Planned

# Attributes any instruction may carry: notes of a framework or of another compiler. To a custom
# call its configuration is an argument.
NOTES = ("backend_config", "frontend_attributes", "sharding")
CONFIGURED = {("custom-call", "backend_config")}


Watch = Callable[[Instruction, Sequence[Value]], None]


def interpret(
    program: Program,
    arguments: tuple[Value, ...],
    rounding: Rounding = NEAREST,
    watch: Watch | None = None,
    planned: Planned | None = None,
) -> tuple[Value, ...]:
    """The outputs of a program for one value per input, in order.

    `watch` sees each instruction of the entry function with the values of its operands. The units
    of `planned` are computed by native kernels; an input that only they read may be None.
    """
    functions = {f.name: f for f in program.functions}
    return _call(functions, rounding, program.main, arguments, watch, planned)


def _call(
    functions: Mapping[str, Function],
    rounding: Rounding,
    function: Function,
    arguments: tuple[Value | None, ...],
    watch: Watch | None = None,
    planned: Planned | None = None,
) -> tuple[Value, ...]:
    values: list[Value] = []
    rounding = rounding.entered()
    for position, i in function.numbered():
        if i.op == "parameter":
            values.append(arguments[i["number"]])
            continue
        if planned is not None and position not in planned.plan.live:
            values.append(None)
            continue
        if planned is not None and position in planned.plan.units:
            values.append(planned.value(function, position, values))
            continue
        operands = [values[o] for o in i.operands]
        if watch is not None:
            watch(i, operands)
        values.append(evaluate(functions, i, position, operands, rounding))
    return tuple(values[r] for r in function.results)


def evaluate(
    functions: Mapping[str, Function],
    i: Instruction,
    position: int,
    operands: Sequence[Value],
    rounding: Rounding = NEAREST,
) -> Value:
    """The value of one instruction, not a parameter, for the values of its operands."""
    keywords = dict(i.attrs)
    for note in NOTES:
        if (i.op, note) not in CONFIGURED:
            keywords.pop(note, None)
    if i.bodies:
        run = partial(_call, functions, rounding if i.op in CONTROL else NEAREST)
        keywords["bodies"] = tuple(Body(functions[name], run) for name in i.bodies)
    if i.op not in KERNELS:
        raise UnsupportedInstructionError(
            f"runtime: the op {i.op} is not built yet{quote(i, position)}"
        )
    try:
        return compute(KERNELS, i, operands, keywords, position, rounding)
    except UnsupportedFormError as error:
        raise UnsupportedInstructionError(f"{error}{quote(i, position)}") from None
