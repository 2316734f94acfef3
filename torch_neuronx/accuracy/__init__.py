"""Accuracy reports: what each cast setting of the compiler does to a model's numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch_neuronx.accuracy.difference import Difference
from torch_neuronx.accuracy.report import (
    AccuracyReport,
    InstructionError,
    LayerError,
    OutputError,
    SettingReport,
)

__all__ = [
    "AccuracyReport",
    "Difference",
    "InstructionError",
    "LayerError",
    "OutputError",
    "SettingReport",
    "accuracy_report",
]


def accuracy_report(
    func: Callable[..., Any],
    example_inputs: Any,
    settings: Sequence[str] | None = None,
    compiler_args: str | Sequence[str] | None = None,
    *,
    tolerance: float = 1e-2,
    reference: str = "fp32",
) -> AccuracyReport:
    """Run a model under several cast settings and compare each with a reference.

    `func` and `example_inputs` are as in `trace`; here the values of the inputs matter. A setting
    is a string of compiler options, which follow `compiler_args`; by default no cast, and every
    `--auto-cast` with every `--auto-cast-type`. `tolerance` bounds relative errors (see
    `Difference`). The reference is the captured graph as it is (`fp32`), or with every float
    widened (`fp64`).

    A setting that is refused says so in the report. Raises what capturing raises, OptionError for
    `compiler_args`, and ValueError for a reference, a tolerance or settings that cannot be.
    """
    from torch_neuronx.accuracy.run import report_of_callable

    return report_of_callable(func, example_inputs, settings, compiler_args, tolerance, reference)
