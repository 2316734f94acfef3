"""The functions of a program while a pass adds retyped copies of some."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from neff.passes.retype import Retyping, Types, retype_function
from neff.program import Function, Program


class Bodies:
    """The functions that instructions call, as they were, and the copies asked for so far."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.source = {f.name: f for f in program.functions}
        self.copies: dict[str, list[Function]] = {}

    def retyped(self, name: str, types: Types) -> str:
        """The name of a copy of a function that computes in other types."""
        suffix = "_".join(dict.fromkeys(types.values()))
        copy = retype_function(self.source[name], Retyping("bodies", types), f"{name}.{suffix}")
        known = {f.name: f for copies in self.copies.values() for f in copies}
        while known.get(copy.name, self.source.get(copy.name, copy)) != copy:
            copy = replace(copy, name=f"{copy.name}.1")
        if copy.name not in known and copy.name not in self.source:
            self.copies.setdefault(name, []).append(copy)
        return copy.name

    def rewrite(self, change: Callable[[Function], Function]) -> Program:
        """The program with every function changed, each copy where its original stands."""
        changed = [change(f) for f in self.program.functions]
        functions: list[Function] = []
        for function in changed:
            functions.append(function)
            functions.extend(self.copies.get(function.name, ()))
        return replace(self.program, functions=tuple(functions))
