"""From a callable to a traced module: capture, bind, compile, write the work directory, wrap."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from hlo_frontend.capture import Capture, Input, State, capture
from hlo_frontend.capture.dtypes import element_type, to_numpy
from hlo_frontend.hlo.types import Shape
from neff.compile import Compiled, compile_module
from neff.options import CompileOptions, parse_options, words
from neff.pipeline import PassRecord
from neff.program import Kind, Variable
from neff.program import Weight as BoundWeight
from neff.support.memory import check_interface
from neff.undisturbed import undisturbed
from torch_neuronx.xla_impl.module import NeuronModule, script
from torch_neuronx.xla_impl.workdir import WorkDirectory

logger = logging.getLogger("Neuron")
COMMAND = ("neuronx-cc", "compile", "--framework=XLA", "graph.hlo", "--output=graph.neff")


def trace_model(
    func: Callable[..., Any],
    example_inputs: Any,
    *,
    input_output_aliases: Mapping[torch.Tensor, int] | None,
    compiler_workdir: str | None,
    compiler_args: str | Sequence[str] | None,
    inline_weights_to_neff: bool,
    cpu_backend: bool,
) -> torch.jit.ScriptModule:
    """What `torch_neuronx.trace` does, with every keyword given."""
    options = parse_options(compiler_args)
    given = words(compiler_args)
    named = any(word.split("=")[0] == "--target" for word in given)
    if cpu_backend and not named:
        raise ValueError(
            "torch_neuronx.trace: cpu_backend=True must be combined with --target in "
            f"compiler_args, got {compiler_args!r}"
        )
    workdir = None
    if compiler_workdir is not None:
        target = () if named else (f"--target={options.target}",)
        command = (*COMMAND, *target, *given)
        workdir = WorkDirectory.make("torch_neuronx.trace", compiler_workdir, command)
    return build(
        func,
        example_inputs,
        options=options,
        workdir=workdir,
        input_output_aliases=input_output_aliases,
        inline_weights=inline_weights_to_neff,
    )


@undisturbed()
def build(
    func: Callable[..., Any],
    example_inputs: Any,
    *,
    options: CompileOptions,
    workdir: WorkDirectory | None = None,
    input_output_aliases: Mapping[torch.Tensor, int] | None = None,
    inline_weights: bool = True,
    compiler: Callable[..., Compiled] = compile_module,
    wrapper: type[NeuronModule] = NeuronModule,
) -> torch.jit.ScriptModule:
    """Capture a callable, compile it by `compiler`, load it, and script a `wrapper` of it."""
    start = time.perf_counter()
    captured = capture(func, example_inputs, input_output_aliases=input_output_aliases)
    _report(PassRecord("capture", time.perf_counter() - start, _size(captured), True))
    if workdir is not None:
        workdir.write_module(captured.module)
    held = {n for n, p in enumerate(captured.parameters) if not isinstance(p, Input)}
    check_interface(captured.module, held, options)  # before the weights are read
    inputs, binding = bind(captured, inline_weights)
    dump = workdir.path if workdir is not None else None
    compiled = compiler(
        captured.module, inputs, binding, options=options, dump=dump, observe=_report
    )
    if workdir is not None:
        workdir.write_compiled(compiled)
    weights = {} if inline_weights else _weights(captured)
    files, size = (compiled.neff, compiled.metaneff), compiled.stages[-1].instructions
    del inputs, compiled  # the host copies of folded weights: the NEFF holds them now
    arguments = example_inputs if isinstance(example_inputs, tuple | list) else (example_inputs,)
    start = time.perf_counter()
    model = load(*files)
    _report(PassRecord("load", time.perf_counter() - start, size, False))
    return script(model, captured, weights, tuple(arguments), wrapper)


def _size(captured: Capture) -> int:
    return len(captured.module.entry.instructions)


def _report(record: PassRecord) -> None:
    logger.info(
        "%-32s %8.3f s  %6d instructions",
        record.name,
        record.seconds,
        record.instructions,
        extra={"record": record},
    )


def bind(captured: Capture, inline_weights: bool) -> tuple[list[Variable], list[int]]:
    """The program's inputs, and for each HLO parameter which of them it is.

    First all the caller's inputs, then states, then weights: bound to their values where they go
    into the NEFF, else inputs like the caller's.
    """
    inputs = [Variable(s.name, Shape(s.dtype, s.dims)) for s in captured.inputs]
    states = [p for p in captured.parameters if isinstance(p, State)]
    inputs += [_bound(p.name, p.tensor, Kind.STATE) for p in states]
    place: dict[str, int] = {p.name: len(captured.inputs) + n for n, p in enumerate(states)}
    for name, tensor in _weights(captured).items():
        place[name] = len(inputs)
        if inline_weights:
            inputs.append(_bound(name, tensor, Kind.WEIGHT))
        else:
            shape = Shape(element_type(tensor, name), tuple(tensor.shape))
            inputs.append(Variable(name, shape))
    binding = [p.index if isinstance(p, Input) else place[p.name] for p in captured.parameters]
    return inputs, binding


def _weights(captured: Capture) -> dict[str, torch.Tensor]:
    """The weights by name, in the order of the parameters."""
    return {p.name: p.tensor for p in captured.parameters if not isinstance(p, Input | State)}


def _bound(name: str, tensor: torch.Tensor, kind: Kind) -> Variable:
    weight = BoundWeight.of(to_numpy(tensor))
    return Variable(name, weight.shape, kind, weight)


def load(neff: np.ndarray, metaneff: bytes) -> torch.ScriptObject:
    """The `neuron::Model` of a NEFF, loaded on a NeuronCore. The NEFF is not copied."""
    return torch.ops.neuron._model_from_tensors(
        torch.from_numpy(neff),
        torch.frombuffer(bytearray(metaneff), dtype=torch.uint8),
    )
