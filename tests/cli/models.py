"""Models for the compiler's command line: HLO text, and the same as a proto."""

from __future__ import annotations

from hlo_frontend.hlo.parse import parse_module
from hlo_frontend.hlo.proto import write_module

SINE = """
HloModule sines

ENTRY main {
  x = f32[4,4] parameter(0)
  s = f32[4,4] sine(x)
  ROOT y = f32[4,4] dot(s, x), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}
"""
UNKNOWN_CALL = """
HloModule unknown

ENTRY main {
  x = f32[4] parameter(0)
  ROOT y = f32[4] custom-call(x), custom_call_target="Nope"
}
"""
DYNAMIC = "HloModule dynamic\n\nENTRY main { ROOT x = f32[<=4] parameter(0) }\n"
STABLEHLO = """
module @sines {
  func.func @main(%x: tensor<4x4xf32>) -> tensor<4x4xf32> {
    %s = stablehlo.sine %x : tensor<4x4xf32>
    %y = stablehlo.dot_general %s, %x, contracting_dims = [1] x [0]
      : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>
    return %y : tensor<4x4xf32>
  }
}
"""


def proto(text: str = SINE) -> bytes:
    return write_module(parse_module(text))
