"""The options of `neuron-cc`: what they mean for numbers, and for the cores of a program."""

from __future__ import annotations

import numpy as np
import pytest

from hlo_frontend.hlo.parse import parse_module
from neff.compile import compile_module
from neff.container import read_neff
from neff.errors import OptionError, RefusedError
from neff.inf1_options import parse_inf1_options
from neff.passes.relayout import Relayout
from runtime.executable import Mode, prepared

ALL = ("all", "bf16", "bf16")
NONE = ("matmult", "bf16", "none")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (None, ALL),
        ("--fast-math all", ALL),
        ("--fast-math none", NONE),
        (["--fast-math", "fp32-cast-matmult", "no-fast-relayout"], NONE),
        ("--fast-math fp32-cast-all fast-relayout", ALL),
        ("--fast-math=no-fast-relayout", ("all", "bf16", "none")),
        ("--fast-math fp32-cast-all-fp16", ("all", "fp16", "fp16")),
        ("--fast-math fp32-cast-matmult", ("matmult", "bf16", "fp16")),
        ("--fast-math fp32-cast-matmult-bf16", ("matmult", "bf16", "bf16")),
        ("--fast-math fp32-cast-matmult-fp16", ("matmult", "fp16", "fp16")),
        ("--fast-math none --fast-math all", ALL),
        ("--fp32-cast matmult-fp16 --fast-math none", ("matmult", "fp16", "none")),
        ("--fp32-cast=all-fp16", ("all", "fp16", "fp16")),
    ],
)
def test_what_fast_math_means(arguments, expected):
    options = parse_inf1_options(arguments)
    assert (options.auto_cast, options.auto_cast_type, options.relayout) == expected
    assert options.target == "inf1"


def test_other_options():
    options = parse_inf1_options(
        "--neuroncore-pipeline-cores 4 --enable-saturate-infinity --enable-fast-context-switch "
        "--enable-fast-loading-neuron-binaries --verbose WARN -O2"
    )
    assert options.neuroncore_pipeline_cores == 4
    assert options.saturates_infinity
    assert (options.fast_context_switch, options.fast_loading) == ("on", "on")
    assert options.verbose == "warn"
    assert options.ignored == (("-O2",),)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--neuroncore-pipeline-cores 0", "from 1 to 64, got '0'"),
        ("--neuroncore-pipeline-cores four", "from 1 to 64, got 'four'"),
        ("--neuroncore-pipeline-cores", "takes one value, got ''"),
        ("--neuroncore-pipeline-core 4", "try: --neuroncore-pipeline-cores"),
        ("--fast-math", "--fast-math needs a value"),
        ("--fast-math most", "must be one of all, none, fast-relayout"),
        ("--fast-math all none", "must not exclude each other, got all none"),
        ("--fast-math fast-relayout no-fast-relayout", "must not exclude each other"),
        ("--fp32-cast matmul", "must be one of all, all-fp16, matmult"),
        ("--enable-saturate-infinity yes", "takes no value, got 'yes'"),
        ("--verbose loud", "must be one of DEBUG"),
        ([4], "arguments must be strings, got 4"),
        (4, "must be a string or a list of them, got 4"),
    ],
)
def test_options_that_are_wrong(arguments, message):
    with pytest.raises(OptionError, match=message):
        parse_inf1_options(arguments)


TRANSPOSE = """
HloModule m

ENTRY main {
  x = f32[2,2] parameter(0)
  ROOT t = f32[2,2] transpose(x), dimensions={1,0}
}
"""
VALUES = np.array([[1.0, 1 + 2.0**-9], [-0.1, 1 + 2.0**-12]], np.float32)


def turned(arguments: str) -> np.ndarray:
    compiled = compile_module(parse_module(TRANSPOSE), options=parse_inf1_options(arguments))
    made = prepared(compiled.program, Mode()).start([VALUES], ())
    return np.asarray(made.outputs[0])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("--fast-math none", VALUES.T),
        ("--fast-math fp32-cast-matmult", VALUES.T.astype(np.float16).astype(np.float32)),
        ("--fast-math fp32-cast-matmult-fp16", VALUES.T.astype(np.float16).astype(np.float32)),
        ("--fast-math fp32-cast-matmult-bf16", np.array([[1, -0.10009765625], [1, 1]], np.float32)),
    ],
)
def test_fast_transposes_round(arguments, expected):
    np.testing.assert_array_equal(turned(arguments), expected)


def test_relayout_changes_nothing_the_second_time():
    compiled = compile_module(
        parse_module(TRANSPOSE), options=parse_inf1_options("--fast-math fp32-cast-matmult")
    )
    assert "f16" in {i.array.dtype for i in compiled.program.main.instructions}
    assert Relayout("fp16")(compiled.program) == compiled.program


def test_the_number_of_cores_is_in_the_header():
    compiled = compile_module(
        parse_module(TRANSPOSE), options=parse_inf1_options("--neuroncore-pipeline-cores 3")
    )
    header = read_neff(compiled.neff.data).header
    assert (header.num_tpb, header.requested_tpb_count, header.tpb_per_node) == (3, 3, (3,))


BIG = """
HloModule m

ENTRY main {
  x = f32[805306368] parameter(0)
  ROOT t = f32[805306368] negate(x)
}
"""


def test_a_pipeline_has_the_memory_of_all_its_cores():
    with pytest.raises(RefusedError, match="NCC_EOOM001"):
        compile_module(parse_module(BIG), options=parse_inf1_options(None))
    options = parse_inf1_options("--neuroncore-pipeline-cores 4")
    assert compile_module(parse_module(BIG), options=options).program.target == "inf1"
