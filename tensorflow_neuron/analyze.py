"""`tensorflow.neuron.analyze_model`: which operators of a model Neuron supports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any


def analyze_model(func: Callable[..., Any], example_inputs: Any) -> dict[str, Any]:
    """Trace a model without compiling it; say, and print, what of it Neuron supports.

    The result has `percent_supported`, `supported_count`, `total_count`, `supported_operators` (a
    set), `unsupported_operators` and `operators` (sorted lists), `operator_count` (a dict).
    Source: AWS Neuron documentation, TensorFlow 2.x analyze_model API.
    """
    from hlo_frontend.graphdef.freeze import UNCOUNTED, freeze
    from hlo_frontend.graphdef.partition import compiles
    from tensorflow_neuron.signature import concrete_function

    frozen = freeze(concrete_function(func, example_inputs).function)
    nodes = [n for n in frozen.graph.nodes if n.op not in UNCOUNTED and n.op != "Const"]
    count = Counter(node.op for node in nodes)
    supported = [node for node in nodes if compiles(frozen.graph, node)]
    unsupported = sorted({n.op for n in nodes} - {n.op for n in supported})
    percent = 100 * len(supported) / len(nodes) if nodes else 0.0
    found = {
        "percent_supported": percent,
        "supported_count": len(supported),
        "total_count": len(nodes),
        "supported_operators": {node.op for node in supported},
        "unsupported_operators": unsupported,
        "operators": sorted(count),
        "operator_count": dict(count),
    }
    _print(found)
    return found


def _print(found: dict[str, Any]) -> None:
    count = found["operator_count"]
    for title, names in (
        ("supported", sorted(found["supported_operators"])),
        ("unsupported", found["unsupported_operators"]),
    ):
        print(f"\nThe following operations are {title} (operator, count):")
        for name in names:
            print(f"    {name}: {count[name]}")
    print(
        f"\n{found['percent_supported']:.2f}% of all operations "
        f"({found['supported_count']} of {found['total_count']}) are supported"
    )
