"""Batch normalization with known statistics: into the convolution before it, or a multiply-add."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hlo_frontend.hlo.attributes import ConvolutionDimensionNumbers
from hlo_frontend.hlo.literal import Literal
from hlo_frontend.hlo.types import Shape
from neff.builder import Builder, rewrite
from neff.program import Instruction, Kind, Program


def fold_batch_norm(program: Program) -> Program:
    """batch-norm-inference(x) = x·s + (offset − mean·s) with s = scale·rsqrt(variance + epsilon).

    Where x is a convolution that only this reads and whose kernel is a weight, the kernel takes
    the factor s. All arithmetic on statistics is on weights, so `fold_weights` removes it.
    """
    uses = [len(u) for u in program.main.users()]
    position = -1
    origin: dict[int, int] = {}  # value in the new function -> uses of it in the old one

    def expanded(b: Builder, i: Instruction) -> int | None:
        nonlocal position
        position += 1
        origin[len(b.instructions)] = uses[position]
        if i.op != "batch-norm-inference":
            return None
        return _Expansion(b, i).emit(program, origin)

    return program.with_main(rewrite(program.main, expanded))


class _Expansion:
    def __init__(self, b: Builder, i: Instruction) -> None:
        self.b, self.i = b, i
        self.shape = i.array
        self.x, self.scale, self.offset, self.mean, self.variance = i.operands
        self.feature: int = i["feature_index"]
        self.line = b.instructions[self.scale].array

    def op(self, op: str, shape: Shape, *operands: int, **attrs: object) -> int:
        return self.b.op(op, shape, *operands, metadata=self.i.metadata, **attrs)

    def spread(self, value: int, shape: Shape, dimension: int) -> int:
        return self.op("broadcast", shape, value, dimensions=(dimension,))

    def emit(self, program: Program, uses: dict[int, int]) -> int:
        epsilon = Literal.of(np.array(self.i["epsilon"], self.line.numpy))
        epsilons = self.op("broadcast", self.line, self.b.constant(epsilon), dimensions=())
        deviation = self.op("rsqrt", self.line, self.op("add", self.line, self.variance, epsilons))
        factor = self.op("multiply", self.line, self.scale, deviation)
        centred = self.op("multiply", self.line, self.mean, factor)
        shift = self.op("subtract", self.line, self.offset, centred)
        scaled = self.scaled_convolution(program, uses, factor)
        if scaled is None:
            factors = self.spread(factor, self.shape, self.feature)
            scaled = self.op("multiply", self.shape, self.x, factors)
        return self.op("add", self.shape, scaled, self.spread(shift, self.shape, self.feature))

    def scaled_convolution(self, program: Program, uses: dict[int, int], factor: int) -> int | None:
        convolution = self.b.instructions[self.x]
        if convolution.op != "convolution" or uses.get(self.x) != 1:
            return None
        labels: ConvolutionDimensionNumbers = convolution["dim_labels"]
        kernel = self.b.instructions[convolution.operands[1]]
        bound = kernel.op == "parameter" and program.inputs[kernel["number"]].kind is Kind.WEIGHT
        if not bound or labels.output_feature != self.feature:
            return None
        factors = self.spread(factor, kernel.array, labels.kernel_output_feature)
        scaled = self.op("multiply", kernel.array, convolution.operands[1], factors)
        return self.b.emit(replace(convolution, operands=(convolution.operands[0], scaled)))
