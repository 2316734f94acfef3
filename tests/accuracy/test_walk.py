"""Running programs side by side: what corresponds, what is kept, what float64 changes."""

from __future__ import annotations

import numpy as np
import pytest

from hlo_frontend.hlo.parse import parse_module
from neff.errors import CompileError
from neff.lower import lower
from neff.options import parse_options
from runtime.probe import Probe
from torch_neuronx.accuracy.programs import (
    cast_program,
    counterparts,
    mark,
    marked_position,
    reference_program,
)
from torch_neuronx.accuracy.walk import Reference
from torch_neuronx.accuracy.widen import widen

TEXT = """
HloModule sample

add {
  a = f32[] parameter(0)
  b = f32[] parameter(1)
  ROOT sum = f32[] add(a, b)
}

ENTRY main {
  x = f32[4,8] parameter(0)
  y = s32[8,4] parameter(1)
  z = f32[8,4] convert(y)
  d = f32[4,4] dot(x, z), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  u = f32[4,8] add(x, x)
  e = f32[4,4] exponential(d)
  zero = f32[] constant(0.1)
  ROOT r = f32[4] reduce(e, zero), dimensions={1}, to_apply=add
}
"""


@pytest.mark.parametrize("cast", ["matmult", "all"])
@pytest.mark.parametrize("kind", ["bf16", "fp16", "tf32"])
def test_every_instruction_has_its_counterpart(cast, kind):
    marked = mark(lower(parse_module(TEXT)))
    reference = reference_program(marked)
    options = parse_options(f"--auto-cast={cast} --auto-cast-type={kind}")
    made = cast_program(marked, options)
    pairs = counterparts(reference, made, written=cast == "all")
    origin = marked.origin.main.instructions
    ops = {origin[m].op for m in pairs.values()}
    assert len(set(pairs.values())) == len(pairs) == len(reference.main.instructions)
    assert ops == {"parameter", "convert", "dot", "exponential", "constant", "reduce"}
    for position, found in pairs.items():
        i = made.main.instructions[position]
        assert marked_position(i) == found
        assert i.op in (origin[found].op, "convert", "reduce-precision")
    assert len(made.main.instructions) > len(pairs)  # the casts themselves


def test_the_reference_is_the_graph_as_it_was_captured():
    marked = mark(lower(parse_module(TEXT)))
    program = reference_program(marked)
    assert [i.op for i in program.main.instructions] == [
        *("parameter", "parameter", "convert", "dot", "exponential", "constant", "reduce")
    ]
    x = np.full((4, 8), 0.5, np.float32)
    y = np.ones((8, 4), np.int32)
    (result,) = Reference(Probe(), program, [x, y]).results()
    np.testing.assert_allclose(result, np.full(4, 4 * np.exp(4.0) + 0.1), rtol=1e-6)


def test_widened_it_computes_in_float64():
    program = widen(reference_program(mark(lower(parse_module(TEXT)))))
    x = np.full((4, 8), 0.1, np.float32)
    (result,) = Reference(Probe(), program, [x, np.ones((8, 4), np.int32)]).results()
    assert result.dtype == np.float64
    exact = 4 * np.exp(8 * float(np.float32(0.1))) + float(np.float32(0.1))
    np.testing.assert_allclose(result, np.full(4, exact), rtol=1e-14)


@pytest.mark.parametrize(
    ("op", "line"),
    [
        ("bitcast-convert", "s32[4] bitcast-convert(x)"),
        ("rng", "f32[4] rng(a, b), distribution=rng_uniform"),
    ],
)
def test_what_depends_on_bits_has_no_float64_counterpart(op, line):
    parameters = "x = f32[4] parameter(0)\n  a = f32[] parameter(1)\n  b = f32[] parameter(2)"
    module = parse_module(f"HloModule m\nENTRY e {{\n  {parameters}\n  ROOT r = {line}\n}}\n")
    with pytest.raises(CompileError, match=rf"got {op}\n.*\n  try: reference='fp32'"):
        widen(reference_program(mark(lower(module))))


def test_values_that_nothing_reads_again_are_dropped():
    lines = [f"  v{n + 1} = f32[64] add(v{n}, v{n})" for n in range(1, 40)]
    lines[-1] = lines[-1].replace("  v", "  ROOT v", 1)
    head = "HloModule chain\nENTRY e {\n  x = f32[64] parameter(0)\n  v1 = f32[64] negate(x)\n"
    program = reference_program(mark(lower(parse_module(head + "\n".join(lines) + "\n}\n"))))
    held: list[int] = []

    class Counting(Probe):
        def run(self, *arguments):
            held.append(len(reference._values))
            return super().run(*arguments)

    reference = Reference(Counting(), program, [np.zeros(64, np.float32)])
    reference.results()
    assert (len(held), max(held), len(reference._values)) == (40, 1, 1)
