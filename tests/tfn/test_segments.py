"""Segments of a graph: no path leaves one and comes back, and cutting takes linear time."""

import gc
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from hlo_frontend.graphdef.segments import cut


@st.composite
def graphs(draw):
    count = draw(st.integers(1, 14))
    sources = [draw(st.lists(st.integers(0, n - 1), max_size=3)) if n else [] for n in range(count)]
    return sources, draw(st.lists(st.booleans(), min_size=count, max_size=count))


def _reaches(edges):
    """For each node of a graph, all that depend on it; None where it depends on itself."""
    found = {node: set(users) for node, users in edges.items()}
    for _ in edges:
        for users in found.values():
            users |= set().union(*(found[u] for u in users))
    return found


@settings(max_examples=300, deadline=None)
@given(graphs(), st.booleans())
def test_segments_can_run_one_after_the_other(graph, wide):
    sources, member = graph
    segments = cut(sources, member, wide=wide)
    inside = [node for segment in segments for node in segment]
    assert sorted(inside) == [n for n, yes in enumerate(member) if yes]
    home = {node: ("segment", s) for s, nodes in enumerate(segments) for node in nodes}
    edges = {home.get(n, n): set() for n in range(len(member))}
    for node, before in enumerate(sources):
        for source in before:
            if home.get(source, source) != home.get(node, node):
                edges[home.get(source, source)].add(home.get(node, node))
    assert all(node not in users for node, users in _reaches(edges).items())


def test_what_is_connected_is_one_segment():
    chain = [[], [0], [1], [2], [3]]
    assert cut(chain, [True] * 5, wide=False) == ((0, 1, 2, 3, 4),)
    assert cut(chain, [True, True, False, True, True], wide=False) == ((0, 1), (3, 4))


def test_a_side_branch_joins_the_segment_that_uses_it():
    #  0 -> 1 (outside) -> 3 <- 2
    assert cut([[], [0], [], [1, 2]], [True, False, True, True], wide=False) == ((0,), (2, 3))


def test_wide_segments_hold_what_could_run_at_the_same_time():
    sources, member = [[], [], [0], [1]], [True] * 4
    assert cut(sources, member, wide=False) == ((0, 2), (1, 3))
    assert cut(sources, member, wide=True) == ((0, 1, 2, 3),)


def test_cutting_takes_linear_time():
    def seconds(count):
        sources = [[n - k for k in (1, 2, 7) if n >= k] for n in range(count)]
        member = [n % 10 != 0 for n in range(count)]
        # What the collector finds in the rest of the process, and others' work, do not count.
        gc.disable()
        try:
            start = time.process_time()
            cut(sources, member, wide=True)
            return time.process_time() - start
        finally:
            gc.enable()

    small = min(seconds(4_000) for _ in range(3))
    assert min(seconds(40_000) for _ in range(2)) < 40 * small
