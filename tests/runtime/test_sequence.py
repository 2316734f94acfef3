"""Programs that kernels compute entirely: what they make, what they refuse, where values lie."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest
import torch

import torch_neuronx
from hlo_frontend.hlo.parse import parse_module
from hlo_frontend.hlo.types import Shape
from neff.lower import lower
from neff.passes.fuse import fuse
from neff.program import Kind, Program, Variable, Weight
from runtime.executable import Mode, prepared
from runtime.interpreter import interpret
from runtime.model import loaded_models
from runtime.units.native import Calls, available
from runtime.units.sequence import _between, whole

pytestmark = pytest.mark.skipif(not available(), reason="there must be a C++ compiler")
JAX = Mode(check_bounds=False)


def program_of(text: str, *inputs: Variable) -> Program:
    module = parse_module(f"HloModule m\nENTRY main {{\n{text}\n}}")
    return fuse(lower(module, list(inputs) or None))


def by_kernels(
    program: Program, *arrays: np.ndarray, check_bounds: bool = True
) -> list[np.ndarray]:
    """The outputs, where JAX has no part in them."""
    assert whole(program, check_bounds) is not None
    made = prepared(program, Mode(native=True, check_bounds=check_bounds)).start(arrays, ())
    assert not made.out_of_bounds
    return [np.asarray(o) for o in made.outputs]


def by_jax(program: Program, *arrays: np.ndarray) -> list[np.ndarray]:
    with jax.enable_x64(True):
        return [np.asarray(o) for o in jax.jit(lambda *a: interpret(program, a))(*arrays)]


def same(program: Program, *arrays: np.ndarray, check_bounds: bool = True) -> None:
    made = by_kernels(program, *arrays, check_bounds=check_bounds)
    for one, other in zip(made, by_jax(program, *arrays), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def rows_of(numbers: str, convert: str = "") -> str:
    """Rows of a table by their numbers, as an embedding is lowered."""
    return f"""
      t = f32[5,3] parameter(0)
      n = {numbers}[2,4] parameter(1)
      {convert or f"i = {numbers}[8] reshape(n)"}
      ROOT r = f32[8,3] gather(t, i), offset_dims={{1}}, collapsed_slice_dims={{0}},
        start_index_map={{0}}, index_vector_dim=1, slice_sizes={{1,3}}
    """


AS_U32 = "c = s32[2,4] convert(n)\nf = s32[8] reshape(c)\ni = u32[8] convert(f)"
TABLE = np.arange(15, dtype=np.float32).reshape(5, 3) - 7
NUMBERS = np.array([[0, 4, 2, 2], [1, 3, 4, 0]])


@pytest.mark.parametrize("text", [rows_of("s32"), rows_of("u32"), rows_of("s64", AS_U32)])
def test_rows_are_picked_by_integers_of_any_type(text):
    dtype = {"s32": np.int32, "u32": np.uint32, "s64": np.int64}[text.split("n = ")[1][:3]]
    same(program_of(text), TABLE, NUMBERS.astype(dtype))


@pytest.mark.parametrize("text", [rows_of("s32"), rows_of("s64", AS_U32)], ids=["s32", "u32"])
@pytest.mark.parametrize("number", [-1, 5, -(1 << 31), (1 << 31) - 1])
def test_a_number_that_is_no_rows_is_told_or_moved(text, number):
    numbers = NUMBERS.astype(np.int64 if "s64" in text else np.int32)
    numbers[1, 2] = number
    program = program_of(text)
    assert prepared(program, Mode(native=True)).start((TABLE, numbers), ()).out_of_bounds
    same(program, TABLE, numbers, check_bounds=False)


def test_rows_of_other_gathers_are_left_to_jax():
    text = """
      t = f32[5,3] parameter(0)
      i = s32[4] parameter(1)
      ROOT r = f32[4,2] gather(t, i), offset_dims={1}, collapsed_slice_dims={0},
        start_index_map={0}, index_vector_dim=1, slice_sizes={1,2}
    """
    assert whole(program_of(text), True) is None


@pytest.mark.parametrize("dimension", [0, 1, 2])
@pytest.mark.parametrize("dtype", ["f32", "s32"])
def test_arrays_are_put_together_along_any_dimension(dimension, dtype):
    sizes = [[3, 4, 5] for _ in range(3)]
    for n, size in enumerate((1, 4, 2)):
        sizes[n][dimension] = size
    total = [3, 4, 5]
    total[dimension] = 7
    lines = [f"p{n} = {dtype}{s} parameter({n})" for n, s in enumerate(sizes)]
    lines.append(f"ROOT c = {dtype}{total} concatenate(p0, p1, p2), dimensions={{{dimension}}}")
    rng = np.random.default_rng(0)
    arrays = [
        (100 * rng.standard_normal(s)).astype(dtype.replace("s", "int").replace("f", "float"))
        for s in sizes
    ]
    same(program_of("\n".join(lines)), *arrays)


def test_large_arrays_are_put_together_by_all_threads():
    text = """
      a = f32[300,700] parameter(0)
      b = f32[300,40] parameter(1)
      ROOT c = f32[300,740] concatenate(a, b), dimensions={1}
    """
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((300, n)).astype(np.float32) for n in (700, 40)]
    same(program_of(text), *arrays)


SMALL = """
  x = f32[2,3] parameter(0)
  w = f32[3,4] parameter(1)
  k = f32[2,4] constant({ { 1, 2, 3, 4 }, { 5, 6, 7, 8 } })
  d = f32[2,4] dot(x, w), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  s = f32[2,4] add(d, k)
  t = f32[4,2] transpose(s), dimensions={1,0}
  ROOT r = (f32[2,4], f32[4,2]) tuple(s, t)
"""


def test_small_products_constants_and_moves_are_kernels_here():
    x, w = np.eye(2, 3, dtype=np.float32), np.arange(12, dtype=np.float32).reshape(3, 4)
    same(program_of(SMALL), x, w)


def test_a_weight_and_an_input_of_any_alignment():
    w = Weight.of(np.arange(12, dtype=np.float32).reshape(3, 4))
    variables = Variable("x", Shape("f32", (2, 3))), Variable("w", w.shape, Kind.WEIGHT, w)
    program = program_of(SMALL, *variables)
    memory = np.arange(7, dtype=np.float32)
    x = memory[1:].reshape(2, 3)
    assert x.ctypes.data % 64 != 0
    for one, other in zip(by_kernels(program, x), by_jax(program, x, w.array), strict=True):
        np.testing.assert_array_equal(one, other)


ABS = "x = f32[4] parameter(0)\nROOT a = f32[4] abs(x)"


@pytest.mark.parametrize(
    "text",
    [
        "x = f32[4] parameter(0)\nROOT r = (f32[4]) tuple(x)",
        "x = f32[4] parameter(0)\na = f32[4] abs(x)\nROOT r = (f32[4], f32[4]) tuple(a, a)",
        ABS.replace("f32", "f64"),
        "x = f32[2,2] parameter(0)\nROOT a = f32[2,2] cholesky(x), lower=true",
        "x = f32[4] parameter(0)\nROOT a = bf16[4] convert(x)",  # it may be denormal
    ],
    ids=["an input", "one value twice", "f64", "no kernel", "a denormal rounded"],
)
def test_the_rest_is_left_to_jax(text):
    assert whole(program_of(text), True) is None


def test_states_are_left_to_jax():
    w = Weight.of(np.zeros(4, np.float32))
    module = parse_module(
        f"HloModule m, input_output_alias={{ {{}}: (0, {{}}) }}\nENTRY main {{{ABS}}}"
    )
    assert whole(fuse(lower(module, [Variable("x", w.shape, Kind.STATE, w)])), True) is None


class Small(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = torch.nn.Embedding(50, 32)
        self.first, self.last = torch.nn.Linear(32, 64), torch.nn.Linear(64, 10)
        self.norm = torch.nn.LayerNorm(64)

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.norm(torch.relu(self.first(self.words(tokens))))
        joined = torch.cat([hidden, hidden[:, :1]], 1)
        return self.last(joined).softmax(-1), hidden.sum(1)


def test_a_model_is_compiled_by_nobody_else():
    compiled: list[str] = []

    def listen(event: str, seconds: float, **_: object) -> None:
        compiled.append(event)

    torch.manual_seed(0)
    module, tokens = Small().eval(), torch.randint(50, (2, 7))
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        traced = torch_neuronx.trace(module, tokens)
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert not [event for event in compiled if "backend_compile" in event]
    (model,) = [m for m in loaded_models() if m.input_shapes[0].dims == (2, 7)]
    assert whole(model.ready.program, True) is not None
    with ThreadPoolExecutor(4) as pool:
        given = [torch.randint(50, (2, 7)) for _ in range(40)]
        for tokens, made in zip(given, pool.map(traced, given), strict=True):
            for one, other in zip(made, module(tokens), strict=True):
                torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_what_is_needed_at_once_lies_apart():
    torch.manual_seed(0)
    kept = torch_neuronx.trace(Small().eval(), torch.randint(50, (3, 5)))
    (model,) = [m for m in loaded_models() if m.input_shapes[0].dims == (3, 5)]
    program = model.ready.program
    made = whole(program, True)
    assert kept and made is not None
    units = [unit for _, unit in sorted(made.units.items())]
    starts, size = _between(units, program.main)
    there = {p: range(s, s + program.main.instructions[p].array.bytes) for p, s in starts.items()}
    assert max(r.stop for r in there.values()) <= size < sum(len(r) for r in there.values())
    for n, unit in enumerate(units):
        later = {o for u in units[n:] for o in u.reads if o in there}
        needed = [p for p in later | {unit.result} if p in there and p <= unit.result]
        for a in needed:
            others = (there[b] for b in needed if b != a)
            assert all(there[a].stop <= o.start or o.stop <= there[a].start for o in others)


@pytest.mark.parametrize(
    ("kernel", "words", "places", "said"),
    [
        ("neuron_none", (1,), (0, 0, 0, 4), "there is none named neuron_none"),
        ("neuron_concatenation", (1,), (0, 0, 0, 4), "sizes must be there"),
        ("neuron_concatenation", (1, 1), (), "must have a result"),
        ("neuron_concatenation", (1, 1), (0, 0, 9, 4), "must have a type"),
        ("neuron_concatenation", (1, 1), (0, 60, 0, 8), "must lie in the memory"),
        ("neuron_concatenation", (1, 1), (-1, 0, 0, 8), "must be a pointer"),
        ("neuron_picked_rows", (1, 1), (0, 0, 0, 4), "seven numbers"),
        ("neuron_picked_rows", (0, 1, 1, 0, 1, 0, 0), (0, 0, 0, 4), "rows must be there"),
    ],
)
def test_calls_that_say_nothing_are_refused(kernel, words, places, said):
    with pytest.raises(ValueError, match=said):
        Calls(64).add(kernel, words, places)


@pytest.mark.parametrize(
    ("kernel", "words", "places"),
    [
        ("neuron_concatenation", (1, 2), (0, 0, 0, 4, 0, 8, 0, 8)),
        ("neuron_concatenation", (1, 2), (0, 0, 4, 8, 0, 8, 0, 8)),
        ("neuron_picked_rows", (2, 1, 1, 0, 1, 0, 0), (0, 0, 0, 4, 0, 16, 4, 4, 0, 32, 0, 4)),
        ("neuron_picked_rows", (2, 1, 1, 1, 1, 0, 0), (0, 0, 0, 8, 0, 16, 4, 4, 0, 32, 0, 4)),
    ],
)
def test_operands_that_are_not_what_the_words_say_are_refused(kernel, words, places):
    calls = Calls(64)
    calls.add(kernel, words, places)
    with pytest.raises(ValueError, match="operands must be"):
        calls.run([])
