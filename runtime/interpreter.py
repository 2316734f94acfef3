"""The interpreter: a loop over the kernel table, traced once by JAX into one XLA executable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from neff.printing import quote
from neff.program import Function, Instruction, Program
from runtime.kernels import KERNELS
from runtime.kernels.kind import Body, Value

# Attributes any instruction may carry: notes of a framework or of another compiler.
NOTES = ("backend_config", "frontend_attributes", "sharding")


class UnsupportedInstructionError(NotImplementedError):
    """The program has an instruction that the runtime has no kernel for."""


def interpret(program: Program, arguments: tuple[Value, ...]) -> tuple[Value, ...]:
    """The outputs of a program for one value per input, in order."""
    return _call({f.name: f for f in program.functions}, program.main, arguments)


def _call(
    functions: Mapping[str, Function], function: Function, arguments: tuple[Value, ...]
) -> tuple[Value, ...]:
    run = partial(_call, functions)
    values: list[Value] = []
    for position, i in function.numbered():
        if i.op == "parameter":
            values.append(arguments[i["number"]])
            continue
        keywords = dict(i.attrs)
        for note in NOTES:
            keywords.pop(note, None)
        if i.bodies:
            keywords["bodies"] = tuple(Body(functions[name], run) for name in i.bodies)
        kernel = _kernel(i, position)
        values.append(kernel(*(values[o] for o in i.operands), shape=i.shape, **keywords))
    return tuple(values[r] for r in function.results)


def _kernel(i: Instruction, position: int) -> Callable[..., Value]:
    if i.op not in KERNELS:
        raise UnsupportedInstructionError(
            f"runtime: the op {i.op} is not built yet{quote(i, position)}"
        )
    return KERNELS[i.op]
