"""From a callable or an HLO module to its accuracy report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hlo_frontend.capture import capture, flatten
from hlo_frontend.capture.dtypes import to_numpy
from hlo_frontend.hlo.module import HloModule
from hlo_frontend.hlo.types import Shape
from neff.lower import lower
from neff.options import parse_options
from torch_neuronx.accuracy.measure import Measurement, Subject
from torch_neuronx.accuracy.report import AccuracyReport
from torch_neuronx.accuracy.settings import DEFAULT_SETTINGS
from torch_neuronx.xla_impl.build import bind

REFERENCES = ("fp32", "fp64")
RANDOM_INTEGERS = 10  # random integers are below this: most are indices of something


def report_of_callable(
    func: Callable[..., Any],
    example_inputs: Any,
    settings: Sequence[str] | None,
    compiler_args: str | Sequence[str] | None,
    tolerance: float,
    reference: str,
) -> AccuracyReport:
    """What `accuracy_report` does, with every argument given."""
    chosen = _checked(settings, compiler_args, tolerance, reference)
    captured = capture(func, example_inputs)
    _, tensors = flatten(example_inputs, "example_inputs")
    inputs, binding = bind(captured, inline_weights=True)
    values = tuple(np.ascontiguousarray(to_numpy(t)).reshape(t.shape) for t in tensors)
    names = tuple(o.name for o in captured.outputs)
    subject = Subject(captured.module, tuple(inputs), tuple(binding), values, names)
    return _report(subject, chosen, compiler_args, tolerance, reference)


def report_of_module(
    module: HloModule,
    values: Sequence[np.ndarray] | None = None,
    settings: Sequence[str] | None = None,
    compiler_args: str | Sequence[str] | None = None,
    tolerance: float = 1e-2,
    reference: str = "fp32",
    seed: int = 0,
) -> AccuracyReport:
    """The report of an HLO module; without `values` for its parameters they are random."""
    chosen = _checked(settings, compiler_args, tolerance, reference)
    program = lower(module)
    if values is None:
        generator = np.random.default_rng(seed)
        values = [random_array(generator, v.shape) for v in program.inputs]
    names = tuple(v.name for v in program.outputs)
    binding = tuple(range(len(program.inputs)))
    subject = Subject(module, program.inputs, binding, tuple(values), names)
    return _report(subject, chosen, compiler_args, tolerance, reference)


def random_array(generator: np.random.Generator, shape: Shape) -> np.ndarray:
    """Normal floats, small integers that are not negative, booleans."""
    kind = shape.element.kind
    if kind == "pred":
        return generator.integers(0, 2, shape.dims).astype(shape.numpy)
    if kind in ("signed", "unsigned"):
        limit = min(RANDOM_INTEGERS, 1 << (shape.element.bits - 1))
        return generator.integers(0, limit, shape.dims).astype(shape.numpy)
    made = generator.standard_normal(shape.dims)
    if kind == "complex":
        made = made + 1j * generator.standard_normal(shape.dims)
    return np.asarray(made).astype(shape.numpy)


def _report(
    subject: Subject,
    settings: Sequence[str],
    compiler_args: str | Sequence[str] | None,
    tolerance: float,
    reference: str,
) -> AccuracyReport:
    measurement = Measurement(subject, reference, tolerance)
    reports = tuple(measurement.setting(s, compiler_args) for s in settings)
    return AccuracyReport(subject.module.name, reference, tolerance, reports)


def _checked(
    settings: Sequence[str] | None,
    compiler_args: str | Sequence[str] | None,
    tolerance: float,
    reference: str,
) -> Sequence[str]:
    """The settings to measure, once it is known that nothing else can be wrong."""
    parse_options(compiler_args)
    if reference not in REFERENCES:
        raise ValueError(
            f"accuracy_report: reference must be one of {', '.join(REFERENCES)}, got {reference!r}"
        )
    if not tolerance > 0:
        raise ValueError(f"accuracy_report: tolerance must be above 0, got {tolerance!r}")
    if isinstance(settings, str):
        raise TypeError(
            f"accuracy_report: settings must be a list of strings, got the string {settings!r}"
        )
    chosen = DEFAULT_SETTINGS if settings is None else settings
    if not chosen:
        raise ValueError("accuracy_report: settings must not be empty, got none")
    return chosen
