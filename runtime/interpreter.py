"""The interpreter: a loop over the kernel table, traced once by JAX into one XLA executable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from neff.printing import quote
from neff.program import Function, Instruction, Program
from runtime.kernels import KERNELS
from runtime.kernels.kind import Body, UnsupportedFormError, Value

# Attributes any instruction may carry: notes of a framework or of another compiler.
NOTES = ("backend_config", "frontend_attributes", "sharding")


class UnsupportedInstructionError(NotImplementedError):
    """The program has an instruction, or a form of one, that the runtime has no kernel for."""


Watch = Callable[[Instruction, Sequence[Value]], None]


def interpret(
    program: Program, arguments: tuple[Value, ...], watch: Watch | None = None
) -> tuple[Value, ...]:
    """The outputs of a program for one value per input, in order.

    `watch` sees each instruction of the entry function with the values of its operands.
    """
    return _call({f.name: f for f in program.functions}, program.main, arguments, watch)


def _call(
    functions: Mapping[str, Function],
    function: Function,
    arguments: tuple[Value, ...],
    watch: Watch | None = None,
) -> tuple[Value, ...]:
    values: list[Value] = []
    for position, i in function.numbered():
        if i.op == "parameter":
            values.append(arguments[i["number"]])
            continue
        operands = [values[o] for o in i.operands]
        if watch is not None:
            watch(i, operands)
        values.append(evaluate(functions, i, position, operands))
    return tuple(values[r] for r in function.results)


def evaluate(
    functions: Mapping[str, Function], i: Instruction, position: int, operands: Sequence[Value]
) -> Value:
    """The value of one instruction, not a parameter, for the values of its operands."""
    keywords = dict(i.attrs)
    for note in NOTES:
        keywords.pop(note, None)
    if i.bodies:
        run = partial(_call, functions)
        keywords["bodies"] = tuple(Body(functions[name], run) for name in i.bodies)
    return _kernel(i, position)(*operands, shape=i.shape, **keywords)


def _kernel(i: Instruction, position: int) -> Callable[..., Value]:
    if i.op not in KERNELS:
        raise UnsupportedInstructionError(
            f"runtime: the op {i.op} is not built yet{quote(i, position)}"
        )
    return KERNELS[i.op]
