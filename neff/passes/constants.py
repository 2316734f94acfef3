"""Everything that is known when compiling: constants, and what depends on weights alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from hlo_frontend.hlo.attributes import WindowDimension
from hlo_frontend.hlo.literal import Literal
from hlo_frontend.hlo.module import Attributes, attributes
from hlo_frontend.hlo.types import Shape
from neff.builder import Builder, rewrite
from neff.fold import FOLDS, fold
from neff.passes.gathers import gathered_slice
from neff.passes.maximum import combiner_of
from neff.program import Instruction, Kind, Program, Variable, Weight

# A folded constant may be this large; a splat stays a broadcast, which costs nothing to hold.
FOLD_LIMIT = 1 << 16
# A constant of this many bytes or more is bound like a weight: XLA compiles arguments far faster.
OUTLINE_BYTES = 1 << 10


def fold_constants(program: Program) -> Program:
    """Compute what depends on constants alone, while the result stays small."""
    sums = frozenset(f.name for f in program.functions if combiner_of(f) == "add")

    def folded(b: Builder, i: Instruction) -> int | None:
        if i.op == "reduce-window" and set(i.bodies) <= sums:
            return _cumulated(b, i)
        return _folded(b, i)

    return replace(program, functions=tuple(rewrite(f, folded) for f in program.functions))


def _cumulated(b: Builder, i: Instruction) -> int | None:
    """The partial sums of integers along dimensions: positions are counted so, in a mask."""
    if not isinstance(i.shape, Shape) or i.shape.bytes > FOLD_LIMIT:
        return None
    values, start = (_known(b, o) for o in i.operands)
    if values is None or start is None or values.dtype.kind not in "iu" or start != 0:
        return None
    for axis, window in enumerate(i["window"]):
        size = values.shape[axis]
        if window == WindowDimension(size, pad_low=size - 1):
            values = np.cumsum(values, axis, values.dtype)
        elif window != WindowDimension(1):
            return None
    return _constant(b, i, values)


def _folded(b: Builder, i: Instruction) -> int | None:
    if i.op not in FOLDS or not isinstance(i.shape, Shape):
        return None
    known = [_known(b, o) for o in i.operands]
    if i.op == "gather" and (picked := _gathered(b, i, known[1])) is not None:
        return picked
    sources = [s for s in known if s is not None]
    if len(sources) < len(known) or i.shape.bytes > FOLD_LIMIT:
        return None
    alike = all(s.size == 1 or _is_splat(b, o) for s, o in zip(sources, i.operands, strict=True))
    if sources and alike and (i.shape.size > 1 or any(_is_splat(b, o) for o in i.operands)):
        return None  # `simplify` finds the one number that is repeated
    value = fold(i, sources)
    return None if value is None else _constant(b, i, value)


def _constant(b: Builder, i: Instruction, value: np.ndarray) -> int:
    """An instruction's value, known; of one number it stays a broadcast."""
    first = value.reshape(-1)[:1]
    if value.size > 1 and value.tobytes() == first.tobytes() * value.size:
        number = b.op("constant", Shape(i.array.dtype), literal=Literal.of(first.reshape(())))
        return b.op("broadcast", i.array, number, metadata=i.metadata, dimensions=())
    return b.emit(Instruction("constant", i.shape, (), (("literal", Literal.of(value)),)))


def _is_splat(b: Builder, value: int) -> bool:
    i = b.instructions[value]
    return i.op == "broadcast" and b.instructions[i.operands[0]].array.size == 1


def _known(b: Builder, value: int) -> np.ndarray | None:
    """A constant, or one number repeated, which takes no memory."""
    i = b.instructions[value]
    if i.op == "broadcast" and b.instructions[i.operands[0]].op == "constant":
        literal: Literal = b.instructions[i.operands[0]]["literal"]
        number = literal.numpy()
        return np.broadcast_to(number.reshape(()), i.array.dims) if number.size == 1 else None
    return i["literal"].numpy() if i.op == "constant" and isinstance(i.shape, Shape) else None


def _gathered(b: Builder, i: Instruction, indices: np.ndarray | None) -> int | None:
    if indices is None or b.instructions[i.operands[1]].array.bytes > FOLD_LIMIT:
        return None
    return gathered_slice(b, i, indices)


def outline_constants(program: Program) -> Program:
    """Bind large constants as weights."""
    inputs = list(program.inputs)

    def outlined(b: Builder, i: Instruction) -> int | None:
        if i.op != "constant" or not isinstance(i.shape, Shape) or i.shape.bytes < OUTLINE_BYTES:
            return None
        weight = Weight.of(i["literal"].numpy())
        inputs.append(Variable(f"constant_{weight.digest[:12]}", i.shape, Kind.WEIGHT, weight))
        return b.emit(replace(i, op="parameter", attrs=_numbered(len(inputs) - 1)))

    main = rewrite(program.main, outlined)
    return replace(program.with_main(main), inputs=tuple(inputs))


def _numbered(number: int) -> Attributes:
    return attributes(number=number)


def fold_weights(program: Program) -> Program:
    """Compute, once, what depends on weights alone; the results become the weights.

    A value is folded where something that is not itself folded reads it, and only where it takes
    no more memory than the weights it is made of.
    """
    folding = _WeightFolding(program)
    inputs = list(program.inputs)
    position = -1

    def folded(b: Builder, i: Instruction) -> int | None:
        nonlocal position
        position += 1
        if position not in folding.boundary:
            return None
        value = folding.evaluate(position)
        if value is None:
            return None
        weight = Weight.of(value)
        name = folding.names.get(position, "folded")
        inputs.append(Variable(name, weight.shape, Kind.WEIGHT, weight))
        return b.emit(Instruction("parameter", i.shape, (), _numbered(len(inputs) - 1)))

    main = rewrite(program.main, folded)
    return replace(program.with_main(main), inputs=tuple(inputs))


class _WeightFolding:
    """Which values of a program depend on weights alone, and what they are."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.instructions = program.main.instructions
        self.leaves: dict[int, frozenset[int]] = {}  # value -> the weights it is made of
        self.names: dict[int, str] = {}
        for position, instruction in program.main.numbered():
            self._classify(position, instruction)
        self.boundary = self._boundary()
        self.values: dict[int, np.ndarray | None] = {}
        self.uses = self._uses()  # how often each value will be needed from here on

    def _classify(self, position: int, i: Instruction) -> None:
        if i.op == "parameter" and self.program.inputs[i["number"]].kind is Kind.WEIGHT:
            self.leaves[position] = frozenset((position,))
            self.names[position] = self.program.inputs[i["number"]].name
        elif i.op == "constant" and isinstance(i.shape, Shape):
            self.leaves[position] = frozenset()
        elif i.op in FOLDS and all(o in self.leaves for o in i.operands):
            made_of = frozenset[int]().union(*(self.leaves[o] for o in i.operands))
            self.leaves[position] = made_of
            owner = max(made_of, key=lambda p: self.instructions[p].array.bytes, default=None)
            if owner is not None:
                self.names[position] = self.names[owner]

    def _boundary(self) -> frozenset[int]:
        """Values made of weights, by an op, that something not folded reads.

        A value too large to fold is computed at run time, so it reads its own operands there.
        """
        boundary: set[int] = set()
        read: set[int] = set(self.program.main.results)
        for position in range(len(self.instructions) - 1, -1, -1):
            instruction = self.instructions[position]
            made_of = self.leaves.get(position)
            if made_of is None:
                read.update(instruction.operands)
            elif made_of and position in read and instruction.op != "parameter":
                size = sum(self.instructions[p].array.bytes for p in made_of)
                if instruction.array.bytes <= size:
                    boundary.add(position)
                else:
                    read.update(instruction.operands)
        return frozenset(boundary)

    def _uses(self) -> Counter[int]:
        """How often each value is an operand of what makes those of the boundary, or one of them.

        What is not needed any more is let go: a step on the way is as large as the weight itself.
        """
        uses = Counter(self.boundary)
        for position in range(len(self.instructions) - 1, -1, -1):
            if position in uses:
                uses.update(self.instructions[position].operands)
        return uses

    def evaluate(self, position: int) -> np.ndarray | None:
        """The value, or None where an op on the way has no trustworthy rule for its operands.

        It may be asked for once.
        """
        stack = [position]
        while stack:
            current = stack[-1]
            instruction = self.instructions[current]
            missing = [o for o in instruction.operands if o not in self.values]
            if current in self.values:  # several needed it
                stack.pop()
            elif missing:
                stack.extend(missing)
            else:
                stack.pop()
                self.values[current] = self._compute(instruction)
                for operand in instruction.operands:
                    self._used(operand)
        value = self.values[position]
        self._used(position)
        return value

    def _used(self, position: int) -> None:
        self.uses[position] -= 1
        if not self.uses[position]:
            del self.values[position]

    def _compute(self, i: Instruction) -> np.ndarray | None:
        if i.op == "parameter":
            number: int = i["number"]
            weight = self.program.inputs[number].weight
            assert weight is not None
            return weight.array
        if i.op == "constant":
            literal: Literal = i["literal"]
            return literal.numpy()
        operands = [self.values[o] for o in i.operands]
        known = [o for o in operands if o is not None]
        return fold(i, known) if len(known) == len(operands) else None
