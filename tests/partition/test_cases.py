"""Cuts of programs with what is hard about them: sizes, lists, views, writes, control flow."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from hlo_frontend.errors import CaptureError
from hlo_frontend.partition import Policy, assemble, partition, trace_graph
from tests.partition.test_random_programs import assert_equal, eagerly_compiled


def cut(func, inputs, cpu=(), policy=None, **keywords):
    """A partition with all operators but those of some kinds on Neuron."""
    traced = trace_graph(func, inputs, **keywords)
    chosen = [site.kind not in cpu for site in traced.sites]
    return partition(traced, chosen) if policy is None else partition(traced, chosen, policy)


def put_together(made):
    compiled = {s.number: eagerly_compiled(s) for s in made.segments}
    return assemble(made, compiled, "_NeuronGraph#{}")


def check(func, inputs, cpu=(), **keywords):
    """The partition, after its module computed what the function does."""
    inputs = inputs if isinstance(inputs, tuple) else (inputs,)
    made = cut(func, copy.deepcopy(inputs), cpu, **keywords)
    with torch.no_grad():
        expected = func(*copy.deepcopy(inputs))
        assert_equal(put_together(made)(*inputs), expected)
    return made


def kinds(sites):
    return [site.kind for site in sites if not site.scalar]


class Shared(nn.Module):
    """One layer called twice, and a weight that both sides use."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.scale = nn.Parameter(torch.rand(4))

    def forward(self, x):
        return self.layer(torch.sin(self.layer(x) * self.scale)) * self.scale


def test_shared_layers_and_weights_used_on_both_sides():
    made = check(Shared(), torch.rand(2, 4), cpu={"aten::sin"})
    assert [kinds(s.sites) for s in made.segments] == [
        ["aten::linear", "aten::mul"],
        ["aten::linear", "aten::mul"],
    ]
    assert all("layer.weight" in dict(s.module.named_parameters()) for s in made.segments)


def test_only_weights_of_the_cpu_are_kept():
    model = Shared()
    result = put_together(cut(model, torch.rand(2, 4), cpu={"aten::linear"}))
    assert sorted(n for n in result.state_dict() if "Neuron" not in n) == [
        "layer.bias",
        "layer.weight",
    ]
    before = result(torch.ones(1, 4))
    nn.init.zeros_(model.layer.weight)  # the result has weights of its own
    assert torch.equal(result(torch.ones(1, 4)), before)


def test_sites_say_where_they_are():
    traced = trace_graph(nn.Sequential(Shared()), torch.rand(2, 4))
    site = traced.sites[0]
    assert (site.kind, site.classes, site.path) == (
        "aten::linear",
        ("Sequential", "Shared", "Linear"),
        "0.layer",
    )
    assert "linear.py" in site.source.splitlines()[0]
    assert "aten::linear(" in site.text
    assert [s.constants for s in traced.sites if s.kind == "aten::sin"] == [(None,)]


def test_a_border_in_the_middle_of_a_cycle():
    def diamond(x):
        a = x * 2
        return torch.sin(a) + a

    made = check(diamond, torch.rand(3), cpu={"aten::sin"})
    assert [kinds(s.sites) for s in made.segments] == [["aten::mul"], ["aten::add"]]
    assert made.segments[0].outputs == made.segments[1].inputs[-1:]  # computed once


def test_sizes_stay_sizes_on_the_cpu():
    def flattened(x):
        y = torch.sin(x) + 1
        return torch.cos(y).reshape(y.size(0), -1)

    made = cut(flattened, torch.rand(2, 3, 4), cpu={"aten::cos", "aten::reshape"})
    result = put_together(made)
    for batch in (2, 5):
        x = torch.rand(batch, 3, 4)
        assert_equal(result(x), flattened(x))


def test_a_size_that_a_segment_needs_is_fixed_there():
    def flattened(x):
        y = torch.sin(x)
        return y.reshape(y.size(0), -1) * 2

    (segment,) = check(flattened, torch.rand(2, 3, 4), cpu={"aten::sin"}).segments
    assert {s.kind for s in segment.sites if s.scalar} == {"aten::size", "aten::Int"}
    assert len(segment.inputs) == 1


def test_a_failed_segment_works_out_sizes_on_the_cpu():
    def flattened(x):
        y = x * 2
        z = torch.sin(y)
        return z.reshape(y.size(0), -1) + 1

    made = cut(flattened, torch.rand(2, 3, 4), cpu={"aten::sin"})
    first, _ = made.segments
    result = assemble(made, {0: eagerly_compiled(first)}, "_NeuronGraph#{}")
    x = torch.rand(5, 3, 4)
    assert_equal(result(x), flattened(x))


@torch.jit.script
def scripted_parts(x: torch.Tensor) -> torch.Tensor:
    return torch.cat(torch.split(x * 2, 2, 1))


def test_lists_cross_no_border():
    def in_parts(x):
        first, second = torch.split(x * 2, 2, 1)
        return torch.cat([torch.sin(first), second])

    made = check(in_parts, torch.rand(3, 4), cpu={"aten::sin"})
    assert all(t.shape == (3, 2) for s in made.segments[1:] for t in s.example_inputs)
    # What takes the list as it is, on the CPU, takes the split along.
    made = check(scripted_parts, torch.rand(3, 4), cpu={"aten::cat"})
    assert kinds(made.cpu) == ["aten::split", "aten::cat"]
    assert [kinds(s.sites) for s in made.segments] == [["aten::mul"]]
    assert not check(scripted_parts, torch.rand(3, 4)).cpu


def test_nested_arguments_and_results():
    def nested(x, more):
        y = x + more["a"][0]
        return {"sum": y, "other": torch.sin(y) * more["a"][1]}

    inputs = torch.rand(3), {"a": (torch.rand(3), torch.rand(3))}
    check(nested, inputs, cpu={"aten::sin"}, strict=False)

    def named(x, y=None, *, scale=2):
        return (x, [y * scale, torch.cos(x)])

    result = put_together(cut(named, (torch.rand(3), torch.rand(3)), strict=False))
    arguments = result._c._get_method("forward").schema.arguments
    assert [a.name for a in arguments] == ["self", "x", "y"]
    assert_equal(result(x=torch.ones(3), y=torch.ones(3)), named(torch.ones(3), torch.ones(3)))


def test_updates_in_place_on_neuron():
    def written(x):
        y = x * 2
        y[0] = 7
        return torch.relu(y)

    made = check(written, torch.rand(3, 4))
    assert not made.cpu
    assert len(made.segments) == 1


def test_updates_in_place_across_a_border():
    def written(x):
        y = x * 2
        y[0] = 7
        y[1] = torch.sin(y)[0]
        return torch.relu(y)

    made = check(written, torch.rand(3, 4), cpu={"aten::sin"})
    views_and_writes = ["aten::select", "aten::fill_", "aten::select", "aten::copy_"]
    assert sorted(kinds(made.cpu)) == sorted([*views_and_writes, "aten::sin"])
    made = check(written, torch.rand(3, 4), cpu={"aten::fill_"})
    assert kinds(made.cpu) == views_and_writes  # they share memory; what reads it does not


def test_updates_of_arguments_reach_the_caller():
    def counted(x):
        x.add_(1)
        return x * 2

    made = check(counted, torch.rand(3))
    assert kinds(made.cpu) == ["aten::add_"]
    x = torch.zeros(3)
    put_together(made)(x)
    assert x.tolist() == [1, 1, 1]


def test_a_view_that_is_written_to_later():
    def program(x):
        y = x * 2
        rows = y.t()
        y.add_(torch.sin(x))
        return rows * 1

    check(program, torch.rand(3, 3), cpu={"aten::sin"})
    check(program, torch.rand(3, 3), cpu={"aten::add_"})
    check(program, torch.rand(3, 3), cpu={"aten::t"})


def test_a_shape_that_is_changed_in_place():
    def program(x, y):
        z = x * 2
        same = z.view(3, 4)
        z.unsqueeze_(0)
        return z.size(0) + y * same.sum(), z.size()[1] * y

    for cpu in ({"aten::mul"}, {"aten::view"}, {"aten::sum"}, set()):
        check(program, (torch.rand(3, 4), torch.rand(2)), cpu=cpu)


@torch.jit.script
def scripted(x: torch.Tensor, limit: float) -> torch.Tensor:
    while bool(x.sum() < limit):
        x = x * 2
    return x


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if bool(x.sum() > 0):  # noqa: SIM108 - TorchScript
            y = self.up(x)
        else:
            y = self.down(x)
        return y


def test_control_flow_stays():
    def program(x):
        return scripted(torch.sin(x) + 2, 100.0) * 2

    made = check(program, torch.rand(3))
    assert "prim::Loop" in kinds(made.cpu)
    result = put_together(made)
    for x in (torch.rand(3), torch.rand(3) * 100):
        assert_equal(result(x), program(x))

    model = nn.Sequential(nn.Linear(4, 4), torch.jit.script(Branching()), nn.ReLU()).eval()
    made = cut(model, torch.rand(2, 4))
    assert [site.kind for site in made.cpu if site.kind.startswith("prim::")] == ["prim::If"]
    result = put_together(made)
    with torch.no_grad():
        for x in (torch.rand(2, 4) * 9, torch.rand(2, 4) * -9):
            assert_equal(result(x), model(x))


def test_numbers_and_shapes_that_depend_on_data_stay():
    def number(x):
        return x * float(torch.sin(x).sum())

    made = cut(number, torch.rand(3))
    assert "aten::mul" in [k for s in made.segments for k in kinds(s.sites)] + kinds(made.cpu)

    def places(x):
        found = torch.sin(x).nonzero()
        return found + torch.zeros(found.shape[0], 1)

    made = cut(places, torch.ones(3))
    assert [kinds(s.sites) for s in made.segments] == [["aten::sin"]]
    result = put_together(made)
    x = torch.tensor([1.0, 0.0, 2.0])
    assert_equal(result(x), places(x))

    def mask(x):
        return x[torch.sin(x) > 0.5] * 2

    made = cut(mask, torch.rand(5))
    assert kinds(made.cpu) == ["aten::index", "aten::mul"]


class Picking(nn.Module):
    """Takes places out of its input, which a buffer lists, or is a mask of."""

    def __init__(self, places):
        super().__init__()
        self.register_buffer("places", places)

    def forward(self, x):
        return x[:, self.places] * 2


def test_places_in_a_buffer_and_a_mask():
    assert not check(Picking(torch.tensor([2, 0])), torch.rand(2, 3)).cpu
    made = check(Picking(torch.tensor([True, False, True])), torch.rand(2, 3))
    assert kinds(made.cpu) == ["aten::index", "aten::mul"]


def test_a_segment_without_inputs_is_none():
    made = check(lambda x: (torch.zeros(3) + 1, torch.sin(x)), torch.rand(2), cpu={"aten::sin"})
    assert not made.segments
    assert kinds(made.cpu) == ["aten::zeros", "aten::add", "aten::sin"]


def test_memory_that_is_looked_at():
    def strided(x):
        return (x * 1).t().as_strided((2, 2), (1, 2)) + 1

    check(strided, torch.rand(3, 4), cpu={"aten::t"})
    check(strided, torch.rand(3, 4), cpu={"aten::as_strided"})


def test_functions_methods_and_modules():
    layer = nn.Linear(4, 4)
    for func in (layer, layer.forward, lambda x: layer(x)):
        (segment,) = check(func, torch.rand(2, 4)).segments
        assert len(list(segment.module.parameters())) == 2


def test_nothing_on_neuron():
    made = check(torch.sin, torch.rand(3), cpu={"aten::sin"})
    assert not made.segments
    assert len(made.parts) == 1


def test_policies_reach_the_cut():
    def program(x):
        return torch.cos(torch.sin(x * 2 + 1)) * 3

    made = cut(program, torch.rand(3), cpu={"aten::sin"}, policy=Policy(minimum_segment_size=3))
    assert not made.segments
    made = cut(program, torch.rand(3), cpu={"aten::cos"}, policy=Policy(2))
    assert [kinds(s.sites) for s in made.segments] == [["aten::mul", "aten::add", "aten::sin"]]


def test_wrong_arguments():
    traced = trace_graph(torch.sin, torch.rand(3))
    with pytest.raises(ValueError, match="an entry for each of the 1 operators, got 2"):
        partition(traced, [True, False])
    with pytest.raises(ValueError, match="not a program"):
        trace_graph(lambda x: (_ for _ in ()).throw(ValueError("not a program")), torch.rand(3))


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x * self.calls


def test_scripted_state_is_refused():
    with pytest.raises(CaptureError, match=r"assign their attributes, got .*prim::SetAttr"):
        trace_graph(nn.Sequential(torch.jit.script(Counting())), torch.rand(3))
