"""Compiles the segments of a partition, each by itself."""

from __future__ import annotations

import json
import logging
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from hlo_frontend.partition import Segment
from neff.compile import compile_module
from neff.job import compile_in_child
from neff.options import CompileOptions
from runtime.status import NeuronRuntimeError
from torch_neuron import report
from torch_neuron.half import Half
from torch_neuronx import calls
from torch_neuronx.xla_impl.build import build
from torch_neuronx.xla_impl.module import NeuronModule
from torch_neuronx.xla_impl.workdir import WorkDirectory

logger = logging.getLogger("Neuron")
STEM, LOG = "graph_def", "graph_def.neuron-cc.log"
# Whatever a segment cannot be captured or compiled for: a capture runs the operators of the model,
# which raise what they like. A timeout, and what the runtime refuses, are no such reasons.
FAILURES = (RuntimeError, NotImplementedError, TypeError, ValueError, IndexError)


@dataclass(frozen=True, slots=True)
class Compiler:
    """How segments are compiled: the options, and the words that they came from."""

    options: CompileOptions
    words: tuple[str, ...] = ()
    timeout: float | None = None
    workdir: Path | None = None
    half: bool = False
    dynamic_batch: bool = False

    def compile_all(
        self, segments: Sequence[Segment], fallback: bool
    ) -> dict[int, torch.jit.ScriptModule]:
        """The modules of the segments by number; with `fallback`, without those that fail."""
        compiled: dict[int, torch.jit.ScriptModule] = {}
        for segment in segments:
            try:
                compiled[segment.number] = self.compile(segment)
            except (NeuronRuntimeError, subprocess.TimeoutExpired):
                raise
            except FAILURES as error:
                if not fallback:
                    raise
                report.failed(_name(segment), error)
        return compiled

    def compile(self, segment: Segment) -> torch.jit.ScriptModule:
        """A segment on a NeuronCore. Raises what capturing, compiling and loading it raises."""
        workdir, command = self._prepare(segment)
        logger.info("Compiling function %s with neuron-cc", _name(segment))
        logger.info("Compiling with command line: '%s'", shlex.join(command))
        module, inputs, wrapper = segment.module, segment.example_inputs, NeuronModule
        if self.half:
            half = Half.of(module, inputs)
            module, inputs, wrapper = half.module, half.example_inputs, half.wrapper
        compiler = compile_module
        if self.timeout is not None:
            compiler = partial(compile_in_child, timeout=self.timeout)
        made = build(
            *(module, inputs),
            options=self.options,
            workdir=workdir,
            compiler=compiler,
            wrapper=wrapper,
        )
        logger.info("Compiler status PASS")
        if self.dynamic_batch:
            _batch_dynamically(made, segment)
        return made

    def _prepare(self, segment: Segment) -> tuple[WorkDirectory | None, tuple[str, ...]]:
        """A segment's work directory, if there is one, and the command line it stands for."""
        folder = None if self.workdir is None else self.workdir / str(segment.number)
        command = self._command(segment, folder)
        if folder is None:
            return None, command
        return WorkDirectory.make("torch_neuron.trace", folder, command, STEM, LOG), command

    def _command(self, segment: Segment, folder: Path | None) -> tuple[str, ...]:
        place = folder or Path()
        shapes = {
            f"{n}:0": [list(t.shape), str(t.dtype).removeprefix("torch.")]
            for n, t in enumerate(segment.example_inputs)
        }
        return (
            *("neuron-cc", "compile", str(place / f"{STEM}.hlo"), "--framework", "XLA"),
            *("--pipeline", "compile", "SaveTemps", "--output", str(place / f"{STEM}.neff")),
            *("--io-config", json.dumps({"inputs": shapes}), "--verbose", "35"),
            *self.words,
        )


def _name(segment: Segment) -> str:
    return f"_NeuronGraph${segment.number}"


def _batch_dynamically(module: torch.jit.ScriptModule, segment: Segment) -> None:
    """Let a segment take any batch; one that cannot keeps the size that was traced, and says so."""
    try:
        calls.set_dynamic_batching(module, True)
    except ValueError as error:
        logger.warning(
            "dynamic_batch_size: %s takes the traced sizes only: %s", _name(segment), error
        )
