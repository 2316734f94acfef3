"""Shape rules give the shape that XLA infers, on random instructions.

What our rules refuse is not shown to XLA, which ends the process over some of it.
"""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hlo_frontend.hlo.errors import HloError
from hlo_frontend.hlo.ops import infer_shape
from hlo_frontend.hlo.parse import parse_module
from hlo_frontend.hlo.types import AnyShape
from tests.hlo import xla_reference as xla

SIZES = st.lists(st.integers(0, 5), max_size=3)
ADD = "add {\n a = f32[] parameter(0)\n b = f32[] parameter(1)\n ROOT r = f32[] add(a, b)\n}\n"


def _module(operands: list[str], instruction: str, shape: str) -> str:
    lines = [f"  p{n} = {s} parameter({n})" for n, s in enumerate(operands)]
    arguments = ", ".join(f"p{n}" for n in range(len(operands)))
    opcode, _, attrs = instruction.partition(" ")
    lines.append(f"  ROOT result = {shape} {opcode}({arguments}){', ' + attrs if attrs else ''}")
    return "HloModule m\n" + ADD + "ENTRY e {\n" + "\n".join(lines) + "\n}\n"


def _theirs(operands: list[str], instruction: str) -> str:
    """The shape XLA infers."""
    proto = xla.proto_of(_module(operands, instruction, ""))
    line = next(t for t in xla.printed(proto, xla.SHORT).splitlines() if "ROOT result =" in t)
    return line.split("= ")[1].split(" ")[0].split("{")[0]


def _ours(operands: list[str], instruction: str) -> str | None:
    """The shape our rule gives; None if it refuses the instruction."""
    module = parse_module(_module(operands, instruction, "f32[]"))
    *parameters, root = module.entry.instructions
    shapes: tuple[AnyShape, ...] = tuple(p.shape for p in parameters)
    called = tuple(module.computation(c).signature for c in root.calls)
    try:
        return str(infer_shape(root, shapes, called))
    except HloError:
        return None


def check(operands: list[str], instruction: str) -> None:
    ours = _ours(operands, instruction)
    if ours is not None:
        assert ours == _theirs(operands, instruction), (operands, instruction)


def _f32(dims: list[int]) -> str:
    return f"f32[{','.join(map(str, dims))}]"


def _braces(values: list[int]) -> str:
    return "{" + ",".join(map(str, values)) + "}"


def _numbers(data: st.DataObject, rank: int, size: int | None = None) -> list[int]:
    """Dimension numbers, most of them distinct and in range."""
    good = st.permutations(range(rank)).map(lambda p: p[: size if size is not None else rank])
    wild = st.lists(st.integers(0, rank), min_size=size or 0, max_size=size or rank + 1)
    return list(data.draw(st.one_of(good, good, good, wild)))


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_slice(data: st.DataObject) -> None:
    """XLA's text cannot leave the shape of a slice out, so numpy is asked."""
    dims = data.draw(SIZES.filter(bool))
    rows = [tuple(data.draw(st.integers(0, top)) for top in (d, d + 1, 3)) for d in dims]
    bounds = ", ".join(f"[{a}:{b}:{step}]" for a, b, step in rows)
    valid = all(a <= b <= d and step for (a, b, step), d in zip(rows, dims, strict=True))
    picked = np.empty(dims)[tuple(slice(*r) for r in rows)].shape if valid else ()
    expected = _f32(list(picked)) if valid else None
    assert _ours([_f32(dims)], f"slice slice={{{bounds}}}") == expected


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_pad(data: st.DataObject) -> None:
    dims = data.draw(SIZES.filter(bool))
    edge, gap = st.integers(-4, 3), st.integers(0, 2)
    rows = [f"{data.draw(edge)}_{data.draw(edge)}_{data.draw(gap)}" for _ in dims]
    check([_f32(dims), "f32[]"], f"pad padding={'x'.join(rows)}")


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_transpose_and_reduce(data: st.DataObject) -> None:
    dims = data.draw(SIZES)
    numbers = _numbers(data, len(dims))
    check([_f32(dims)], f"transpose dimensions={_braces(numbers)}")
    some = numbers[: data.draw(st.integers(0, len(numbers)))]
    check([_f32(dims), "f32[]"], f"reduce dimensions={_braces(some)}, to_apply=add")


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_concatenate(data: st.DataObject) -> None:
    dims = data.draw(SIZES)
    others = [
        [data.draw(st.sampled_from([d, d, d, d + 1])) for d in dims]
        for _ in range(data.draw(st.integers(0, 2)))
    ]
    number = data.draw(st.integers(0, max(len(dims) - 1, 0)))
    check([_f32(d) for d in (dims, *others)], f"concatenate dimensions={{{number}}}")


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_dot(data: st.DataObject) -> None:
    left = data.draw(st.lists(st.integers(1, 3), max_size=3))
    right = data.draw(st.lists(st.integers(1, 3), max_size=3))
    pairs = [(i, j) for i, a in enumerate(left) for j, b in enumerate(right) if a == b]
    chosen = data.draw(st.lists(st.sampled_from(pairs), max_size=2)) if pairs else []
    cut = data.draw(st.integers(0, len(chosen)))
    batch, contracted = chosen[:cut], chosen[cut:]
    attrs = [
        f"{side}_{kind}_dims={_braces([p[n] for p in numbers])}"
        for kind, numbers in (("contracting", contracted), ("batch", batch))
        for n, side in enumerate(("lhs", "rhs"))
    ]
    check([_f32(left), _f32(right)], f"dot {', '.join(attrs)}")


def _window(data: st.DataObject, sizes: list[int]) -> str:
    def row(low: int, high: int) -> str:
        return "x".join(str(data.draw(st.integers(low, high))) for _ in sizes)

    pads = "x".join(
        f"{data.draw(st.integers(-1, 2))}_{data.draw(st.integers(-1, 2))}" for _ in sizes
    )
    return (
        f"window={{size={'x'.join(map(str, sizes))} stride={row(1, 3)} pad={pads} "
        f"lhs_dilate={row(1, 2)} rhs_dilate={row(1, 2)}}}"
    )


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_reduce_window(data: st.DataObject) -> None:
    dims = data.draw(SIZES.filter(bool))
    window = _window(data, [data.draw(st.integers(1, 3)) for _ in dims])
    check([_f32(dims), "f32[]"], f"reduce-window {window}, to_apply=add")


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_convolution(data: st.DataObject) -> None:
    kernel = [data.draw(st.integers(1, 3)) for _ in range(2)]
    groups = data.draw(st.sampled_from([1, 1, 2]))
    batch_groups = data.draw(st.sampled_from([1, 1, 2]))
    features = data.draw(st.integers(1, 3))
    image = [
        data.draw(st.sampled_from([batch_groups, 4, 3])),
        data.draw(st.sampled_from([features * groups] * 3 + [3])),
        *(data.draw(st.integers(0, 6)) for _ in kernel),
    ]
    weights = [data.draw(st.sampled_from([4, 4, 3])), features, *kernel]
    labels = data.draw(st.sampled_from(["bf01_oi01->bf01", "bf01_oi01->b01f", "bf01_oi01->01fb"]))
    check(
        [_f32(image), _f32(weights)],
        f"convolution {_window(data, kernel)}, dim_labels={labels}, "
        f"feature_group_count={groups}, batch_group_count={batch_groups}",
    )


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_gather(data: st.DataObject) -> None:
    dims = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    rank = len(dims)
    batch = data.draw(st.lists(st.integers(1, 3), max_size=2))
    mapped = _numbers(data, rank, data.draw(st.integers(0, rank)))
    collapsed = sorted(_numbers(data, rank, data.draw(st.integers(0, rank))))
    vector = data.draw(st.integers(0, len(batch)))
    indices = [*batch[:vector], len(mapped), *batch[vector:]]
    sizes = [1 if d in collapsed else data.draw(st.integers(1, s)) for d, s in enumerate(dims)]
    kept = rank - len(set(collapsed) & set(range(rank)))
    offsets = sorted(_numbers(data, kept + len(batch), kept))
    check(
        [_f32(dims), f"s32[{','.join(map(str, indices))}]"],
        f"gather offset_dims={_braces(offsets)}, collapsed_slice_dims={_braces(collapsed)}, "
        f"start_index_map={_braces(mapped)}, index_vector_dim={vector}, "
        f"slice_sizes={_braces(sizes)}",
    )


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_elementwise(data: st.DataObject) -> None:
    types = st.sampled_from(["f32", "bf16", "s32", "u8", "pred", "c64"])
    first, second = (f"{data.draw(types)}[{data.draw(st.sampled_from(['', '2']))}]" for _ in "ab")
    second = data.draw(st.sampled_from([first, first, second]))
    unary = st.sampled_from(
        (
            "abs",
            "negate",
            "sign",
            "exponential",
            "floor",
            "not",
            "is-finite",
            "real",
            "imag",
            "popcnt",
            "sqrt",
            "logistic",
        )
    )
    check([first], data.draw(unary))
    binary = st.sampled_from(
        [
            "add",
            "multiply",
            "subtract",
            "divide",
            "power",
            "remainder",
            "and",
            "xor",
            "shift-left",
            "complex",
            "atan2",
        ]
    )
    check([first, second], data.draw(binary))
    check([first, second], "compare direction=" + data.draw(st.sampled_from(["EQ", "LT"])))
