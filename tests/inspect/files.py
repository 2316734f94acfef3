"""Files for the tests of inspection: a small model as HLO text, and the NEFF made of it."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hlo_frontend.__main__ import main as look_into_hlo
from hlo_frontend.hlo.module import HloModule
from hlo_frontend.hlo.parse import parse_module
from neff.__main__ import main as look_into_neff
from neff.compile import compile_module
from neff.packager import main as packager
from neff.program import Kind, Variable, Weight

ROOT = Path(__file__).parents[2]
MODEL = """HloModule model

sum {
  a = f32[] parameter(0)
  b = f32[] parameter(1)
  ROOT total = f32[] add(a, b)
}

ENTRY main {
  x = f32[4,8] parameter(0), metadata={op_name="x"}
  w1 = f32[8,16] parameter(1), metadata={op_name="encoder.0.weight"}
  w2 = f32[16,3] parameter(2), metadata={op_name="head.weight"}
  dot.1 = f32[4,16] dot(x, w1), lhs_contracting_dims={1}, rhs_contracting_dims={0}, metadata={op_type="aten__mm" op_name="encoder.0/aten__mm" source_file="model.py" source_line=11}
  tanh.1 = f32[4,16] tanh(dot.1), metadata={op_type="aten__tanh" op_name="encoder.1/aten__tanh" source_file="model.py" source_line=12}
  dot.2 = f32[4,3] dot(tanh.1, w2), lhs_contracting_dims={1}, rhs_contracting_dims={0}, metadata={op_type="aten__mm" op_name="head/aten__mm" source_file="model.py" source_line=13}
  zero = f32[] constant(0)
  ROOT reduced = f32[4] reduce(dot.2, zero), dimensions={1}, to_apply=sum, metadata={op_type="aten__sum" op_name="aten__sum" source_file="model.py" source_line=14}
}
"""  # noqa: E501


def module() -> HloModule:
    return parse_module(MODEL)


def neff(module: HloModule, *, seed: int = 0) -> bytes:
    """The NEFF of a module whose parameters but the first are weights."""
    random = np.random.default_rng(seed)
    inputs = []
    for n, p in enumerate(module.entry.parameters):
        i = module.entry.instructions[p]
        shape = module.entry.signature[0][n]
        name = i.metadata.op_name
        array = random.standard_normal(shape.dims).astype(np.float32)
        weight = Weight.of(array)
        inputs.append(Variable(name, shape, Kind.WEIGHT, weight) if n else Variable(name, shape))
    return compile_module(module, inputs).neff.tobytes()


def layered(layers: int, operations: int) -> str:
    """HLO text of a chain of layers, each of so many operations."""
    lines = ['  v0 = f32[8,8] parameter(0), metadata={op_name="x"}']
    for n in range(1, layers * operations + 1):
        layer, turn = divmod(n - 1, operations)
        part = "attention" if turn < operations // 2 else "mlp"
        place = f"model.block.{layer}.{part}/aten__tanh"
        root = "ROOT " if n == layers * operations else ""
        lines.append(
            f'  {root}v{n} = f32[8,8] tanh(v{n - 1}), metadata={{op_name="{place}" '
            f'source_file="deep.py" source_line={n}}}'
        )
    return "HloModule deep\n\nENTRY main {\n" + "\n".join(lines) + "\n}\n"


MAINS = {"hlo_frontend": look_into_hlo, "neff": look_into_neff, "neff.packager": packager}


@dataclass(frozen=True, slots=True)
class Ran:
    """What a tool printed, and its exit status."""

    returncode: int
    stdout: str
    stderr: str


def run_tool(name: str, *arguments: str | Path) -> Ran:
    """What `python -m <name>` does, in this process."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        status = MAINS[name]([str(a) for a in arguments])
    return Ran(status, out.getvalue(), errors.getvalue())
