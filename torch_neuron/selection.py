"""Which operators of a graph go to Neuron: those that it supports and the user wants there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hlo_frontend.partition import Site
from torch_neuron.operators import is_supported


@dataclass(frozen=True, slots=True)
class OperatorNode:
    """What a `subgraph_builder_function` is given: a node of the graph.

    `name` holds the class names of the modules around it, outermost first; all else is that of
    `torch._C.Node`: `node.kind()`, `node.inputs()`.
    """

    name: tuple[str, ...]
    node: Any

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self.node, attribute)


def choose(sites: Sequence[Site], wanted: Callable[[Any], bool] | None) -> list[bool]:
    """For each operator whether it shall be on Neuron.

    Raises TypeError where `wanted` returns something else than a bool, and what it raises.
    """
    return [
        not site.scalar and is_wanted(site, wanted) and is_supported(site.node) for site in sites
    ]


def is_wanted(site: Site, wanted: Callable[[Any], bool] | None) -> bool:
    """What the user's function says of an operator; without one, yes."""
    if wanted is None:
        return True
    try:
        answer = wanted(OperatorNode(site.classes, site.node))
    except Exception as error:
        error.add_note(f"torch_neuron.trace: subgraph_builder_function was asked about {at(site)}")
        raise
    if not isinstance(answer, bool):
        raise TypeError(
            f"torch_neuron.trace: subgraph_builder_function must return a bool, got {answer!r} "
            f"for {at(site)}"
        )
    return answer


def unsupported(sites: Sequence[Site]) -> list[Site]:
    """The operators that the compiler does not support."""
    return [site for site in sites if not site.scalar and not is_supported(site.node)]


def at(site: Site) -> str:
    """An operator and the user's line that it comes from."""
    place = site.source.splitlines()[0].strip() if site.source else ""
    return f"{site.kind} at {place}" if place else site.kind
