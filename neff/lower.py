"""HLO to Program: bodies become functions, calls and fusions are inlined, the root tuple opens."""

from __future__ import annotations

from collections.abc import Sequence

from hlo_frontend.hlo.module import HloComputation, HloInstruction, HloModule
from hlo_frontend.hlo.types import AnyShape, Shape, TupleShape
from neff.builder import Builder, renumber_parameters
from neff.errors import CompileError
from neff.expand import EXPANSIONS
from neff.program import Function, Instruction, Kind, Program, Variable
from neff.tensor_names import input_names, output_names

INLINED = frozenset({"call", "fusion"})


def lower(
    module: HloModule,
    inputs: Sequence[Variable] | None = None,
    binding: Sequence[int] | None = None,
) -> Program:
    """The program of a verified module, before any pass.

    Entry parameter number p is `inputs[binding[p]]` (by default `inputs[p]`); an input that no
    parameter is bound to stays part of the interface. Without `inputs`, they are the parameters.
    Tensors are named as in `neff.tensor_names`, outputs in the order of the root tuple.
    """
    lowering = _Lowering(module)
    main = lowering.entry()
    shapes = [main.instructions[p].array for p in main.parameters]
    if inputs is None:
        names = input_names(module)
        inputs = [Variable(name, shape) for name, shape in zip(names, shapes, strict=True)]
    binding = range(len(shapes)) if binding is None else binding
    bound = [inputs[n].shape for n in binding]
    if shapes != bound:
        raise CompileError(
            f"lower: a variable of the same shape must be bound to each parameter of "
            f"{module.name}, got {', '.join(map(str, bound))} for {', '.join(map(str, shapes))}"
        )
    aliases = tuple((_flat(a.output_index), binding[a.parameter]) for a in module.aliases)
    states = {n for n, v in enumerate(inputs) if v.kind is Kind.STATE}
    if not states <= {n for _, n in aliases}:
        raise CompileError(f"lower: every state must be aliased to an output, got {aliases}")
    outputs = tuple(
        Variable(name, main.instructions[r].array)
        for name, r in zip(output_names(module, len(main.results)), main.results, strict=True)
    )
    functions = (*lowering.functions.values(), renumber_parameters(main, list(binding)))
    return Program(module.name, functions, tuple(inputs), outputs, aliases)


def _flat(output_index: tuple[int, ...]) -> int:
    if len(output_index) > 1:
        raise CompileError(f"lower: an aliased output must not be nested, got {output_index}")
    return output_index[0] if output_index else 0


class _Lowering:
    def __init__(self, module: HloModule) -> None:
        self.computations = {c.name: c for c in module.computations}
        self.module = module
        self.functions: dict[str, Function] = {}

    def entry(self) -> Function:
        builder = Builder()
        computation = self.module.entry
        root = self.inline(builder, computation, self.entry_parameters(builder, computation))
        results = tuple(self.leaves(builder, root))
        return builder.function(self.module.entry_name, results)

    def entry_parameters(self, builder: Builder, computation: HloComputation) -> list[int]:
        """Parameters in the order of their numbers, tuples opened into one parameter a leaf."""
        count = 0

        def bind(shape: AnyShape, source: HloInstruction) -> int:
            nonlocal count
            if isinstance(shape, TupleShape):
                parts = tuple(bind(e, source) for e in shape.elements)
                return builder.emit(Instruction("tuple", shape, parts, metadata=source.metadata))
            if not isinstance(shape, Shape):
                raise CompileError(f"lower: an entry parameter must hold data, got {shape}")
            number, count = count, count + 1
            return builder.op("parameter", shape, number=number, metadata=source.metadata)

        sources = [computation.instructions[p] for p in computation.parameters]
        return [bind(source.shape, source) for source in sources]

    def leaves(self, builder: Builder, value: int) -> list[int]:
        instruction = builder.instructions[value]
        if not isinstance(instruction.shape, TupleShape):
            return [value]
        if instruction.op == "tuple":
            return [leaf for o in instruction.operands for leaf in self.leaves(builder, o)]
        elements = instruction.shape.elements
        parts = (
            builder.emit(Instruction("get-tuple-element", e, (value,), (("index", n),)))
            for n, e in enumerate(elements)
        )
        return [leaf for part in parts for leaf in self.leaves(builder, part)]

    def inline(self, builder: Builder, computation: HloComputation, arguments: list[int]) -> int:
        """Emit a computation's instructions with its parameters bound; the value of its root."""
        values: list[int] = []
        for source in computation.instructions:
            if source.opcode == "parameter":
                values.append(arguments[source["number"]])
                continue
            operands = tuple(values[o] for o in source.operands)
            if source.opcode in INLINED:
                callee = self.computations[source.calls[0]]
                values.append(self.inline(builder, callee, list(operands)))
                continue
            if source.opcode in EXPANSIONS:
                shapes = [computation.instructions[o].shape for o in source.operands]
                values.append(EXPANSIONS[source.opcode](builder, source, operands, shapes))
                continue
            bodies = tuple(self.body(name) for name in source.calls)
            values.append(
                builder.emit(
                    Instruction(
                        source.opcode, source.shape, operands, source.attrs, bodies, source.metadata
                    )
                )
            )
        return values[computation.root]

    def body(self, name: str) -> str:
        """Make the function of a called computation, callees first; its name."""
        if name not in self.functions:
            computation = self.computations[name]
            builder = Builder()
            arguments = [
                builder.emit(Instruction("parameter", i.shape, (), i.attrs, (), i.metadata))
                for i in (computation.instructions[p] for p in computation.parameters)
            ]
            root = self.inline(builder, computation, arguments)
            self.functions[name] = builder.function(name, (root,))
        return name
