"""`torch_neuron.analyze_model`: which operators of a model Neuron supports, before compiling it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch

from torch_neuron.operators import is_supported

logger = logging.getLogger("Neuron")


def analyze_model(
    func: torch.nn.Module | Callable[..., Any], example_inputs: Any, **kwargs: Any
) -> dict[str, Any]:
    """Log the operators of a model that are supported, and those that are not with the user's line.

    `example_inputs` is a tensor, or a tuple or list of arguments; other keywords go to
    torch.jit.trace. Returns `percent_supported`, `supported_count` and `total_count` of all
    operations, primitives included; `supported_operators` and `unsupported_operators` by name;
    `operators`, all of them, and `operator_count`, how often each stands in the graph.
    Raises what torch.jit.trace raises.
    Source: AWS Neuron documentation, PyTorch Neuron (torch-neuron) troubleshooting.
    """
    from hlo_frontend.partition import trace_graph
    from torch_neuron import report
    from torch_neuron.pipeline import arguments
    from torch_neuron.selection import at, unsupported

    inputs, others = arguments(func, example_inputs, kwargs)
    traced = trace_graph(func, inputs, **others)
    counts: Counter[str] = Counter()
    good: Counter[str] = Counter()
    for node in _nodes(traced.graph):
        counts[node.kind()] += 1
        good[node.kind()] += is_supported(node)
    supported = sorted(kind for kind in counts if good[kind] == counts[kind])
    lacking = sorted(counts.keys() - set(supported))
    with report.shown():
        _log("supported", supported)
        _log("not supported", [at(site) for site in unsupported(traced.sites)])
        _percentage("all operations (including primitives)", good.total(), counts.total())
        aten = [kind for kind in counts if kind.startswith("aten::")]
        part, whole = sum(good[kind] for kind in aten), sum(counts[kind] for kind in aten)
        _percentage("arithmetic operations", part, whole)
    return {
        "percent_supported": report.percent(good.total(), counts.total()),
        "supported_count": good.total(),
        "total_count": counts.total(),
        "supported_operators": set(supported),
        "unsupported_operators": lacking,
        "operators": sorted(counts),
        "operator_count": dict(counts),
    }


def _nodes(block: Any) -> Iterator[Any]:
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _nodes(inner)


def _log(answer: str, lines: list[str]) -> None:
    if lines:
        logger.info(
            "The following operations are currently %s in torch-neuron for this model:", answer
        )
        for line in dict.fromkeys(lines):
            logger.info("%s", line)


def _percentage(what: str, part: int, whole: int) -> None:
    share = 100 * part / whole if whole else 100.0
    logger.info("%.2f%% of %s (%d of %d) are supported", share, what, part, whole)
