"""Cuts a directed acyclic graph in convex segments, in time linear in nodes and edges."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def cut(
    sources: Sequence[Iterable[int]], member: Sequence[bool], *, wide: bool
) -> tuple[tuple[int, ...], ...]:
    """The segments of the nodes that are members, each in the order of its nodes.

    `sources` are the nodes that each node depends on, all of a lower number. Segments can run one
    after the other: no path leaves one and comes back, nor do two depend on each other. Members
    that are connected by edges are in one segment where nothing else comes between; if `wide`, so
    are members that could run at the same time.
    """
    depth = _depths(sources, member)
    leader = _Union(len(member))
    for node, before in enumerate(sources):
        if member[node]:
            for source in before:
                if member[source] and depth[source] == depth[node]:
                    leader.join(source, node)
    _sink(sources, member, leader)
    level: dict[int, int] = {}  # of a segment, by its leader
    for node, inside in enumerate(member):
        if inside:
            level[leader.of(node)] = max(level.get(leader.of(node), 0), depth[node])
    found: dict[int, list[int]] = {}
    for node, inside in enumerate(member):
        if inside:
            key = level[leader.of(node)] if wide else leader.of(node)
            found.setdefault(key, []).append(node)
    return tuple(tuple(nodes) for nodes in found.values())


def _depths(sources: Sequence[Iterable[int]], member: Sequence[bool]) -> list[int]:
    """For each node, how often the longest way to it enters members from others."""
    depth = [0] * len(member)
    for node, before in enumerate(sources):
        for source in before:
            entered = member[node] and not member[source]
            depth[node] = max(depth[node], depth[source] + entered)
    return depth


def _sink(sources: Sequence[Iterable[int]], member: Sequence[bool], leader: _Union) -> None:
    """Join a segment with the one that alone uses it: nothing else can come between the two."""
    users: list[set[int]] = [set() for _ in member]  # by the leader of a segment
    outside: set[int] = set()
    for node, before in enumerate(sources):
        for source in before:
            if member[source]:
                if member[node]:
                    users[leader.of(source)].add(node)
                else:
                    outside.add(leader.of(source))
    for segment in reversed(range(len(member))):
        if not member[segment] or leader.of(segment) != segment or segment in outside:
            continue
        using = {leader.of(user) for user in users[segment]} - {segment}
        if len(using) == 1:
            (user,) = using
            leader.join(segment, user)
            kept, gone = leader.of(user), segment + user - leader.of(user)
            users[kept] |= users[gone]
            if gone in outside:
                outside.add(kept)


class _Union:
    """Sets of nodes that are joined, each known by its first node."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def of(self, node: int) -> int:
        parent = self._parent
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    def join(self, one: int, other: int) -> None:
        first, second = sorted((self.of(one), self.of(other)))
        self._parent[second] = first
