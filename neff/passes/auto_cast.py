"""`--auto-cast`: matrix multiplications and convolutions of f32 on operands of a shorter type."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hlo_frontend.hlo.types import Shape
from neff.builder import Builder, rewrite
from neff.program import Instruction, Program

# `tf32` keeps f32 storage with 8 exponent and 10 mantissa bits (AWS data-types guide).
TF32_BITS = {"exponent_bits": 8, "mantissa_bits": 10}
ELEMENT_TYPES = {"bf16": "bf16", "fp16": "f16", "fp8_e4m3": "f8e4m3"}
CAST_OPS = frozenset({"dot", "convolution"})


@dataclass(frozen=True)
class AutoCast:
    """Round the f32 operands of dots and convolutions to `type`; products accumulate in f32."""

    type: str

    @property
    def __name__(self) -> str:
        return f"auto_cast_{self.type}"

    def __call__(self, program: Program) -> Program:
        return program.with_main(rewrite(program.main, self.cast))

    def cast(self, b: Builder, i: Instruction) -> int | None:
        if i.op not in CAST_OPS:
            return None
        operands = tuple(self.rounded(b, o) for o in i.operands)
        return b.emit(replace(i, operands=operands)) if operands != i.operands else None

    def rounded(self, b: Builder, value: int) -> int:
        shape, metadata = b.instructions[value].array, b.instructions[value].metadata
        if shape.dtype != "f32" or b.instructions[value].op == "reduce-precision":
            return value
        if self.type == "tf32":
            return b.op("reduce-precision", shape, value, metadata=metadata, **TF32_BITS)
        short = Shape(ELEMENT_TYPES[self.type], shape.dims)
        return b.op("convert", short, value, metadata=metadata)
