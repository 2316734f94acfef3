"""A model is compiled when it is loaded, and not again when it is called."""

from __future__ import annotations

import jax
import numpy as np

from hlo_frontend.hlo.parse import parse_module
from hlo_frontend.hlo.types import Shape
from neff.lower import lower
from neff.program import Kind, Variable, Weight
from runtime.model import load_program

TEXT = """
HloModule scaled
ENTRY main {
  x = f32[4] parameter(0)
  w = f32[4] parameter(1)
  ROOT r = f32[4] multiply(x, w)
}
"""
COMPILED = "/jax/core/compile/backend_compile_duration"


def test_the_first_call_compiles_nothing():
    weight = Weight.of(np.arange(4, dtype=np.float32))
    variables = [
        Variable("x", Shape("f32", (4,))),
        Variable("w", weight.shape, Kind.WEIGHT, weight),
    ]
    program = lower(parse_module(TEXT), variables)
    compiled: list[str] = []

    def listen(event: str, seconds: float, **_: object) -> None:
        compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        model = load_program(program)
        assert compiled.count(COMPILED) == 1
        (made,) = model.execute([np.full(4, 2, np.float32).data.cast("B")])
        assert compiled.count(COMPILED) == 1
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    np.testing.assert_array_equal(made.view(np.float32), [0, 2, 4, 6])
    model.unload()
