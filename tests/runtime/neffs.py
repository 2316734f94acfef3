"""NEFFs of small models, for tests of the runtime's interfaces."""

from __future__ import annotations

import numpy as np

from hlo_frontend.hlo.types import Shape
from neff.builder import Builder
from neff.container import write_neff
from neff.options import parse_options
from neff.pipeline import pipeline, run
from neff.program import Program, Variable
from tests.neff.programs import input_variable, parameters, program, weight_variable


def _file(b: Builder, *results: int, inputs: list[Variable]) -> np.ndarray:
    made: Program = program(b, *results, inputs=inputs)
    return write_neff(run(made, pipeline(parse_options(None)), lambda record: None))


def scaled() -> np.ndarray:
    """output0 = x * [1, 2, 3], float32."""
    inputs = [input_variable("x", 3), weight_variable("w", np.array([1, 2, 3], np.float32))]
    b = Builder()
    x, w = parameters(b, inputs)
    return _file(b, b.op("multiply", Shape("f32", (3,)), x, w), inputs=inputs)


def fibonacci() -> np.ndarray:
    """(a, b) -> (b, a + b), int32."""
    shape = Shape("s32", (1,))
    inputs = [input_variable(name, 1, dtype="s32") for name in ("a", "b")]
    build = Builder()
    a, b = parameters(build, inputs)
    total = build.op("add", shape, a, b)
    return _file(build, build.op("copy", shape, b), total, inputs=inputs)


def identity(dtype: str, *dims: int) -> np.ndarray:
    """output0 = x."""
    b, inputs = Builder(), [input_variable("x", *dims, dtype=dtype)]
    return _file(b, *parameters(b, inputs), inputs=inputs)


def without_kernel() -> np.ndarray:
    """A model with an instruction that the runtime cannot execute."""
    b = Builder()
    low = b.op("custom-call", Shape("u32"), custom_call_target="Unheard")
    return _file(b, low, inputs=[])
