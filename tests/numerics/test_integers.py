"""64-bit integers in 32 bits, and integer arithmetic in f32, as the options say."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from hlo_frontend.hlo.parse import parse_module
from hlo_frontend.hlo.types import Shape
from neff.compile import compile_module
from neff.errors import CompileError
from neff.options import parse_options
from neff.program import Kind, Variable, Weight
from runtime.model import load_program
from tests.numerics.measure import execute

NATIVE = "--target trn2 --native-int64 enabled"
S64 = (
    "HloModule m\n{bodies}\nENTRY e {{\n p = s64[4] parameter(0)\n q = s64[4] parameter(1)\n"
    "{code}\n}}\n"
)
INT_BODY = "isum { a = s64[] parameter(0)\n b = s64[] parameter(1)\n ROOT c = s64[] add(a, b)\n}\n"
ISUM32 = INT_BODY.replace("s64", "s32").replace("isum", "isum32")
INTMAX = INT_BODY.replace("isum", "imax").replace("add", "maximum")


def module(code: str, bodies: str = "") -> str:
    return S64.format(code=code, bodies=bodies)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


X, Y = ints(5, -3, 2**31 - 1, 7), ints(2, 9, 1, -7)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", [7, 6, -(2**31), 0]),
        ("--native-int64 disabled --target trn2", [7, 6, -(2**31), 0]),
        ("--native-int64 enabled --target trn1", [7, 6, -(2**31), 0]),
        (NATIVE, [7, 6, 2**31, 0]),
    ],
)
def test_sum_wraps_where_it_is_computed_in_32_bits(options, expected):
    (made,) = execute(module(" ROOT r = s64[4] add(p, q)"), options, [X, Y])
    assert made.dtype == np.int64 and made.tolist() == expected


@pytest.mark.parametrize(
    ("code", "bodies", "expected"),
    [
        # The extremes of 64 bits are neutral elements: they must stay neutral.
        (
            " z = s64[] constant(-9223372036854775808)\n"
            " ROOT r = s64[] reduce(p, z), dimensions={0}, to_apply=imax",
            INTMAX,
            2**31 - 1,
        ),
        (" ROOT r = s64[4] iota(), iota_dimension=0", "", [0, 1, 2, 3]),
        (" ROOT r = s64[4] count-leading-zeros(p)", "", [61, 0, 33, 61]),
        (" ROOT r = s64[4] popcnt(p)", "", [2, 63, 31, 3]),
        (" f = f32[4] convert(p)\n ROOT r = s64[4] convert(f)", "", [5, -3, 2**31 - 1, 7]),
        (" ROOT r = s64[2] slice(p), slice={[1:3]}", "", [-3, 2**31 - 1]),
        (" ROOT r = s64[4] remainder(p, q)", "", [1, -3, 0, 0]),
        (" c = pred[4] compare(p, q), direction=LT\n ROOT r = s64[4] select(c, p, q)", "",
         [2, -3, 1, -7]),
    ],
)  # fmt: skip
def test_ops_of_64_bits_mean_the_same_on_numbers_of_32(code, bodies, expected):
    (made,) = execute(module(code, bodies), "", [X, Y])
    assert made.dtype == np.int64 and made.tolist() == expected


def test_a_value_that_is_only_passed_on_keeps_its_64_bits():
    text = module(" s = s64[4] add(p, q)\n ROOT r = (s64[4], s64[4]) tuple(p, s)")
    passed, _ = execute(text, "", [ints(2**40, 0, 0, -(2**50)), Y])
    assert passed.tolist() == [2**40, 0, 0, -(2**50)]


def test_floats_beyond_32_bits_saturate():
    text = "HloModule m\nENTRY e {\n p = f32[4] parameter(0)\n ROOT r = s64[4] convert(p)\n}\n"
    (made,) = execute(text, "", [np.float32([1e12, -1e12, np.nan, 2.9])])
    assert made.tolist() == [2**31 - 1, -(2**31), 0, 2]


def test_while_carries_64_bit_integers_in_32():
    body = (
        "step { s = (s64[], s64[]) parameter(0)\n i = s64[] get-tuple-element(s), index=0\n"
        " a = s64[] get-tuple-element(s), index=1\n one = s64[] constant(1)\n"
        " j = s64[] add(i, one)\n b = s64[] add(a, j)\n ROOT t = (s64[], s64[]) tuple(j, b)\n}\n"
        "below { s = (s64[], s64[]) parameter(0)\n i = s64[] get-tuple-element(s), index=0\n"
        " n = s64[] constant(10)\n ROOT c = pred[] compare(i, n), direction=LT\n}\n"
    )
    text = (
        f"HloModule m\n{body}\nENTRY e {{\n p = s64[] parameter(0)\n q = s64[] parameter(1)\n"
        " s = (s64[], s64[]) tuple(p, q)\n"
        " w = (s64[], s64[]) while(s), condition=below, body=step\n"
        " ROOT r = s64[] get-tuple-element(w), index=1\n}\n"
    )
    (made,) = execute(text, "", [np.int64(0).reshape(()), np.int64(100).reshape(())])
    assert made == 155


def test_a_constant_that_does_not_fit_is_announced_and_clipped(caplog):
    text = module(
        " c = s64[] constant(4294967297)\n b = s64[4] broadcast(c), dimensions={}\n"
        " ROOT r = s64[4] minimum(p, b)"
    )
    with caplog.at_level(logging.WARNING, "Neuron"):
        (made,) = execute(text, "", [X, Y])
    assert made.tolist() == X.tolist()
    assert "narrow_int64: a constant holds numbers that 32 bits cannot" in caplog.text
    caplog.clear()
    execute(text, NATIVE, [X, Y])
    assert not caplog.records


def test_an_input_that_does_not_fit_is_announced_once(caplog):
    program = compile_module(parse_module(module(" ROOT r = s64[4] add(p, q)"))).program
    model = load_program(program)
    fits, cut = (memoryview(v.view(np.uint8)) for v in (X, ints(2**33 + 1, 0, 0, 0)))
    with caplog.at_level(logging.WARNING, "Neuron"):
        model.execute([fits, fits])
        assert not caplog.records
        for _ in range(2):
            model.execute([fits, cut])
    (record,) = caplog.records
    assert "holds integers that 32 bits cannot (0 to 8589934593)" in record.getMessage()


def test_programs_without_64_bit_integers_are_left_alone():
    text = "HloModule m\nENTRY e {\n p = f32[4] parameter(0)\n ROOT r = f32[4] negate(p)\n}\n"
    records = compile_module(parse_module(text)).stages
    changed = {r.name: r.changed for r in records}
    assert not changed["narrow_int64"] and not changed["downcast_integers"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (" ROOT r = s64[4] mulhi(p, q)", "the upper half of a 64-bit product"),
        (
            " b = s32[4,2] bitcast-convert(p)\n c = s64[4] bitcast-convert(b)\n"
            " ROOT r = s64[4] add(c, q)",
            "bitcast-convert makes the bits of s64[4], which cannot be held as s32[4]",
        ),
    ],
)
def test_what_needs_64_bits_is_refused(code, message):
    with pytest.raises(CompileError) as error:
        compile_module(parse_module(module(code)))
    assert message in str(error.value)
    assert "try: --target trn2 --native-int64 enabled" in str(error.value)


@pytest.mark.parametrize(
    ("options", "expected"),
    [("", 2**24), ("--implicit-integer-downcast=dot", 2**24)],
)
def test_integer_dot_is_summed_in_f32(options, expected):
    text = (
        "HloModule m\nENTRY e {\n p = s32[2] parameter(0)\n q = s32[2] parameter(1)\n"
        " ROOT r = s32[] dot(p, q), lhs_contracting_dims={0}, rhs_contracting_dims={0}\n}\n"
    )
    (made,) = execute(text, options, [np.int32([2**24, 1]), np.int32([1, 1])])
    assert made == expected  # 2^24 + 1 is no f32


def test_integers_that_are_all_reduced_go_through_f32():
    text = (
        f"HloModule m\n{ISUM32}\nENTRY e {{\n p = s32[2] parameter(0)\n"
        " ROOT r = s32[2] all-reduce(p), replica_groups={}, to_apply=isum32\n}\n"
    )
    (made,) = execute(text, "", [np.int32([2**24 + 1, 3])])
    assert made.tolist() == [2**24, 3]


def test_power_of_64_bits_is_computed_in_32_even_where_int64_is_native():
    code = " ROOT r = s64[4] power(p, q)"
    (made,) = execute(module(code), NATIVE, [ints(2, 3, 2, 1), ints(31, 2, 32, 5)])
    assert made.tolist() == [-(2**31), 9, 0, 1]


ORDER = (
    "less {{ a = s64[] parameter(0)\n b = s64[] parameter(1)\n c = {t} parameter(2)\n"
    " d = {t} parameter(3)\n ROOT r = pred[] compare(a, b), direction=LT\n}}\n"
).format(t="f32[]")
ARGMAX = (
    "best { a = s64[] parameter(0)\n i = s64[] parameter(1)\n b = s64[] parameter(2)\n"
    " j = s64[] parameter(3)\n g = pred[] compare(a, b), direction=GE\n"
    " v = s64[] select(g, a, b)\n k = s64[] select(g, i, j)\n"
    " ROOT r = (s64[], s64[]) tuple(v, k)\n}\n"
)


@pytest.mark.parametrize("options", ["", NATIVE])
def test_sort_carries_its_keys_in_their_type(options):
    code = (
        " f = f32[4] convert(q)\n"
        " ROOT r = (s64[4], f32[4]) sort(p, f), dimensions={0}, to_apply=less"
    )
    keys, values = execute(module(code, ORDER), options, [X, Y])
    assert keys.tolist() == [-3, 5, 7, 2**31 - 1] and values.tolist() == [9, 2, -7, 1]


@pytest.mark.parametrize("options", ["", NATIVE])
def test_reduction_of_pairs(options):
    code = (
        " i = s64[4] iota(), iota_dimension=0\n low = s64[] constant(-9223372036854775808)\n"
        " z = s64[] constant(0)\n"
        " ROOT r = (s64[], s64[]) reduce(p, i, low, z), dimensions={0}, to_apply=best"
    )
    value, index = execute(module(code, ARGMAX), options, [X, Y])
    assert (int(value), int(index)) == (2**31 - 1, 2)


@pytest.mark.parametrize("options", ["", NATIVE])
def test_states_of_64_bits_stay_64_bits_wide(options):
    text = (
        "HloModule m, input_output_alias={ {0}: (0, {}, may-alias) }\n"
        "ENTRY e {\n p = s64[2] parameter(0)\n q = s64[2] parameter(1)\n"
        " a = s64[2] add(p, q)\n ROOT r = (s64[2]) tuple(a)\n}\n"
    )
    start = ints(3, -4)
    inputs = [
        Variable("state", Shape("s64", (2,)), Kind.STATE, Weight.of(start)),
        Variable("x", Shape("s64", (2,))),
    ]
    compiled = compile_module(parse_module(text), inputs, [0, 1], options=parse_options(options))
    assert compiled.program.aliases == ((0, 0),)
    model = load_program(compiled.program)
    for _ in range(2):
        assert model.execute([memoryview(ints(1, 2).view(np.uint8))]) == []
    assert np.asarray(model._instances[0]._state[0]).tolist() == [5, 0]


def test_a_conditional_without_results():
    code = (
        " t = () tuple()\n i = s32[] constant(1)\n"
        " c = () conditional(i, t, t), branch_computations={nothing, nothing}\n"
        " ROOT a = s64[4] add(p, q)"
    )
    nothing = "nothing { u = () parameter(0)\n ROOT v = () tuple()\n}\n"
    (result,) = execute(module(code, nothing), NATIVE, [X, Y])
    np.testing.assert_array_equal(result, X + Y)


@pytest.mark.parametrize("op", ["and", "or", "xor"])
def test_bits_of_narrowed_integers(op):
    (result,) = execute(module(f" ROOT r = s64[4] {op}(p, q)"), "", [X, Y])
    expected = {"and": X & Y, "or": X | Y, "xor": X ^ Y}[op]
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("narrow", ["s16", "u8", "u32"])
def test_bits_of_converted_integers(narrow):
    code = (
        f" a = {narrow}[4] convert(p)\n b = {narrow}[4] convert(q)\n"
        f" c = {narrow}[4] and(a, b)\n ROOT d = s64[4] convert(c)"
    )
    (result,) = execute(module(code), NATIVE, [X, Y])
    numpy = Shape(narrow).numpy
    np.testing.assert_array_equal(result, (X.astype(numpy) & Y.astype(numpy)).astype(np.int64))
