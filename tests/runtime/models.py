"""Small programs for the runtime's tests, cores to load them on, and calls with numpy arrays."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

import runtime.core
from hlo_frontend.hlo.parse import parse_module
from hlo_frontend.hlo.types import Shape
from neff.builder import Builder
from neff.container import write_neff
from neff.lower import lower
from neff.options import parse_options
from neff.pipeline import pipeline, run
from neff.program import Kind, Program, Variable, Weight
from runtime.core import NeuronCore, machine
from runtime.memory import MIB, MICROCODE, Account
from runtime.model import Model, load_program, loaded_models
from tests.neff.programs import input_variable, parameters, program, weight_variable


def compiled(p: Program) -> Program:
    return run(p, pipeline(parse_options(None)), lambda record: None)


def from_text(text: str, *inputs: Variable) -> Program:
    """The program of an HLO module in XLA's text."""
    return compiled(lower(parse_module(text), list(inputs)))


def core(index: int = 0, memory: int = MIB) -> NeuronCore:
    """A core that is on no machine, with so many bytes beside its micro-code."""
    return NeuronCore(index, index, 0, Account(MICROCODE + memory))


def on_core(p: Program, *cores: NeuronCore) -> Model:
    return load_program(p, cores or (core(),))


def in_bytes(*arrays: np.ndarray) -> list[memoryview]:
    return [memoryview(np.ascontiguousarray(a)).cast("B") for a in arrays]


def typed(model: Model, made: Sequence[np.ndarray]) -> list[np.ndarray]:
    shapes = model.output_shapes
    return [raw.view(s.numpy).reshape(s.dims) for raw, s in zip(made, shapes, strict=True)]


def execute(model: Model, *arrays: np.ndarray) -> list[np.ndarray]:
    return typed(model, model.execute(in_bytes(*arrays)))


@contextmanager
def fresh_machine() -> Iterator[None]:
    """In this block the runtime reads the environment anew; its models are unloaded at the end.

    The machine of before, and what is loaded on it, is as it was afterwards.
    """
    before, loaded = runtime.core._machine, {id(m): m for m in loaded_models()}
    runtime.core._machine = None
    try:
        yield
    finally:
        for model in loaded_models():
            if id(model) not in loaded:
                model.unload()
        runtime.core.close()
        runtime.core._machine = before


def cores(count: int) -> Sequence[NeuronCore]:
    return machine().cores[:count]


def scaled(size: int = 3) -> Program:
    """y = x * (1, 2, 3, …)"""
    weights = np.arange(1, size + 1, dtype=np.float32)
    inputs = [input_variable("x", size), weight_variable("w", weights)]
    b = Builder()
    x, w = parameters(b, inputs)
    return compiled(program(b, b.op("multiply", Shape("f32", (size,)), x, w), inputs=inputs))


def counter() -> Program:
    """state += x; y = state * 2, where the new state is the second output."""
    start = Weight.of(np.array([10.0], np.float32))
    inputs = [input_variable("x", 1), Variable("s", start.shape, Kind.STATE, start)]
    b = Builder()
    x, s = parameters(b, inputs)
    new = b.op("add", start.shape, x, s)
    twice = b.op("add", start.shape, new, new)
    return compiled(replace(program(b, twice, new, inputs=inputs), aliases=((1, 1),)))


def logarithm() -> Program:
    """y = log(x): NaN for negative numbers."""
    inputs = [input_variable("x", 2)]
    b = Builder()
    (x,) = parameters(b, inputs)
    return compiled(program(b, b.op("log", Shape("f32", (2,)), x), inputs=inputs))


LOOP = """
HloModule loop
body {
  p = (s32[], s32[], s32[64]) parameter(0)
  n = s32[] get-tuple-element(p), index=0
  limit = s32[] get-tuple-element(p), index=1
  h = s32[64] get-tuple-element(p), index=2
  one = s32[] constant(1)
  next = s32[] add(n, one)
  spread = s32[64] broadcast(next), dimensions={}
  squared = s32[64] multiply(h, h)
  mixed = s32[64] xor(squared, spread)
  ROOT r = (s32[], s32[], s32[64]) tuple(next, limit, mixed)
}
condition {
  p = (s32[], s32[], s32[64]) parameter(0)
  n = s32[] get-tuple-element(p), index=0
  limit = s32[] get-tuple-element(p), index=1
  ROOT r = pred[] compare(n, limit), direction=LT
}
ENTRY main {
  limit = s32[] parameter(0)
  zero = s32[] constant(0)
  h = s32[64] broadcast(limit), dimensions={}
  start = (s32[], s32[], s32[64]) tuple(zero, limit, h)
  end = (s32[], s32[], s32[64]) while(start), condition=condition, body=body
  n = s32[] get-tuple-element(end), index=0
  last = s32[64] get-tuple-element(end), index=2
  ROOT r = (s32[], s32[64]) tuple(n, last)
}
"""


def loop() -> Program:
    """Counts to x, one at a time, and mixes numbers on the way, so that no step can be left out."""
    return from_text(LOOP, input_variable("x", dtype="s32"))


def turns_in(model: Model, seconds: float) -> np.ndarray:
    """How far `loop` counts in so many seconds."""
    execute(model, np.array(1, np.int32))
    start = time.perf_counter()
    execute(model, np.array(1 << 20, np.int32))
    return np.array((1 << 20) * seconds / (time.perf_counter() - start), np.int32)


ROWS = """
HloModule rows
ENTRY main {
  table = f32[4,2] parameter(0)
  indices = s32[3] parameter(1)
  ROOT r = f32[3,2] gather(table, indices), offset_dims={1}, collapsed_slice_dims={0}, start_index_map={0}, index_vector_dim=1, slice_sizes={1,2}
}
"""  # noqa: E501 - XLA's text has an instruction on a line


def rows() -> Program:
    """Rows of a table of 4, by their numbers."""
    table = weight_variable("table", np.arange(8, dtype=np.float32).reshape(4, 2))
    return from_text(ROWS, table, input_variable("indices", 3, dtype="s32"))


def neff(p: Program) -> bytes:
    return bytes(write_neff(p))
