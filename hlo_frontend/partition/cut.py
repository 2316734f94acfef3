"""Cuts a traced graph in segments, by where each of its operators is to run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import nn

from hlo_frontend.partition.borders import Scope, given, outputs_of, reached, scope_of
from hlo_frontend.partition.levels import Levels, Plan, Policy, Side, assign
from hlo_frontend.partition.order import effect_edges, groups_of
from hlo_frontend.partition.record import Wanted, recorded
from hlo_frontend.partition.roles import UNPACKERS, Role, Roles
from hlo_frontend.partition.segment import SegmentModule, attribute_name, steps_of, taken
from hlo_frontend.partition.traced import Site, Traced

EVERY = Policy()  # keeps every segment


@dataclass(frozen=True, slots=True)
class Part:
    """What runs between two changes of side: the nodes, how many of each kind with the constants
    and attributes they take, and how many operators that is."""

    side: Side
    nodes: tuple[int, ...]
    size: int
    kinds: dict[str, int]


@dataclass(frozen=True, slots=True)
class Segment:
    """A part that runs on Neuron: `module` takes and returns what crosses its borders, tensors
    like `example_inputs`. `inputs` and `outputs` are their numbers in the graph."""

    number: int
    module: nn.Module
    example_inputs: tuple[torch.Tensor, ...]
    sites: tuple[Site, ...]
    nodes: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Partition:
    """A graph in parts, in the order in which they run.

    `segments` are the parts on Neuron, `cpu` the operators that are in none of them.
    """

    traced: Traced
    parts: tuple[Part, ...]
    segments: tuple[Segment, ...]
    cpu: tuple[Site, ...]


def partition(traced: Traced, neuron: Sequence[bool], policy: Policy = EVERY) -> Partition:
    """Cut a graph by where each of its sites is to run: on Neuron where `neuron` has True.

    A site runs on the CPU all the same where it cannot be in a Neuron segment: control flow,
    numbers and shapes that depend on data, containers that would cross a border, memory that both
    sides would write to. Nothing but tensors crosses a border, each is computed once, and no two
    segments wait for each other. Takes time linear in the graph.
    """
    roles = traced.roles
    if len(neuron) != len(roles.sites):
        raise ValueError(
            f"partition: neuron must have an entry for each of the {len(roles.sites)} operators, "
            f"got {len(neuron)}"
        )
    chosen = {number for number, on in zip(roles.sites, neuron, strict=True) if on}
    levels = _levels(roles, chosen, policy)
    parts = _parts(roles, levels)
    homes = [part.nodes for part in parts if part.side is Side.NEURON]
    segments = _segments(traced, homes)
    inside = {number for nodes in homes for number in nodes}
    cpu = [s for s, n in zip(traced.sites, roles.sites, strict=True) if n not in inside]
    return Partition(traced, parts, segments, tuple(s for s in cpu if not s.scalar))


def _levels(roles: Roles, chosen: set[int], policy: Policy) -> Levels:
    """The levels of all nodes; a segment that takes no tensor is no segment."""
    side = [_side(roles, number, chosen) for number in range(len(roles.nodes))]
    edges = effect_edges(roles)
    preds = [
        (*{roles.producer[u] for u in roles.inputs[n] if u in roles.producer}, *edges.get(n, ()))
        for n in range(len(roles.nodes))
    ]
    size = [int(_counts(roles, number)) for number in range(len(roles.nodes))]
    free = _free(roles, preds)
    groups = groups_of(roles)
    while True:
        levels = assign(Plan(preds, side, size, free, groups), policy)
        closed = [s for s in levels.segments() if not scope_of(roles, s).inputs]
        if not closed:
            return levels
        side = list(levels.side)
        for number in chain.from_iterable(closed):
            side[number] = Side.CPU


def _counts(roles: Roles, number: int) -> bool:
    """Whether a node counts in the size of a segment."""
    return roles.role[number] is Role.WORK and roles.nodes[number].kind() not in UNPACKERS


def _side(roles: Roles, number: int, chosen: set[int]) -> Side:
    if roles.role[number] is not Role.WORK:
        return Side.EITHER
    follows = roles.nodes[number].kind() in UNPACKERS  # goes where its container is
    on_neuron = roles.capable[number] and (number in chosen or follows)
    return Side.NEURON if on_neuron else Side.CPU


def _free(roles: Roles, preds: Sequence[Sequence[int]]) -> list[bool]:
    free: list[bool] = []
    for number, needed in enumerate(preds):
        attribute = roles.role[number] is Role.ATTRIBUTE
        given_in = any(unique not in roles.producer for unique in roles.inputs[number])
        random = roles.nodes[number].isNondeterministic()
        free.append(attribute or (not given_in and not random and all(free[p] for p in needed)))
    return free


def _parts(roles: Roles, levels: Levels) -> tuple[Part, ...]:
    found: dict[tuple[int, Side], list[int]] = {}
    for number, (side, level) in enumerate(zip(levels.side, levels.level, strict=True)):
        if side is not Side.EITHER:
            found.setdefault((level, side), []).append(number)
    parts = []
    for _, side in sorted(found, key=lambda key: key[0]):
        nodes = tuple(found[_, side])
        kinds = Counter(roles.nodes[n].kind() for n in reached(roles, nodes))
        size = sum(_counts(roles, n) for n in nodes)
        parts.append(Part(side, nodes, size, dict(kinds)))
    return tuple(parts)


def _segments(traced: Traced, homes: Sequence[tuple[int, ...]]) -> tuple[Segment, ...]:
    roles = traced.roles
    needed = _needed_elsewhere(roles, homes)
    scopes = [scope_of(roles, nodes) for nodes in homes]
    values = recorded(traced, _wanted(roles, scopes))
    site_of = dict(zip(roles.sites, traced.sites, strict=True))
    segments = []
    for number, (nodes, scope) in enumerate(zip(homes, scopes, strict=True)):
        outputs = outputs_of(roles, nodes, needed)
        sites = [site_of[n] for n in reached(roles, nodes) if n in site_of]
        module = _module(traced, scope, outputs, values)
        examples = tuple(values[key].detach() for key in _keys(roles, scope))
        segments.append(
            Segment(number, module, examples, tuple(sites), nodes, tuple(scope.inputs), outputs)
        )
    return tuple(segments)


def _needed_elsewhere(roles: Roles, homes: Sequence[tuple[int, ...]]) -> set[int]:
    """The values that are needed outside the segment that computes them, were they on the CPU or
    not: a segment that cannot be compiled runs on the CPU and works out sizes there."""
    home = {number: segment for segment, nodes in enumerate(homes) for number in nodes}
    users: list[list[int]] = [[] for _ in homes]
    outside = list(roles.returned)
    for number, role in enumerate(roles.role):
        if role is Role.WORK:
            uses = users[home[number]] if number in home else outside
            uses += roles.inputs[number]
    found = set(given(roles, outside))
    for segment, uses in enumerate(users):
        found |= {u for u in given(roles, uses) if home.get(roles.producer.get(u, -1)) != segment}
    return found


def _wanted(roles: Roles, scopes: Sequence[Scope]) -> list[Wanted]:
    inputs = chain.from_iterable(_keys(roles, scope) for scope in scopes)
    scalars = ((u, None) for scope in scopes for u in scope.fixed if _is_scalar(roles, u))
    return list(dict.fromkeys([*inputs, *scalars]))


def _keys(roles: Roles, scope: Scope) -> list[Wanted]:
    written = roles.aliases.written()
    return [(u, n if roles.aliases.of(u) in written else None) for u, n in scope.inputs.items()]


def _is_scalar(roles: Roles, unique: int) -> bool:
    return roles.role[roles.producer[unique]] is Role.SCALAR


def _module(
    traced: Traced, scope: Scope, outputs: Sequence[int], values: dict[Wanted, Any]
) -> SegmentModule:
    roles = traced.roles
    fixed = {
        u: values[u, None]
        if _is_scalar(roles, u)
        else roles.nodes[roles.producer[u]].output().toIValue()
        for u in scope.fixed
    }
    weights: dict[int, tuple[str, torch.Tensor]] = {}
    for unique in scope.weights:
        name = attribute_name(roles, unique)
        value = taken(traced.module, name)
        if isinstance(value, torch.Tensor):
            weights[unique] = (name, value)
        else:
            fixed[unique] = value
    return SegmentModule(steps_of(roles, scope), tuple(scope.inputs), outputs, fixed, weights)
