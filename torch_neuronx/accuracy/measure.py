"""Measures a bound HLO module under every setting."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hlo_frontend.hlo.errors import HloError
from hlo_frontend.hlo.module import HloModule
from hlo_frontend.hlo.verify import verify_module
from neff.compile import compile_module
from neff.errors import CompileError, OptionError
from neff.lower import lower
from neff.options import CompileOptions
from neff.program import Program, Variable
from runtime.model import load_program
from runtime.probe import Probe
from runtime.status import NeuronRuntimeError
from torch_neuronx.accuracy.difference import argmax_agreement, difference
from torch_neuronx.accuracy.layers import Graph, Ledger
from torch_neuronx.accuracy.programs import (
    Marked,
    cast_program,
    counterparts,
    mark,
    reference_program,
)
from torch_neuronx.accuracy.report import OutputError, SettingReport
from torch_neuronx.accuracy.settings import UNCAST_BITS, bits_of, label, options_of
from torch_neuronx.accuracy.walk import Execution, Reference, compare
from torch_neuronx.accuracy.widen import widen

# What may be raised when an option is not one of this target, or its program cannot be made.
REFUSALS = (CompileError, HloError, NeuronRuntimeError, NotImplementedError, OptionError)


@dataclass(frozen=True, slots=True)
class Subject:
    """A module, its variables as `neff.lower.lower` takes them, and a value for each input."""

    module: HloModule
    inputs: tuple[Variable, ...]
    binding: tuple[int, ...]
    values: tuple[np.ndarray, ...]  # of the INPUT variables, in order, contiguous
    output_names: tuple[str, ...]


class Measurement:
    """The reference of a subject, against which settings are measured."""

    def __init__(self, subject: Subject, reference: str, tolerance: float) -> None:
        verify_module(subject.module)
        self.subject = subject
        self.tolerance = tolerance
        self.probe = Probe()
        self.marked: Marked = mark(lower(subject.module, subject.inputs, subject.binding))
        self.graph = Graph.of(self.marked.origin)
        plain = reference_program(self.marked)
        self.arguments = self._arguments(plain)
        self.program = widen(plain) if reference == "fp64" else plain
        self.expected = Reference(self.probe, self.program, self.arguments).results()

    def setting(self, setting: str, common: str | Sequence[str] | None) -> SettingReport:
        """What a setting does; one that is refused says so in `refusal`."""
        bits = UNCAST_BITS
        try:
            options = options_of(common, setting)
            bits = bits_of(options)
            return self._measured(setting, options)
        except REFUSALS as error:
            return SettingReport(setting, label(setting), bits, refusal=str(error))

    def _measured(self, setting: str, options: CompileOptions) -> SettingReport:
        start = time.perf_counter()
        subject = self.subject
        program = compile_module(
            subject.module, subject.inputs, subject.binding, options=options
        ).program
        compiled = time.perf_counter()
        outputs, seconds = self._execute(program)
        del program
        ledger = self._ledger(cast_program(self.marked, options), options.auto_cast == "all")
        return SettingReport(
            setting,
            label(setting),
            bits_of(options),
            outputs,
            ledger.layers(),
            ledger.first_drift(),
            compiled - start,
            seconds,
        )

    def _execute(self, program: Program) -> tuple[tuple[OutputError, ...], float]:
        """Run the compiled program as a user would; the errors of what it returns, and seconds.

        It runs twice: the first run may still compile.
        """
        called = [v.reshape(-1).view(np.uint8).data for v in self.subject.values]
        model = load_program(program)
        try:
            made = model.execute(called)
            start = time.perf_counter()
            model.execute(called)
            seconds = time.perf_counter() - start
        finally:
            model.unload()
        return tuple(self._output(n, data) for n, data in enumerate(made)), seconds

    def _output(self, n: int, data: np.ndarray) -> OutputError:
        shape = self.marked.origin.outputs[n].shape
        value, expected = data.view(shape.numpy).reshape(shape.dims), self.expected[n]
        error, agreement = difference(value, expected), argmax_agreement(value, expected)
        return OutputError(self.subject.output_names[n], str(shape), error, agreement)

    def _ledger(self, program: Program, written: bool) -> Ledger:
        marks = counterparts(self.program, program, written=written)
        watched = frozenset(
            found for p, found in marks.items() if program.main.instructions[p].op != "parameter"
        )
        reference = Reference(self.probe, self.program, self.arguments, watched)
        cast = Execution(self.probe, program, self._arguments(program))
        measured = compare(reference, cast, marks, self.graph.layers)
        return Ledger(self.graph, measured, self.tolerance)

    def _arguments(self, program: Program) -> list[np.ndarray]:
        """The value of every input of a program made from the subject's."""
        values = iter(self.subject.values)
        return [v.weight.array if v.weight is not None else next(values) for v in program.inputs]
