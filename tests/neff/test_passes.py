"""Every pass keeps what random programs compute, and does nothing the second time."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from hlo_frontend.hlo.attributes import ConvolutionDimensionNumbers, WindowDimension
from hlo_frontend.hlo.parse import parse_module
from hlo_frontend.hlo.types import Shape
from neff.builder import Builder
from neff.lower import lower
from neff.options import parse_options
from neff.passes.auto_cast import AutoCast
from neff.passes.batch_norm import fold_batch_norm
from neff.passes.cleanup import eliminate_common_subexpressions, eliminate_dead_code
from neff.passes.constants import OUTLINE_BYTES, fold_constants, fold_weights, outline_constants
from neff.passes.fuse import fuse
from neff.passes.place import assign_engines, place_buffers
from neff.passes.simplify import simplify
from neff.pipeline import name_of, pipeline
from neff.pipeline import run as run_passes
from neff.printing import print_function
from neff.program import Program, Space
from neff.verify import verify_program
from runtime.probe import Probe
from tests.neff.programs import (
    arguments,
    constant,
    input_variable,
    parameters,
    program,
    random_programs,
    weight_variable,
)

PASSES = (*pipeline(parse_options(None)), AutoCast("tf32"))
# Passes that need another to have run.
AFTER = {"place_buffers": fuse}
# Passes that change numbers by design, or by the last bit where numpy and XLA differ.
TOLERANCE = {"fold_constants": 1e-6, "fold_weights": 1e-6, "auto_cast_tf32": 1e-2}


PROBE = Probe()  # instruction by instruction: nothing is fused, so exact passes change no bit


def run(p: Program) -> list[np.ndarray]:
    functions, given = {f.name: f for f in p.functions}, arguments(p)
    values: list[Any] = []
    for position, i in p.main.numbered():
        if i.op == "parameter":
            values.append(PROBE.place(given[i["number"]]))
        else:
            operands = [values[o] for o in i.operands]
            values.append(PROBE.run(functions, i, position, operands))
    return [np.asarray(values[r]) for r in p.main.results]


@pytest.mark.parametrize("step", dict.fromkeys(PASSES), ids=name_of)
@given(p=random_programs())
@settings(max_examples=25, deadline=None)
def test_pass_keeps_results_and_is_idempotent(step, p):
    verify_program(p, "random")
    if name_of(step) in AFTER:
        p = AFTER[name_of(step)](p)
    once = step(p)
    verify_program(once, name_of(step))
    assert step(once) == once
    tolerance = TOLERANCE.get(name_of(step), 0.0)
    for before, after in zip(run(p), run(once), strict=True):
        np.testing.assert_allclose(after, before, rtol=tolerance, atol=tolerance)


@given(p=random_programs())
@settings(max_examples=25, deadline=None)
def test_pipeline_keeps_results(p):
    made = run_passes(p, pipeline(parse_options(None)), lambda record: None)
    for before, after in zip(run(p), run(made), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)


@given(p=random_programs())
@settings(max_examples=25, deadline=None)
def test_values_alive_together_do_not_share_memory(p):
    placed = place_buffers(fuse(assign_engines(eliminate_dead_code(p))))
    done = {m: r.members[-1] for r in placed.regions for m in r.members}
    users = placed.main.users()
    forever = len(users)
    held = []
    for buffer in placed.buffers:
        if buffer.space is Space.HBM and buffer.size:
            ends = (
                forever
                if buffer.value in placed.main.results
                else max((done[u] for u in users[buffer.value]), default=buffer.value)
            )
            held.append((buffer.value, ends, buffer.offset, buffer.offset + buffer.size))
    for n, (start, end, low, high) in enumerate(held):
        for other_start, other_end, other_low, other_high in held[:n]:
            together = other_start <= end and start <= other_end
            assert not (together and low < other_high and other_low < high)


@given(p=random_programs())
@settings(max_examples=25, deadline=None)
def test_every_value_that_leaves_a_region_is_its_last(p):
    fused = fuse(p)
    home = {m: n for n, region in enumerate(fused.regions) for m in region.members}
    for value, users in enumerate(fused.main.users()):
        if value in home and any(home[u] != home[value] for u in users):
            assert value == fused.regions[home[value]].members[-1]


def lines(p: Program) -> list[str]:
    return [line.strip() for line in print_function(p.main)[1:-1]]


def test_simplify_removes_what_changes_no_bit():
    b, inputs = Builder(), [input_variable("x", 2, 3)]
    (x,) = parameters(b, inputs)
    shape = b.instructions[x].array
    ones = b.op("broadcast", shape, constant(b, 1.0), dimensions=())
    scaled = b.op("multiply", shape, ones, x)
    minus_zero = b.op("broadcast", shape, constant(b, -0.0), dimensions=())
    shifted = b.op("add", shape, scaled, minus_zero)
    turned = b.op("transpose", Shape("f32", (3, 2)), shifted, dimensions=(1, 0))
    back = b.op("transpose", shape, turned, dimensions=(1, 0))
    p = eliminate_dead_code(simplify(program(b, back, inputs=inputs)))
    assert lines(p) == ["%0 = f32[2,3] parameter(), number=0", "return %0"]


def test_simplify_keeps_adding_plus_zero_because_it_changes_minus_zero():
    b, inputs = Builder(), [input_variable("x", 2)]
    (x,) = parameters(b, inputs)
    shape = b.instructions[x].array
    zero = b.op("broadcast", shape, constant(b, 0.0), dimensions=())
    p = program(b, b.op("add", shape, x, zero), inputs=inputs)
    assert simplify(p) == p


STATISTICS = ("scale", "offset", "mean", "variance")


def convolution_with_batch_norm() -> Program:
    random = np.random.default_rng(0)
    line = [random.uniform(0.5, 2, 4).astype(np.float32) for _ in range(4)]
    inputs = [
        input_variable("x", 1, 2, 5, 5),
        weight_variable("kernel", random.standard_normal((4, 2, 3, 3)).astype(np.float32)),
        *(weight_variable(name, v) for name, v in zip(STATISTICS, line, strict=True)),
    ]
    b = Builder()
    x, kernel, *statistics = parameters(b, inputs)
    made = b.op(
        "convolution",
        Shape("f32", (1, 4, 3, 3)),
        x,
        kernel,
        window=(WindowDimension(3), WindowDimension(3)),
        dim_labels=ConvolutionDimensionNumbers(0, 1, (2, 3), 1, 0, (2, 3), 0, 1, (2, 3)),
        feature_group_count=1,
        batch_group_count=1,
    )
    shape = b.instructions[made].array
    normal = b.op("batch-norm-inference", shape, made, *statistics, epsilon=1e-5, feature_index=1)
    return program(b, normal, inputs=inputs)


def test_batch_norm_disappears_into_the_convolution():
    p = convolution_with_batch_norm()
    folded = eliminate_dead_code(fold_weights(fold_batch_norm(p)))
    ops = [i.op for i in folded.main.instructions]
    assert sorted(ops) == ["add", "broadcast", "convolution", *["parameter"] * 3]
    np.testing.assert_allclose(run(folded)[0], run(p)[0], rtol=1e-5, atol=1e-5)


def test_common_subexpressions_of_random_numbers_stay_apart():
    b = Builder()
    low, high = constant(b, 0.0), constant(b, 1.0)
    draws = [b.op("rng", Shape("f32", (2,)), low, high, distribution="rng_uniform") for _ in "ab"]
    p = program(b, *draws, inputs=[])
    assert eliminate_common_subexpressions(p) == p


def test_large_constants_become_weights_and_small_ones_stay():
    b = Builder()
    large = constant(b, np.zeros(OUTLINE_BYTES // 4))
    small = constant(b, np.zeros(OUTLINE_BYTES // 4 - 1))
    p = outline_constants(program(b, large, small, inputs=[]))
    assert [i.op for i in p.main.instructions] == ["parameter", "constant"]
    assert [v.kind for v in p.inputs] == ["weight"]


def test_constants_fold():
    b = Builder()
    p = program(b, b.op("multiply", Shape("f32"), constant(b, 2.0), constant(b, 3.0)), inputs=[])
    assert (
        lines(eliminate_dead_code(fold_constants(p)))[0] == "%0 = f32[] constant(), literal={6.0}"
    )


CUMULATED = """HloModule m
sum {{
  a = {0}[] parameter(0)
  b = {0}[] parameter(1)
  ROOT s = {0}[] {1}(a, b)
}}
ENTRY main {{
  v = {0}[2,5] constant({{{{1,2,3,4,5}}, {{0,1,0,200,1}}}})
  i = {0}[] constant({2})
  ROOT w = {0}[2,5] reduce-window(v, i), window={{{3}}}, to_apply=sum
}}
"""


@pytest.mark.parametrize(
    ("case", "folds"),
    [
        (("s32", "add", 0, "size=1x5 pad=0_0x4_0"), True),
        (("u8", "add", 0, "size=1x5 pad=0_0x4_0"), True),  # beyond 255 it begins anew
        (("s64", "add", 0, "size=2x5 pad=1_0x4_0"), True),
        (("f32", "add", 0, "size=1x5 pad=0_0x4_0"), False),  # XLA sums in another order
        (("s32", "multiply", 0, "size=1x5 pad=0_0x4_0"), False),
        (("s32", "add", 1, "size=1x5 pad=0_0x4_0"), False),
        (("s32", "add", 0, "size=1x3 pad=0_0x2_0"), False),
        (("s32", "add", 0, "size=1x5 pad=0_0x0_4"), False),
    ],
    ids=str,
)
def test_cumulative_sums_of_integers_fold(case, folds):
    p = lower(parse_module(CUMULATED.format(*case)))
    made = eliminate_dead_code(fold_constants(p))
    assert ([i.op for i in made.main.instructions] == ["constant"]) is folds
    np.testing.assert_array_equal(run(made)[0], run(p)[0])


def test_weights_fold_only_where_they_do_not_grow():
    b, inputs = Builder(), [weight_variable("w", np.ones((2, 2), np.float32))]
    (w,) = parameters(b, inputs)
    half = b.op("negate", b.instructions[w].array, w)
    wide = b.op("broadcast", Shape("f32", (100, 2, 2)), half, dimensions=(1, 2))
    p = eliminate_dead_code(fold_weights(program(b, wide, inputs=inputs)))
    assert [i.op for i in p.main.instructions] == ["parameter", "broadcast"]
    assert p.inputs[0].name == "w"


def test_folding_weights_holds_one_step_of_one_weight_at_a_time():
    count, size = 6, 1 << 18
    b = Builder()
    inputs = [weight_variable(f"w{n}", np.full(size, n + 1, np.float32)) for n in range(count)]
    inputs.append(input_variable("x", size))
    *weights, x = parameters(b, inputs)
    shape = b.instructions[x].array
    for w in weights:
        square = b.op("multiply", shape, w, w)
        cube = b.op("multiply", shape, square, b.op("negate", shape, w))
        x = b.op("add", shape, x, b.op("subtract", shape, cube, square))
    p = program(b, x, inputs=inputs)
    tracemalloc.start()
    try:
        folded = eliminate_dead_code(fold_weights(p))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    made = [v.weight.array[0] for v in folded.inputs if v.weight is not None]
    assert made == [-(n**3) - n**2 for n in range(1, count + 1)]
    assert peak < (count + 4) * shape.bytes  # the results and, of the last, what it is made of


def test_unused_inputs_stay_and_unused_weights_go():
    b = Builder()
    inputs = [input_variable("x", 1), weight_variable("w", np.ones(2)), input_variable("y", 1)]
    _, _, y = parameters(b, inputs)
    p = eliminate_dead_code(program(b, y, inputs=inputs))
    assert [v.name for v in p.inputs] == ["x", "y"]
    assert p.main.instructions[p.main.results[0]]["number"] == 1


def test_verifier_names_the_pass_and_quotes_the_instruction():
    b, inputs = Builder(), [input_variable("x", 2)]
    (x,) = parameters(b, inputs)
    p = program(b, b.op("negate", Shape("f32", (2,)), x), inputs=inputs)
    broken = p.with_main(
        type(p.main)("main", (p.main.instructions[1], p.main.instructions[0]), (0,))
    )
    with pytest.raises(RuntimeError) as error:
        verify_program(broken, "scramble")
    assert str(error.value).splitlines() == [
        "scramble: operands must be defined before use",
        "  in  %0 = f32[2] negate(%0)",
    ]
