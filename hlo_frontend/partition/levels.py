"""Cuts a graph of numbered nodes in segments of one side each, without a cycle between segments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum


class Side(Enum):
    """Where a node runs; EITHER is repeated wherever its result is needed, as constants are."""

    NEURON = "neuron"
    CPU = "cpu"
    EITHER = "either"


@dataclass(frozen=True, slots=True)
class Policy:
    """Which Neuron segments are worth their borders.

    `minimum_segment_size`: segments with fewer operators run on the CPU.
    `single_fusion_ratio_threshold`: where one segment holds more than this fraction of the
    operators on Neuron, the others run on the CPU.
    """

    minimum_segment_size: int = 1
    single_fusion_ratio_threshold: float = 1.0


@dataclass(frozen=True, slots=True)
class Group:
    """Nodes that must be in one Neuron segment; where they cannot be, `fallback` run on the CPU."""

    members: tuple[int, ...]
    fallback: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The nodes of a graph, each after those it needs (`preds`, all of smaller numbers).

    `side` is what is asked for, `size` how much each node counts in a segment, `free` whether a
    node needs none of the graph's inputs, so that it may run as late as its first use.
    """

    preds: Sequence[Sequence[int]]
    side: Sequence[Side]
    size: Sequence[int]
    free: Sequence[bool]
    groups: Sequence[Group] = ()


@dataclass(frozen=True, slots=True)
class Levels:
    """The side each node got, and its level: nodes of one level have one side and are a segment,
    and need only nodes of their own and of smaller levels. EITHER nodes have level -1.
    """

    side: tuple[Side, ...]
    level: tuple[int, ...]

    def segments(self) -> list[list[int]]:
        """The nodes of each Neuron segment, in the order in which segments run."""
        found: dict[int, list[int]] = {}
        for node, (side, level) in enumerate(zip(self.side, self.level, strict=True)):
            if side is Side.NEURON:
                found.setdefault(level, []).append(node)
        return [found[level] for level in sorted(found)]


def assign(plan: Plan, policy: Policy) -> Levels:
    """The segments of a graph. A node asked for Neuron runs there unless a group or the policy
    sends it to the CPU; one asked for the CPU runs on the CPU.

    The number of segments is that of the changes of side on the longest path, so it is the least
    that this assignment of sides allows. Takes time linear in nodes and edges, once for each
    time that the policy sends segments to the CPU.
    """
    sides = list(plan.side)
    while True:
        levels = _levels(plan, sides)
        refused = _too_small(plan, levels, policy) or _dwarfed(plan, levels, policy)
        if not refused:
            return levels
        sides = list(levels.side)
        for node in refused:
            sides[node] = Side.CPU


def _too_small(plan: Plan, levels: Levels, policy: Policy) -> list[int]:
    segments = levels.segments()
    sizes = [sum(plan.size[node] for node in segment) for segment in segments]
    least = policy.minimum_segment_size
    return [n for s, size in zip(segments, sizes, strict=True) if size < least for n in s]


def _dwarfed(plan: Plan, levels: Levels, policy: Policy) -> list[int]:
    segments = levels.segments()
    sizes = [sum(plan.size[node] for node in segment) for segment in segments]
    if len(sizes) < 2 or max(sizes) <= policy.single_fusion_ratio_threshold * sum(sizes):
        return []
    largest = sizes.index(max(sizes))
    return [n for number, s in enumerate(segments) if number != largest for n in s]


def _levels(plan: Plan, sides: list[Side]) -> Levels:
    whole = _contracted(plan, sides)
    best = min(
        (_leveled(whole, first) for first in (Side.NEURON, Side.CPU)),
        key=lambda levels: _count(whole, levels),
    )
    of_node = [best[whole.place[node]] for node in range(len(sides))]
    level = [-1 if side is Side.EITHER else of_node[n] for n, side in enumerate(sides)]
    return Levels(tuple(sides), tuple(level))


def _count(whole: _Contracted, levels: list[int]) -> tuple[int, int]:
    used = {(side, level) for side, level in zip(whole.side, levels, strict=True)}
    neuron = sum(side is Side.NEURON for side, _ in used)
    return neuron, sum(side is not Side.EITHER for side, _ in used)


@dataclass(frozen=True, slots=True)
class _Contracted:
    """A graph of sets of nodes, in topological order: `place` is the set of each node."""

    place: Sequence[int]
    preds: Sequence[Sequence[int]]
    side: Sequence[Side]
    free: Sequence[bool]


def _contracted(plan: Plan, sides: list[Side]) -> _Contracted:
    """The graph with each group as one node; groups that would form a cycle are dissolved."""
    groups = list(plan.groups)
    while True:
        groups = _hold(groups, sides)
        place, members = _joined(len(sides), groups)
        needs = [[place[p] for node in nodes for p in plan.preds[node]] for nodes in members]
        components = [[n for s in c for n in members[s]] for c in _components(needs)]
        several = [c for c in components if len(c) > 1]
        broken = {n for c in several if any(sides[m] is Side.CPU for m in c) for n in c}
        if not broken:
            return _ordered(plan, sides, components)
        for group in groups:
            if group.members[0] in broken:
                _to_cpu(group.fallback, sides)


def _to_cpu(nodes: Iterable[int], sides: list[Side]) -> None:
    for node in nodes:
        sides[node] = Side.CPU


def _hold(groups: Sequence[Group], sides: list[Side]) -> list[Group]:
    """The groups that can be on Neuron. One that cannot takes those it shares nodes with along."""
    of_node: dict[int, list[Group]] = {}
    for group in groups:
        for node in group.members:
            of_node.setdefault(node, []).append(group)
    failed: set[Group] = set()
    waiting = [g for g in groups if any(sides[n] is not Side.NEURON for n in g.members)]
    while waiting:
        group = waiting.pop()
        if group in failed:
            continue
        failed.add(group)
        _to_cpu(group.fallback, sides)
        waiting += [g for node in group.fallback for g in of_node.get(node, ()) if g not in failed]
    return [group for group in groups if group not in failed]


def _joined(count: int, groups: Sequence[Group]) -> tuple[list[int], list[list[int]]]:
    """The set of every node, and the nodes of every set: those of one group, or one alone."""
    parent = list(range(count))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for group in groups:
        for node in group.members[1:]:
            parent[root(node)] = root(group.members[0])
    numbers: dict[int, int] = {}
    place = [numbers.setdefault(root(node), len(numbers)) for node in range(count)]
    members: list[list[int]] = [[] for _ in numbers]
    for node, number in enumerate(place):
        members[number].append(node)
    return place, members


def _components(needs: Sequence[Sequence[int]]) -> list[list[int]]:
    """The strongly connected components of a graph, those that a component needs before it.

    Tarjan's algorithm with a stack of its own: graphs are deeper than Python's.
    """
    number, lowest = [-1] * len(needs), [-1] * len(needs)
    waiting: list[int] = []
    is_waiting = [False] * len(needs)
    found: list[list[int]] = []
    work: list[tuple[int, Iterator[int]]] = []
    count = 0
    for start in range(len(needs)):
        enter = start if number[start] < 0 else -1
        while enter >= 0 or work:
            if enter >= 0:
                number[enter] = lowest[enter] = count
                count += 1
                waiting.append(enter)
                is_waiting[enter] = True
                work.append((enter, iter(needs[enter])))
            here, needed = work[-1]
            enter = -1
            for there in needed:
                if number[there] < 0:
                    enter = there
                    break
                if is_waiting[there]:
                    lowest[here] = min(lowest[here], number[there])
            if enter >= 0:
                continue
            work.pop()
            if work:
                lowest[work[-1][0]] = min(lowest[work[-1][0]], lowest[here])
            if lowest[here] == number[here]:
                found.append(_popped(waiting, is_waiting, here))
    return found


def _popped(waiting: list[int], is_waiting: list[bool], last: int) -> list[int]:
    """What is on a stack down to `last`, taken from it."""
    taken: list[int] = []
    while not taken or taken[-1] != last:
        taken.append(waiting.pop())
        is_waiting[taken[-1]] = False
    return taken


def _ordered(plan: Plan, sides: Sequence[Side], components: Sequence[Sequence[int]]) -> _Contracted:
    place = [0] * len(sides)
    for number, members in enumerate(components):
        for node in members:
            place[node] = number
    preds = [
        sorted({place[p] for node in members for p in plan.preds[node]} - {number})
        for number, members in enumerate(components)
    ]
    # A component of several is of Neuron nodes and what may be on either side.
    side = [
        Side.NEURON if any(sides[n] is Side.NEURON for n in members) else sides[members[0]]
        for members in components
    ]
    free = [all(plan.free[node] for node in members) for members in components]
    return _Contracted(place, preds, side, free)


def _leveled(whole: _Contracted, first: Side) -> list[int]:
    """The least level of each set, where levels of the two sides take turns from `first` on."""
    base = {Side.NEURON: int(first is Side.CPU), Side.CPU: int(first is Side.NEURON)}
    # By the side of who needs a set: the least level that it can have.
    after: list[tuple[int, int]] = []
    levels: list[int] = []
    for side, preds in zip(whole.side, whole.preds, strict=True):
        neuron = max((after[p][0] for p in preds), default=0)
        cpu = max((after[p][1] for p in preds), default=0)
        neuron, cpu = max(neuron, base[Side.NEURON]), max(cpu, base[Side.CPU])
        level = {Side.NEURON: neuron, Side.CPU: cpu, Side.EITHER: -1}[side]
        levels.append(level)
        after.append(
            {
                Side.NEURON: (level, level + 1),
                Side.CPU: (level + 1, level),
                Side.EITHER: (neuron, cpu),
            }[side]
        )
    return _sunk(whole, levels)


def _sunk(whole: _Contracted, levels: list[int]) -> list[int]:
    """Levels with each free Neuron set at the level of its first use, where it is no segment more
    and no border."""
    never = len(levels) + 2
    limits = [(never, never)] * len(levels)  # for a set on Neuron, on the CPU
    levels = list(levels)
    for n in reversed(range(len(levels))):
        side, limit = whole.side[n], limits[n][0]
        if side is Side.NEURON and whole.free[n] and limit < never:
            levels[n] = limit
        here = {
            Side.NEURON: (levels[n], levels[n] - 1),
            Side.CPU: (levels[n] - 1, levels[n]),
            Side.EITHER: limits[n],
        }[side]
        for p in whole.preds[n]:
            limits[p] = (min(limits[p][0], here[0]), min(limits[p][1], here[1]))
    return levels
