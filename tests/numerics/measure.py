"""Measuring the op classes of the contract under compile options, and the page that keeps it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hlo_frontend.hlo.parse import parse_module
from neff.compile import compile_module
from neff.options import parse_options
from runtime.model import load_program
from tests.numerics.classes import CLASSES, OpClass

PAGE = Path(__file__).parents[2] / "docs" / "numerics_bounds.md"
OFF = "--disable-mixed-precision-accumulation"
# Columns: what the page calls them, and the options.
SETTINGS: dict[str, str] = {
    "none": "",
    **{
        f"{mode} {kind}": f"--auto-cast {mode} --auto-cast-type {kind}"
        for mode in ("matmult", "all")
        for kind in ("tf32", "fp16", "bf16", "fp8_e4m3")
    },
    "all bf16, accumulation off": f"--auto-cast all --auto-cast-type bf16 {OFF}",
}
HEADROOM = 2.0  # a bound is this many times what was measured, rounded up to one digit


def execute(text: str, options: str, arguments: list[np.ndarray]) -> list[np.ndarray]:
    """The outputs of an HLO module compiled and run, in their own types."""
    program = compile_module(parse_module(text), options=parse_options(options)).program
    model = load_program(program)
    given = [memoryview(np.ascontiguousarray(a).reshape(-1).view(np.uint8)) for a in arguments]
    made = model.execute(given)
    return [
        raw.view(v.shape.numpy).reshape(v.shape.dims)
        for raw, v in zip(made, program.outputs, strict=True)
    ]


def error(case: OpClass, options: str) -> float:
    """The largest error against float64, over the result's largest magnitude."""
    arguments = case.arguments()
    expected = case.reference(*(a.astype(np.float64) for a in arguments))
    (made,) = execute(case.module(), options, arguments)
    assert made.dtype == np.float32, made.dtype  # options never change the type of an output
    worst = np.max(np.abs(made.astype(np.float64) - expected))
    return float(worst / np.max(np.abs(expected))) if np.isfinite(worst) else math.inf


def bound(measured: float) -> float:
    """A measured error with headroom, rounded up to one digit."""
    if not math.isfinite(measured) or measured == 0:
        return measured
    unit = 10.0 ** math.floor(math.log10(measured * HEADROOM))
    return float(f"{math.ceil(measured * HEADROOM / unit) * unit:.0e}")


def measure() -> dict[str, dict[str, float]]:
    """The bound of every class under every setting."""
    return {
        case.name: {name: bound(error(case, options)) for name, options in SETTINGS.items()}
        for case in CLASSES
    }


HEAD = """# Measured bounds

Made by `scripts/numerics --write`; `tests/numerics` holds fresh measurements to it. What the
columns mean is in [numerics.md](numerics.md).

Each number bounds the largest error against float64 on the same inputs, divided by the largest
magnitude of the result. It is twice what was measured, rounded up to one digit. `overflow`: a value
on the way is beyond the largest of the short type (65504 for fp16, 240 for fp8_e4m3).

"""


def document(table: Mapping[str, Mapping[str, float]]) -> str:
    """docs/numerics_bounds.md."""
    rows = [f"| op class | {' | '.join(SETTINGS)} |", f"|---|{'---|' * len(SETTINGS)}"]
    for name, bounds in table.items():
        cells = (_cell(bounds[setting]) for setting in SETTINGS)
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return HEAD + "\n".join([*rows, ""])


def _cell(value: float) -> str:
    return f"{value:.0e}" if math.isfinite(value) else "overflow"


def written() -> dict[str, dict[str, float]]:
    """The bounds as the page has them."""
    lines = [x for x in PAGE.read_text().splitlines() if x.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    settings = rows[0][1:]
    return {
        name: {
            s: math.inf if c == "overflow" else float(c)
            for s, c in zip(settings, cells, strict=True)
        }
        for name, *cells in rows[1:]
    }
