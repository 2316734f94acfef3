"""`torch_neuronx.trace`: capture a callable, compile it, and wrap the NEFF as a ScriptModule."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch

from torch_neuronx.partitioner import PartitionerConfig

# The keywords in the order in which they may still be given by position.
KEYWORDS = (
    "input_output_aliases",
    "compiler_workdir",
    "compiler_args",
    "partitioner_config",
    "inline_weights_to_neff",
    "cpu_backend",
)


def trace(
    func: torch.nn.Module | Callable[..., Any],
    example_inputs: Any,
    *positional: Any,
    input_output_aliases: dict[torch.Tensor, int] | None = None,
    compiler_workdir: str | None = None,
    compiler_args: str | Sequence[str] | None = None,
    partitioner_config: PartitionerConfig | None = None,
    inline_weights_to_neff: bool = True,
    cpu_backend: bool = False,
) -> torch.jit.ScriptModule:
    """Compile a module or function into a TorchScript module with one fused operator.

    `example_inputs` (a tensor, or a tuple, list or dict of them, nested) fixes shapes and element
    types. `input_output_aliases` maps tensors that `func` holds to the index of the output, in the
    flattened result, that is their next value: they stay on the NeuronCore. `compiler_workdir`
    receives the HLO, the NEFF and the logs. `compiler_args` are neuronx-cc options. With
    `inline_weights_to_neff=False` the weights are parameters of the result's `weights` submodule.
    With a `partitioner_config` what is not supported runs on the CPU (see PartitionerConfig).

    Raises hlo_frontend.errors.CaptureError where `func` cannot be captured as one graph,
    neff.errors.CompileError and OptionError where it cannot be compiled.
    Source: AWS Neuron documentation, PyTorch Neuron tracing API for inference.
    """
    given = dict(zip(KEYWORDS, positional, strict=False))
    if positional:
        if len(positional) > len(KEYWORDS):
            raise TypeError(
                f"torch_neuronx.trace: takes at most {2 + len(KEYWORDS)} arguments, "
                f"got {2 + len(positional)}"
            )
        warnings.warn(
            f"torch_neuronx.trace: {', '.join(given)} should be given by keyword; "
            "positional use is deprecated",
            stacklevel=2,
        )
    keywords = {
        "input_output_aliases": input_output_aliases,
        "compiler_workdir": compiler_workdir,
        "compiler_args": compiler_args,
        "partitioner_config": partitioner_config,
        "inline_weights_to_neff": inline_weights_to_neff,
        "cpu_backend": cpu_backend,
        **given,
    }
    config = keywords.pop("partitioner_config")
    if config is None:
        from torch_neuronx.xla_impl.build import trace_model

        return trace_model(func, example_inputs, **keywords)
    if not isinstance(config, PartitionerConfig):
        raise TypeError(
            "torch_neuronx.trace: partitioner_config must be a PartitionerConfig, "
            f"got {type(config).__name__}"
        )
    from torch_neuronx.xla_impl.partition import trace_partitioned

    return trace_partitioned(func, example_inputs, config, **keywords)
