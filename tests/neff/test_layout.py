"""Where dimensions stand after `assign_layouts`: transposes that are left, the form of dots."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hlo_frontend.hlo.attributes import (
    ConvolutionDimensionNumbers,
    DotDimensionNumbers,
    GatherDimensionNumbers,
    WindowDimension,
)
from hlo_frontend.hlo.module import Metadata
from hlo_frontend.hlo.types import Shape
from neff.builder import Builder
from neff.passes.cleanup import eliminate_dead_code
from neff.passes.constants import fold_constants, fold_weights
from neff.passes.layout import assign_layouts
from neff.passes.masked_rows import ask_row_maxima
from neff.passes.orders import blocks, blockwise
from neff.passes.simplify import simplify
from neff.program import Instruction, Program
from neff.verify import verify_program
from tests.neff.programs import (
    F32,
    constant,
    input_variable,
    parameters,
    program,
    reducer,
    weight_variable,
)
from tests.neff.test_passes import lines, run

LAYER = Metadata("aten::conv2d", "stem/conv", "model.py", 7)
CHANNELS = 3


def channels_first(spatial: int) -> ConvolutionDimensionNumbers:
    places = tuple(range(2, 2 + spatial))
    return ConvolutionDimensionNumbers(0, 1, places, 1, 0, places, 0, 1, places)


def convolve(b: Builder, x: int, kernel: int, groups: int = 1) -> int:
    """A 1- to 3-dimensional convolution that keeps the sizes of x: kernels of 3, padding of 1."""
    shape, made_of = b.instructions[x].array, b.instructions[kernel].array
    spatial = shape.rank - 2
    made = Shape(F32, (shape.dims[0], made_of.dims[0], *shape.dims[2:]))
    return b.op(
        "convolution",
        made,
        x,
        kernel,
        metadata=LAYER,
        window=(WindowDimension(3, 1, 1, 1),) * spatial,
        dim_labels=channels_first(spatial),
        feature_group_count=groups,
        batch_group_count=1,
    )


def transposed(b: Builder, x: int, *order: int) -> int:
    dims = b.instructions[x].array.dims
    return b.op("transpose", Shape(F32, tuple(dims[d] for d in order)), x, dimensions=order)


def spread(b: Builder, line: int, like: int, dimension: int) -> int:
    return b.op("broadcast", b.instructions[like].array, line, dimensions=(dimension,))


def optimized(p: Program) -> Program:
    made = eliminate_dead_code(fold_weights(assign_layouts(p)))
    verify_program(made, "assign_layouts")
    return made


def counts(p: Program) -> Counter[str]:
    return Counter(i.op for i in p.main.instructions)


def kernel_variable(name: str, *dims: int) -> object:
    random = np.random.default_rng(len(name))
    return weight_variable(name, random.standard_normal(dims).astype(np.float32))


def test_a_chain_of_convolutions_has_a_transpose_at_each_end_and_biases_on_the_last_dimension():
    for spatial in (1, 2, 3):
        b = Builder()
        sizes = (5, 4, 6)[:spatial]
        inputs = [
            input_variable("x", 2, CHANNELS, *sizes),
            kernel_variable("k", 4, CHANNELS, *(3,) * spatial),
            kernel_variable("depthwise", 4, 1, *(3,) * spatial),
            weight_variable("bias", np.arange(4, dtype=np.float32)),
        ]
        x, k, depthwise, bias = parameters(b, inputs)
        first = convolve(b, x, k)
        shifted = b.op("add", b.instructions[first].array, first, spread(b, bias, first, 1))
        second = convolve(b, shifted, depthwise, groups=4)
        p = program(b, b.op("add", b.instructions[second].array, second, shifted), inputs=inputs)
        made = optimized(p)
        assert counts(made)["transpose"] == 2
        (broadcast,) = (i for i in made.main.instructions if i.op == "broadcast")
        assert broadcast["dimensions"] == (spatial + 1,)
        for i in made.main.instructions:
            if i.op == "convolution":
                labels = i["dim_labels"]
                assert (labels.input_batch, labels.input_feature) == (0, spatial + 1)
                assert (labels.kernel_input_feature, labels.kernel_output_feature) == (
                    spatial,
                    spatial + 1,
                )
                assert i.metadata == LAYER
        for before, after in zip(run(p), run(made), strict=True):
            np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)


def test_permutes_around_a_norm_of_the_channels_cancel():
    b = Builder()
    inputs = [input_variable("x", 2, CHANNELS, 5, 4), kernel_variable("k", 3, CHANNELS, 3, 3)]
    x, k = parameters(b, inputs)
    last = transposed(b, convolve(b, x, k), 0, 2, 3, 1)
    shape = b.instructions[last].array
    zero = constant(b, 0.0)
    line = Shape(F32, shape.dims[:3])
    total = b.emit(Instruction("reduce", line, (last, zero), (("dimensions", (3,)),), ("sum",)))
    centred = b.op("subtract", shape, last, b.op("broadcast", shape, total, dimensions=(0, 1, 2)))
    result = convolve(b, transposed(b, centred, 0, 3, 1, 2), k)
    flat = b.op("reshape", Shape(F32, (2, 3, 20)), result)
    p = program(b, transposed(b, flat, 0, 2, 1), inputs=inputs, bodies=(reducer("sum", "add"),))
    made = optimized(p)
    assert counts(made)["transpose"] == 1  # of the input; the result is wanted with channels last
    for before, after in zip(run(p), run(made), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)


def dot_program(
    lhs: tuple[int, ...], rhs: tuple[int, ...], numbers: DotDimensionNumbers
) -> Program:
    b, inputs = Builder(), [input_variable("x", *lhs), kernel_variable("w", *rhs)]
    x, w = parameters(b, inputs)
    left = [d for n, d in enumerate(lhs) if n not in numbers.lhs_contracting + numbers.lhs_batch]
    right = [d for n, d in enumerate(rhs) if n not in numbers.rhs_contracting + numbers.rhs_batch]
    dims = (*(lhs[n] for n in numbers.lhs_batch), *left, *right)
    made = b.op("dot", Shape(F32, dims), x, w, dot_dimension_numbers=numbers)
    return program(b, made, inputs=inputs)


def test_a_linear_layer_is_a_product_of_two_matrices_however_it_is_written():
    linear = dot_program((1, 8, 6), (4, 6), DotDimensionNumbers((2,), (1,)))
    matmul = dot_program((1, 8, 6), (6, 4), DotDimensionNumbers((2,), (0,)))
    batched = dot_program((1, 8, 6), (1, 6, 4), DotDimensionNumbers((2,), (1,), (0,), (0,)))
    for p in (linear, matmul, batched):
        made = optimized(p)
        (dot,) = (i for i in made.main.instructions if i.op == "dot")
        assert dot.array.dims == (8, 4)
        assert dot["dot_dimension_numbers"] == DotDimensionNumbers((1,), (0,))
        assert counts(made) == {"parameter": 2, "reshape": 2, "dot": 1}
        np.testing.assert_allclose(run(made)[0], run(p)[0], rtol=1e-6, atol=1e-6)


def test_heads_are_transposed_into_the_dot_and_sizes_of_one_left_out():
    numbers = DotDimensionNumbers((3,), (3,), (0, 2), (0, 2))
    b, inputs = Builder(), [input_variable("q", 1, 7, 2, 4), input_variable("k", 1, 5, 2, 4)]
    q, k = parameters(b, inputs)
    scores = b.op("dot", Shape(F32, (1, 2, 7, 5)), q, k, dot_dimension_numbers=numbers)
    p = program(b, scores, inputs=inputs)
    made = optimized(p)
    assert lines(made)[2:] == [
        "%2 = f32[7,2,4] reshape(%0)",
        "%3 = f32[2,7,4] transpose(%2), dimensions={1,0,2}",
        "%4 = f32[5,2,4] reshape(%1)",
        "%5 = f32[2,4,5] transpose(%4), dimensions={1,2,0}",
        "%6 = f32[2,7,5] dot(%3, %5), dot_dimension_numbers={lhs_contracting={2} "
        "rhs_contracting={1} lhs_batch={0} rhs_batch={0}}",
        "%7 = f32[1,2,7,5] reshape(%6)",
        "return %7",
    ]
    np.testing.assert_allclose(run(made)[0], run(p)[0], rtol=1e-6, atol=1e-6)


def test_a_weight_repeated_over_the_batch_is_read_once():
    b, inputs = Builder(), [input_variable("x", 3, 8, 6), kernel_variable("w", 6, 4)]
    x, w = parameters(b, inputs)
    wide = b.op("broadcast", Shape(F32, (3, 6, 4)), w, dimensions=(1, 2))
    numbers = DotDimensionNumbers((2,), (1,), (0,), (0,))
    p = program(
        b, b.op("dot", Shape(F32, (3, 8, 4)), x, wide, dot_dimension_numbers=numbers), inputs=inputs
    )
    made = optimized(p)
    (dot,) = (i for i in made.main.instructions if i.op == "dot")
    assert dot.array.dims == (24, 4)
    np.testing.assert_allclose(run(made)[0], run(p)[0], rtol=1e-6, atol=1e-6)


def test_the_smaller_operand_is_moved():
    b, inputs = (
        Builder(),
        [input_variable("x", 8, 6, 4), input_variable("y", 4, 8, 6, dtype="bf16")],
    )
    x, y = parameters(b, inputs)
    turned = b.op("transpose", Shape("bf16", (8, 6, 4)), y, dimensions=(1, 2, 0))
    wide = b.op("convert", Shape(F32, (8, 6, 4)), turned)
    p = program(b, b.op("add", Shape(F32, (8, 6, 4)), x, wide), inputs=inputs)
    made = assign_layouts(p)
    (transpose,) = (i for i in made.main.instructions if i.op == "transpose")
    assert transpose.array.dtype == "bf16"


def test_all_of_a_row_is_the_least_if_its_maximum_is():
    b, inputs = Builder(), [input_variable("x", 3, 4)]
    (x,) = parameters(b, inputs)
    low, true = constant(b, -np.inf), b.constant(_true())
    row, flags = (("dimensions", (1,)),), Shape("pred", (3, 4))
    top = b.emit(Instruction("reduce", Shape(F32, (3,)), (x, low), row, ("max",)))
    wide = b.op("broadcast", Shape(F32, (3, 4)), low, dimensions=())
    equal = b.op("compare", flags, x, wide, direction="EQ")
    every = b.emit(Instruction("reduce", Shape("pred", (3,)), (equal, true), row, ("all",)))
    bodies = (reducer("max", "maximum"), reducer("all", "and", "pred"))
    p = program(b, top, every, inputs=inputs, bodies=bodies)
    made = eliminate_dead_code(ask_row_maxima(p))
    assert counts(made)["reduce"] == 1
    for before, after in zip(run(p), run(made), strict=True):
        np.testing.assert_array_equal(after, before)


def _true() -> object:
    from hlo_frontend.hlo.literal import Literal

    return Literal.of(np.True_)


def test_a_mask_known_when_compiling_is_computed_then():
    b, inputs = Builder(), [input_variable("x", 4, 4)]
    (x,) = parameters(b, inputs)
    whole, flags = Shape("s32", (4, 4)), Shape("pred", (4, 4))
    rows, columns = (b.op("iota", whole, iota_dimension=d) for d in (0, 1))
    later = b.op("compare", flags, columns, rows, direction="GT")
    fill = b.op("broadcast", Shape(F32, (4, 4)), constant(b, -1.0), dimensions=())
    p = program(b, b.op("select", Shape(F32, (4, 4)), later, fill, x), inputs=inputs)
    made = eliminate_dead_code(fold_constants(simplify(p)))
    assert counts(made) == {"parameter": 1, "constant": 2, "broadcast": 1, "select": 1}


def test_what_is_repeated_is_computed_once():
    b, inputs = Builder(), [input_variable("x", 4)]
    (x,) = parameters(b, inputs)
    wide = Shape(F32, (3, 4))
    repeated = b.op("broadcast", wide, x, dimensions=(1,))
    two = b.op("broadcast", wide, constant(b, 2.0), dimensions=())
    p = program(b, b.op("multiply", wide, repeated, two), inputs=inputs)
    made = eliminate_dead_code(simplify(p))
    assert lines(made)[-2:] == ["%4 = f32[3,4] broadcast(%3), dimensions={1}", "return %4"]
    (product,) = (i for i in made.main.instructions if i.op == "multiply")
    assert product.array.dims == (4,)


def test_blocks_of_a_reshape_are_the_smallest():
    split = blocks((2, 1, 3, 4, 5), (1, 6, 2, 10))
    assert [(b.before, b.after) for b in split] == [((0, 2), (0, 1)), ((3, 4), (2, 3))]
    assert blockwise((3, 4, 0, 2, 1), split, (2, 1, 3, 4, 5)) == split[::-1]
    assert blockwise((0, 3, 2, 4, 1), split, (2, 1, 3, 4, 5)) is None
    assert blocks((0, 3), (3, 0)) == ()


@st.composite
def images(draw: st.DrawFn) -> Program:
    """Programs on `[n, c, h, w]` values: every rule of the layouts can meet its case."""
    sizes = [draw(st.sampled_from(s)) for s in ((1, 2), (1, 4), (2, 3), (1, 3))]
    b = Builder()
    inputs = [
        input_variable("x", *sizes),
        weight_variable(
            "k",
            np.linspace(-1, 1, sizes[1] ** 2 * 9, dtype=np.float32).reshape(
                sizes[1], sizes[1], 3, 3
            ),
        ),
        weight_variable("line", np.arange(sizes[1], dtype=np.float32)),
    ]
    x, kernel, line = parameters(b, inputs)
    values = [x]
    for _ in range(draw(st.integers(1, 10))):
        values.append(_image_step(draw, b, draw(st.sampled_from(values)), values, kernel, line))
    results = draw(st.lists(st.sampled_from(values), min_size=1, max_size=2))
    return program(b, *results, inputs=inputs, bodies=(reducer("sum", "add"),))


def _image_step(
    draw: st.DrawFn, b: Builder, x: int, values: list[int], kernel: int, line: int
) -> int:
    shape = b.instructions[x].array
    rank, dims = shape.rank, shape.dims
    d = draw(st.integers(0, rank - 1))
    alike = [v for v in values if b.instructions[v].array == shape]
    fits = rank == 4 and dims[1] == b.instructions[line].array.size
    kinds = ["binary", "bias", "transpose", "reduce", "split", "merge", "slice", "pad", "window"]
    kinds += ["concatenate", "reverse", "gather", "dot", *(["convolution"] * 3 if fits else [])]
    match draw(st.sampled_from(kinds)):
        case "convolution":
            return convolve(b, x, kernel)
        case "binary":
            return b.op("subtract", shape, x, draw(st.sampled_from(alike)))
        case "bias":
            values_of = constant(b, np.arange(dims[d], dtype=np.float32))
            return b.op("add", shape, x, spread(b, values_of, x, d))
        case "transpose":
            return transposed(b, x, *draw(st.permutations(range(rank))))
        case "reduce" if rank > 1:
            left = tuple(n for k, n in enumerate(dims) if k != d)
            attrs = (("dimensions", (d,)),)
            operands = (x, constant(b, 0.0))
            made = b.emit(Instruction("reduce", Shape(F32, left), operands, attrs, ("sum",)))
            kept = tuple(k for k in range(rank) if k != d)
            return b.op("broadcast", shape, made, dimensions=kept)
        case "split" if dims[d] % 2 == 0:
            sizes = (*dims[:d], 2, dims[d] // 2, *dims[d + 1 :])
            return b.op("reshape", Shape(F32, sizes), x)
        case "merge" if d:
            sizes = (*dims[: d - 1], dims[d - 1] * dims[d], *dims[d + 1 :])
            return b.op("reshape", Shape(F32, sizes), x)
        case "slice":
            bounds = tuple((0, n if k != d else 1, 1) for k, n in enumerate(dims))
            sizes = tuple(n if k != d else 1 for k, n in enumerate(dims))
            return b.op("slice", Shape(F32, sizes), x, slice=bounds)
        case "pad":
            padding = tuple((int(k == d), 0, 0) for k in range(rank))
            sizes = tuple(n + (k == d) for k, n in enumerate(dims))
            return b.op("pad", Shape(F32, sizes), x, constant(b, 1.5), padding=padding)
        case "window":
            window = tuple(WindowDimension(2 if k == d else 1, 1, int(k == d)) for k in range(rank))
            operands, attrs = (x, constant(b, 0.0)), (("window", window),)
            return b.emit(Instruction("reduce-window", shape, operands, attrs, ("sum",)))
        case "concatenate":
            sizes = tuple(n * (1 + (k == d)) for k, n in enumerate(dims))
            other = draw(st.sampled_from(alike))
            return b.op("concatenate", Shape(F32, sizes), x, other, dimensions=(d,))
        case "gather":
            picked = b.constant(_indices(dims[d]))
            numbers = GatherDimensionNumbers(tuple(k for k in range(rank) if k != d), (d,), (d,), 1)
            sizes = tuple(3 if k == d else n for k, n in enumerate(dims))
            return b.op(
                "gather",
                Shape(F32, sizes),
                x,
                picked,
                gather_dimension_numbers=numbers,
                slice_sizes=tuple(1 if k == d else n for k, n in enumerate(dims)),
                indices_are_sorted=False,
            )
        case "dot":
            free = tuple(n for k, n in enumerate(dims) if k != d)
            numbers = DotDimensionNumbers((d,), (d,), (0,), (0,)) if d else None
            if numbers is None:
                return b.op("negate", shape, x)
            made = Shape(F32, (free[0], *free[1:], *free[1:]))
            if made.rank > 6 or made.size > 4000:
                return b.op("negate", shape, x)
            return b.op("dot", made, x, x, dot_dimension_numbers=numbers)
        case "reverse":
            return b.op("reverse", shape, x, dimensions=(d,))
        case _:
            return b.op("tanh", shape, x)


def _indices(size: int) -> object:
    from hlo_frontend.hlo.literal import Literal

    return Literal.of(np.array([[size - 1], [0], [size // 2]], np.int32))


@given(p=images())
@settings(max_examples=50, deadline=None, derandomize=True)
def test_layouts_keep_results_of_images_and_a_second_time_move_nothing_more(p):
    verify_program(p, "random")
    once = assign_layouts(p)
    verify_program(once, "assign_layouts")
    # Reshapes of sizes of one may still go; matrices, in test_passes, come out equal.
    assert counts(assign_layouts(once))["transpose"] <= counts(once)["transpose"]
    for before, after in zip(run(p), run(once), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4)


def test_a_block_of_nothing_is_torn():
    assert blockwise((1, 0), blocks((0, 3), (3, 0)), (0, 3)) is None
