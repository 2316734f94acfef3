"""`torch_neuron.trace`: what Neuron supports is compiled, the rest stays on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from torch_neuron.optimization import Optimization


def trace(
    model: torch.nn.Module | Callable[..., Any],
    example_inputs: Any,
    *,
    compiler_args: str | Sequence[str] | None = None,
    compiler_timeout: float | None = None,
    compiler_workdir: str | None = None,
    subgraph_builder_function: Callable[[Any], bool] | None = None,
    minimum_segment_size: int = 2,
    single_fusion_ratio_threshold: float = 0.6,
    fallback: bool = True,
    dynamic_batch_size: bool = False,
    optimizations: Iterable[Optimization] = (),
    separate_weights: bool = False,
    **kwargs: Any,
) -> torch.jit.ScriptModule:
    """Compile what Neuron supports of a model, and leave the rest around it, in TorchScript.

    `model` is a module, a method or a function, `example_inputs` a tensor or a tuple of arguments.
    `compiler_args` are options of neuron-cc (see neff.inf1_options), for every segment;
    `compiler_timeout` is in seconds, for each. `compiler_workdir` receives a folder for each
    segment, by its number. `subgraph_builder_function(node)` says of each operator whether it may
    be compiled (`node.name` holds the classes of the modules around it). Segments of fewer
    operators than `minimum_segment_size` stay on the CPU, and where one holds more than
    `single_fusion_ratio_threshold` of what could be compiled, the others do. With `fallback=False`
    nothing that Neuron does not support is left to the CPU. `dynamic_batch_size` lets segments
    take any size of dimension 0. `separate_weights` changes nothing: a NEFF here has room for them.
    All other keywords go to torch.jit.trace.

    Raises what torch.jit.trace raises; RuntimeError where nothing is compiled; with
    `fallback=False` AttributeError for an operator that is not supported, and what compiling
    raises; subprocess.TimeoutExpired; neff.errors.OptionError, TypeError and ValueError for
    arguments that cannot be right, OSError for a `compiler_workdir` that cannot be written to.
    Source: AWS Neuron documentation, PyTorch Neuron trace Python API.
    """
    from torch_neuron.pipeline import Request, run

    request = Request(
        compiler_args=compiler_args,
        compiler_timeout=compiler_timeout,
        compiler_workdir=None if compiler_workdir is None else Path(compiler_workdir),
        subgraph_builder_function=subgraph_builder_function,
        minimum_segment_size=minimum_segment_size,
        single_fusion_ratio_threshold=single_fusion_ratio_threshold,
        fallback=fallback,
        dynamic_batch_size=dynamic_batch_size,
        optimizations=tuple(optimizations),
        separate_weights=separate_weights,
    )
    return run(model, example_inputs, request, kwargs)
