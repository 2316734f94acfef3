"""Any program with any choice of sides computes what it does eagerly, and nothing twice."""

from __future__ import annotations

import copy
import warnings
from collections import Counter

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils import _pytree as pytree

from hlo_frontend.partition import Policy, assemble, partition, trace_graph
from tests.partition.programs import programs


def inputs(seed):
    generator = torch.Generator().manual_seed(seed)
    x, y, z = (torch.rand(4, 4, generator=generator) - 0.3 for _ in range(3))
    return x, (y, z)


def eagerly_compiled(segment):
    """What a compiler makes of a segment: something that shares no memory with its inputs."""

    class Compiled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = segment.module

        def forward(self, *tensors):
            results = self.inner(*(t.clone() for t in tensors))
            results = results if isinstance(results, tuple) else (results,)
            copied = tuple(t.clone() for t in results)
            return copied if len(copied) > 1 else copied[0]

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        return torch.jit.trace(Compiled(), segment.example_inputs, check_trace=False)


def assert_equal(actual, expected):
    actual, shape = pytree.tree_flatten(actual)
    expected, wanted = pytree.tree_flatten(expected)
    assert shape == wanted
    for a, e in zip(actual, expected, strict=True):
        assert a.dtype == e.dtype
        assert torch.equal(a, e)


def traced_program(program):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return trace_graph(program, inputs(0), strict=False)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs(), st.data())
def test_the_result_is_that_of_the_program(program, data):
    traced = traced_program(program)
    on_neuron = [data.draw(st.booleans()) for _ in traced.sites]
    least = data.draw(st.sampled_from([1, 1, 2]))
    cut = partition(traced, on_neuron, Policy(least))

    # Each operator is in one place, each tensor leaves one segment, and is computed before its use.
    places = Counter(node for part in cut.parts for node in part.nodes)
    assert set(places.values()) <= {1}
    left = Counter(unique for segment in cut.segments for unique in segment.outputs)
    assert set(left.values()) <= {1}
    for segment in cut.segments:
        assert not set(segment.outputs) & set(segment.inputs)
        assert len(set(segment.inputs)) == len(segment.inputs) == len(segment.example_inputs) > 0
        assert segment.outputs
        later = {u for s in cut.segments[segment.number :] for u in s.outputs}
        assert not later & set(segment.inputs), "a segment needs what runs after it"

    compiled = {s.number: eagerly_compiled(s) for s in cut.segments}
    for number in list(compiled):
        if data.draw(st.integers(0, 4)) == 0:
            del compiled[number]  # its compile failed
    result = assemble(cut, compiled, "_NeuronGraph#{}")
    assert [n for n, _ in result.named_children() if n.startswith("_")] == [
        f"_NeuronGraph#{number}" for number in compiled
    ]
    for seed in (0, 1):
        given_inputs, own_inputs = inputs(seed), inputs(seed)
        # Control flow that the tracer unrolled is as in the example.
        expected = copy.deepcopy(traced.module)(*own_inputs)
        with torch.no_grad():
            actual = result(*given_inputs)
        assert_equal(actual, expected)
        # What the program does to its arguments happens, too.
        assert_equal(given_inputs, own_inputs)
    assert_equal(copy.deepcopy(traced.module)(*inputs(0)), program(*inputs(0)))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs())
def test_all_that_can_be_is_on_neuron(program):
    """With everything asked for, what stays on the CPU has a reason."""
    traced = traced_program(program)
    cut = partition(traced, [True] * len(traced.sites))
    writes = any(site.kind.endswith("_") for site in traced.sites)
    reasons = {"prim::If", "aten::item", "aten::Bool", "aten::index"}
    if not writes and not reasons & {site.kind for site in traced.sites}:
        assert not cut.cpu
        assert len(cut.segments) <= 1
