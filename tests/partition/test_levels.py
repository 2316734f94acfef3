"""The cut of a graph of numbered nodes: sides, cycles, groups, policies."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st

from hlo_frontend.partition.levels import Group, Plan, Policy, Side, assign

N, C, E = Side.NEURON, Side.CPU, Side.EITHER
EVERY = Policy()


def plan(preds, side, free=None, groups=()):
    size = [int(s is not E) for s in side]
    return Plan(preds, side, size, free or [False] * len(side), groups)


def chain(sides):
    return plan([[n - 1] if n else [] for n in range(len(sides))], sides)


def test_a_chain_is_cut_where_the_side_changes():
    levels = assign(chain([N, N, C, N, C, C, N]), EVERY)
    assert levels.segments() == [[0, 1], [3], [6]]


def test_branches_of_one_side_are_one_segment():
    # Two Neuron branches from one input, joined on Neuron, beside an operator on the CPU.
    levels = assign(plan([[], [], [], [0, 1], [2, 3]], [N, N, C, N, N]), EVERY)
    assert levels.segments() == [[0, 1, 3, 4]]


def test_a_cycle_between_segments_is_cut():
    # 0 → 1 (CPU) → 2, and 0 → 2: in one segment it would wait for the CPU, which waits for it.
    levels = assign(plan([[], [0], [0, 1]], [N, C, N]), EVERY)
    assert levels.segments() == [[0], [2]]


def test_what_is_repeated_joins_no_sides():
    levels = assign(plan([[], [0], [1]], [N, E, N]), EVERY)
    assert levels.segments() == [[0, 2]]
    assert levels.level[1] == -1


def test_a_small_segment_goes_to_the_cpu_and_its_neighbours_join():
    sides = [N, N, C, N, C, N, N]
    assert assign(chain(sides), Policy(2)).segments() == [[0, 1], [5, 6]]
    # Between the two, the first operator no longer makes a border.
    levels = assign(chain([C, N, C, N, N]), Policy(2))
    assert levels.segments() == [[3, 4]]
    assert len(set(levels.level[:3])) == 1


def test_one_segment_that_holds_most_is_kept_alone():
    sides = [N] * 7 + [C] + [N] * 3
    assert len(assign(chain(sides), Policy(1, 0.6)).segments()) == 1
    assert len(assign(chain(sides), Policy(1, 0.7)).segments()) == 2
    assert len(assign(chain(sides), Policy(1, 1.0)).segments()) == 2


def test_free_nodes_run_where_they_are_first_used():
    # A mask that needs no input is not a segment of its own before the CPU's.
    levels = assign(plan([[], [], [0, 1]], [N, C, N], free=[True, False, False]), EVERY)
    assert levels.segments() == [[0, 2]]


def test_a_group_stays_together_or_goes_to_the_cpu():
    group = (Group((0, 2), (2,)),)
    # Node 1 on the CPU lies between the members: only the fallback leaves Neuron.
    levels = assign(plan([[], [0], [1]], [N, C, N], groups=group), EVERY)
    assert levels.side == (N, C, C)
    # Node 1 on Neuron: all of them are one segment.
    levels = assign(plan([[], [0], [1]], [N, N, N], groups=group), EVERY)
    assert levels.segments() == [[0, 1, 2]]
    # One member on the CPU.
    levels = assign(plan([[], [0], [1]], [C, N, N], groups=group), EVERY)
    assert levels.side == (C, N, C)


def test_groups_that_share_a_node_fall_together():
    groups = (Group((0, 1), (0, 1)), Group((1, 2), (1, 2)), Group((2, 3), (2, 3)))
    levels = assign(plan([[], [], [], []], [N, N, N, C], groups=groups), EVERY)
    assert levels.side == (C, C, C, C)


@st.composite
def plans(draw):
    count = draw(st.integers(4, 40))
    preds = [
        sorted(draw(st.sets(st.integers(0, n - 1), max_size=3))) if n else [] for n in range(count)
    ]
    side = [draw(st.sampled_from([N, N, C, E])) for _ in range(count)]
    numbers = st.lists(st.integers(0, count - 1), min_size=2, max_size=4, unique=True)
    groups = []
    for members in draw(st.lists(numbers, max_size=3)):
        work = tuple(n for n in members if side[n] is not E)
        if work:
            groups.append(Group(tuple(members), work))
    free: list[bool] = []
    for needed in preds:
        free.append(all(free[p] for p in needed) and draw(st.booleans()))
    return plan(preds, side, free, groups)


@settings(max_examples=400, deadline=None)
@given(plans(), st.integers(1, 4), st.sampled_from([0.3, 0.6, 1.0]))
def test_any_graph_is_cut_without_a_cycle(given_plan, least, ratio):
    levels = assign(given_plan, Policy(least, ratio))
    # What one node needs, through anything that is repeated, has been computed before it.
    reach: list[set[int]] = []
    for n, needed in enumerate(given_plan.preds):
        direct = {p for p in needed if given_plan.side[p] is not E}
        reach.append(direct.union(*(reach[p] for p in needed if given_plan.side[p] is E)))
        if given_plan.side[n] is E:
            assert levels.side[n] is E and levels.level[n] == -1
            continue
        assert given_plan.side[n] is N or levels.side[n] is C, "the CPU is an order"
        for p in reach[n]:
            assert levels.level[p] <= levels.level[n]
            assert levels.side[p] is levels.side[n] or levels.level[p] < levels.level[n]
    segments = levels.segments()
    assert all(len(segment) >= least for segment in segments)
    if len(segments) > 1:
        total = sum(map(len, segments))
        assert max(map(len, segments)) <= ratio * total
    home = {n: number for number, segment in enumerate(segments) for n in segment}
    for group in given_plan.groups:
        together = len({home.get(n, -1 - n) for n in group.members}) == 1
        assert together or all(levels.side[n] is C for n in group.fallback)


@settings(max_examples=200, deadline=None)
@given(plans())
def test_nothing_leaves_neuron_without_a_reason(given_plan):
    ungrouped = plan(given_plan.preds, given_plan.side)
    assert assign(ungrouped, EVERY).side == tuple(given_plan.side)


def test_depth_and_time():
    def seconds(count):
        sides = [N if n % 7 else C for n in range(count)]
        preds = [[n - 1, n // 2] if n else [] for n in range(count)]
        start = time.perf_counter()
        assign(plan(preds, sides), Policy(2))
        return time.perf_counter() - start

    assert seconds(40_000) < 20 * max(seconds(10_000), 0.05)
