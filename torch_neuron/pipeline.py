"""From a callable to a partitioned module: check, trace, choose, cut, compile, put together."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hlo_frontend.partition import Policy, Traced, assemble, partition, trace_graph
from neff.inf1_options import parse_inf1_options
from neff.options import words
from torch_neuron import report
from torch_neuron.optimization import Optimization
from torch_neuron.segments import Compiler
from torch_neuron.selection import at, choose, unsupported
from torch_neuronx.calls import with_batch_errors
from torch_neuronx.xla_impl.workdir import WorkDirectory

_NOTHING = (
    "No operations were successfully partitioned and compiled to neuron for this model - aborting "
    "trace!"
)


@dataclass(frozen=True, slots=True)
class Request:
    """The keywords of `torch_neuron.trace`, every one given."""

    compiler_args: str | Sequence[str] | None
    compiler_timeout: float | None
    compiler_workdir: Path | None
    subgraph_builder_function: Callable[[Any], bool] | None
    minimum_segment_size: int
    single_fusion_ratio_threshold: float
    fallback: bool
    dynamic_batch_size: bool
    optimizations: tuple[Optimization, ...]
    separate_weights: bool

    def check(self) -> None:
        """Raise TypeError or ValueError for a value that cannot be right."""
        for name in ("fallback", "dynamic_batch_size", "separate_weights"):
            _require(isinstance(getattr(self, name), bool), name, "a bool", getattr(self, name))
        size, ratio = self.minimum_segment_size, self.single_fusion_ratio_threshold
        _require(type(size) is int, "minimum_segment_size", "a number of operators", size)
        _require(size >= 0, "minimum_segment_size", "at least 0", size, ValueError)
        name = "single_fusion_ratio_threshold"
        _require(isinstance(ratio, float | int), name, "a fraction", ratio)
        _require(0 <= ratio <= 1, name, "from 0 to 1", ratio, ValueError)
        wanted = self.subgraph_builder_function
        name = "subgraph_builder_function"
        _require(wanted is None or callable(wanted), name, "a function or None", wanted)
        self._check_timeout()
        for given in self.optimizations:
            known = isinstance(given, Optimization)
            _require(known, "optimizations", "of torch_neuron.Optimization", given)

    def _check_timeout(self) -> None:
        name, seconds = "compiler_timeout", self.compiler_timeout
        if seconds is not None:
            real = isinstance(seconds, float | int) and not isinstance(seconds, bool)
            _require(real, name, "a number of seconds", seconds)
            _require(seconds > 0 and math.isfinite(seconds), name, "above 0", seconds, ValueError)

    def policy(self) -> Policy:
        """Which segments are worth their borders; without `fallback`, all of them."""
        if not self.fallback:
            return Policy()
        return Policy(self.minimum_segment_size, self.single_fusion_ratio_threshold)

    def compiler(self) -> Compiler:
        """How segments are to be compiled. Raises OptionError, and OSError for the workdir."""
        options = parse_inf1_options(self.compiler_args)
        if self.compiler_workdir is not None:
            WorkDirectory.make("torch_neuron.trace", self.compiler_workdir, ())
        return Compiler(
            options,
            tuple(words(self.compiler_args)),
            self.compiler_timeout,
            self.compiler_workdir,
            half=Optimization.FLOAT32_TO_FLOAT16 in self.optimizations,
            dynamic_batch=self.dynamic_batch_size,
        )


def _require(
    holds: bool, name: str, what: str, value: object, error: type[Exception] = TypeError
) -> None:
    if not holds:
        raise error(f"torch_neuron.trace: {name} must be {what}, got {value!r}")


def run(
    model: Callable[..., Any], example_inputs: Any, request: Request, keywords: Mapping[str, Any]
) -> torch.jit.ScriptModule:
    """What `torch_neuron.trace` does."""
    request.check()
    compiler = request.compiler()
    inputs, others = arguments(model, example_inputs, keywords)
    traced = trace_graph(model, inputs, **others)
    with report.shown():
        if not request.fallback:
            _refuse_unsupported(traced)
        cut = partition(
            traced,
            choose(traced.sites, request.subgraph_builder_function),
            request.policy(),
        )
        report.before(traced.sites, cut.segments)
        compiled = compiler.compile_all(cut.segments, request.fallback)
        report.after(traced.sites, cut.segments, compiled)
        if not compiled:
            raise RuntimeError(_NOTHING)
        result = assemble(cut, compiled, "_NeuronGraph#{}")
    return with_batch_errors(result) if request.dynamic_batch_size else result


def arguments(
    model: Callable[..., Any], example_inputs: Any, keywords: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of the call that is traced, in order, and the other keywords.

    Of torch.jit.trace's keywords `example_kwarg_inputs` holds arguments, by name.
    """
    others = dict(keywords)
    named = others.pop("example_kwarg_inputs", None)
    if isinstance(example_inputs, torch.Tensor | dict):
        example_inputs = (example_inputs,)
    if example_inputs is None and named is not None:
        example_inputs = ()
    if not isinstance(example_inputs, tuple | list):
        raise TypeError(
            "torch_neuron.trace: example_inputs must be a tensor or a tuple of arguments, "
            f"got {type(example_inputs).__name__}"
        )
    if named is None:
        return tuple(example_inputs), others
    called = model.forward if isinstance(model, torch.nn.Module) else model
    bound = inspect.signature(called).bind(*example_inputs, **named)
    bound.apply_defaults()
    return bound.args, others


def _refuse_unsupported(traced: Traced) -> None:
    found = unsupported(traced.sites)
    if found:
        raise AttributeError(
            "torch_neuron.trace: with fallback=False every operator must be supported by Neuron, "
            f"got {', '.join(dict.fromkeys(map(at, found)))}"
        )
