"""`torch_neuronx.trace` with a PartitionerConfig: what Neuron does not support runs on the CPU."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from hlo_frontend.partition import (
    Partition,
    Segment,
    Side,
    Site,
    Traced,
    assemble,
    partition,
    trace_graph,
)
from torch_neuronx.partitioner import PartitionerConfig
from torch_neuronx.xla_impl.analyze import check_calls, work_folder
from torch_neuronx.xla_impl.build import trace_model
from torch_neuronx.xla_impl.operators import operators_at

logger = logging.getLogger("Neuron")

SUBMODULE = "_NeuronGraph#{}"
DEVICES = {Side.NEURON: "Device.NEURON", Side.CPU: "Device.CPU"}
DEFAULTS: dict[str, Any] = {
    "compiler_args": None,
    "compiler_workdir": None,
    "cpu_backend": False,
    "inline_weights_to_neff": True,
}


def trace_partitioned(
    func: Callable[..., Any],
    example_inputs: Any,
    config: PartitionerConfig,
    *,
    input_output_aliases: Mapping[torch.Tensor, int] | None,
    **keywords: Any,
) -> torch.jit.ScriptModule:
    """The module in which what is supported is in submodules with a Neuron model each.

    `keywords` are those of `torch_neuronx.trace`, for every Neuron subgraph, beside those of the
    config. Raises ValueError where the model is not what the config asks for, and what tracing
    and compiling raise; a note says in which partition.
    """
    if input_output_aliases:
        raise ValueError(
            "torch_neuronx.trace: input_output_aliases must not be given with partitioner_config, "
            "for a state belongs to one subgraph"
        )
    options = _options(config, keywords)
    traced = trace_graph(func, example_inputs, strict=False)
    unsupported = _unsupported(traced, config)
    _require_support(traced, unsupported, config)
    off = config.ops_to_partition or frozenset()
    chosen = [s.index not in unsupported and s.kind not in off for s in traced.sites]
    cut = partition(traced, chosen)
    _require_shape(cut, config)
    compiled: dict[int, torch.jit.ScriptModule] = {}
    segments = iter(cut.segments)
    for number, part in enumerate(cut.parts, 1):
        logger.info("Creating Partition #%d for device: %s", number, DEVICES[part.side])
        logger.info("The following operators will be included in this partition:")
        for kind, count in part.kinds.items():
            logger.info("%s:%d", kind, count)
        if part.side is Side.NEURON:
            segment = next(segments)
            compiled[segment.number] = _compiled(segment, number, options)
    return assemble(cut, compiled, SUBMODULE)


def _options(config: PartitionerConfig, keywords: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of the trace of each subgraph."""
    own = {name: value for name, value in keywords.items() if value != DEFAULTS[name]}
    given = config.trace_kwargs or {}
    if twice := sorted(own.keys() & given.keys()):
        raise ValueError(
            f"torch_neuronx.trace: {', '.join(twice)} must be given once, to trace or in the "
            "partitioner_config's trace_kwargs"
        )
    return {**DEFAULTS, **own, **given}


def _unsupported(traced: Traced, config: PartitionerConfig) -> dict[int, str]:
    """Why sites are not supported, by their index."""
    parameters = dict(config.analyze_parameters or {})
    ignored = parameters.get("additional_ignored_ops", frozenset())
    sites = {s.index: s for s in _counted(traced.sites) if s.kind not in ignored}
    calls = {n: call for n, call in operators_at(traced).items() if n in sites}
    folder = work_folder(parameters.get("compiler_workdir"))
    verdicts = check_calls(list(calls.values()), folder, parameters.get("max_workers", 4))
    failed = {
        number: f"{failure}: {why}"
        for number, (failure, why) in zip(calls, verdicts, strict=True)
        if failure
    }
    return failed | {n: "its result depends on data" for n in sites if n not in calls}


def _counted(sites: Sequence[Site]) -> list[Site]:
    """The sites that support is a question for."""
    return [site for site in sites if not site.scalar]


def _require_support(
    traced: Traced, unsupported: Mapping[int, str], config: PartitionerConfig
) -> None:
    """Log what is supported. Raises ValueError where it is too little."""
    sites = _counted(traced.sites)
    supported = [site for site in sites if site.index not in unsupported]
    logger.info("The following operations are currently supported:")
    for kind in dict.fromkeys(site.kind for site in supported):
        logger.info("%s", kind)
    if unsupported:
        logger.info("The following operations are currently not supported:")
    for index, why in unsupported.items():
        site = traced.sites[index]
        logger.info("%s, %s", site.kind, site.source.strip() or site.text)
        logger.debug("%s: %s", site.kind, why)
    fraction = len(supported) / len(sites) if sites else 1.0
    counts = f"({len(supported)} of {len(sites)})"
    logger.info("%.2f%% of arithmetic operations %s are supported", 100 * fraction, counts)
    least = config.model_support_percentage_threshold
    if fraction < least:
        kinds = ", ".join(dict.fromkeys(traced.sites[n].kind for n in unsupported))
        raise ValueError(
            f"The partitioner has found that {fraction:.2%} {counts} of the model's operators are "
            f"supported, which is below the specified model support percentage threshold of "
            f"{least:.2%}. Not supported: {kinds}"
        )


def _require_shape(cut: Partition, config: PartitionerConfig) -> None:
    """Log the number of parts. Raises ValueError for too many, or one that is too small."""
    parts = [part for part in cut.parts if part.size]
    logger.info("Num Partitions: %d", len(parts))
    if -1 < config.max_subgraph_count < len(parts):
        raise ValueError(
            f"The partitioner has found {len(parts)} subgraphs which exceeds the specified max "
            f"subgraph count of {config.max_subgraph_count}."
        )
    smallest = min((part.size for part in parts), default=config.min_subgraph_size)
    if smallest < config.min_subgraph_size:
        raise ValueError(
            f"The partitioner has found a subgraph of size {smallest} which is below the specified "
            f"min subgraph size of {config.min_subgraph_size}."
        )


def _compiled(segment: Segment, number: int, options: Mapping[str, Any]) -> torch.jit.ScriptModule:
    own = dict(options)
    if own["compiler_workdir"] is not None:
        own["compiler_workdir"] = str(Path(own["compiler_workdir"]) / f"partition_{number}")
    try:
        return trace_model(segment.module, segment.example_inputs, input_output_aliases=None, **own)
    except Exception as error:
        error.add_note(f"torch_neuronx.trace: in Partition #{number} for device: Device.NEURON")
        raise
