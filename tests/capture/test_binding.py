"""What the parameters of a captured module are bound to."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from hlo_frontend.capture import Input, State, Weight, capture
from hlo_frontend.errors import CaptureError
from hlo_frontend.hlo.module import Alias
from hlo_frontend.hlo.proto import read_module, write_module
from tests.capture.judged import check, run

X = torch.randn(4, 8)


class Cached(nn.Module):
    """Writes a row of its cache at each call."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.register_buffer("cache", torch.zeros(4, 8))

    def forward(self, x: torch.Tensor, position: torch.Tensor) -> Any:
        self.cache.index_copy_(0, position, self.linear(x))
        return self.cache.sum(), self.cache


def names(captured: Any) -> list[str]:
    return [p.name for p in captured.parameters]


def test_weights_are_the_models_own_storage() -> None:
    model = nn.Sequential(nn.Linear(8, 3), nn.Linear(3, 2))
    captured = capture(model, X)
    assert captured.parameters[0] == Input(0, "input")
    assert names(captured) == ["input", "0.weight", "0.bias", "1.weight", "1.bias"]
    for parameter, tensor in zip(captured.parameters[1:], model.parameters(), strict=True):
        assert isinstance(parameter, Weight)
        assert parameter.tensor.data_ptr() == tensor.data_ptr()


def test_inputs_come_first_in_their_order_and_unused_ones_are_no_parameters() -> None:
    captured = capture(lambda a, b, c: (c * 2, a @ torch.ones(8)), (X, X, X))
    assert captured.parameters == (Input(0, "a"), Input(2, "c"))
    assert [s.name for s in captured.inputs] == ["a", "b", "c"]
    assert len(captured.module.entry.parameters) == 2


@pytest.mark.filterwarnings("ignore:capture. the callable updates cache")
def test_shapes_of_parameters_are_those_of_what_they_are_bound_to() -> None:
    captured = capture(Cached().eval(), (X[:1], torch.tensor([2])))
    entry = captured.module.entry
    for position, parameter in zip(entry.parameters, captured.parameters, strict=True):
        shape = entry.instructions[position].shape
        if isinstance(parameter, Input):
            spec = captured.inputs[parameter.index]
            assert (shape.dtype, shape.dims) == (spec.dtype, spec.dims)
        else:
            assert shape.dims == tuple(parameter.tensor.shape)


def test_tied_weights_are_one_parameter() -> None:
    embedding, head = nn.Embedding(8, 4), nn.Linear(4, 8, bias=False)
    head.weight = embedding.weight
    assert names(capture(nn.Sequential(embedding, head), torch.tensor([1, 2]))) == [
        "input",
        "0.weight",
    ]
    same_memory = nn.Linear(4, 8, bias=False)
    same_memory.weight = nn.Parameter(embedding.weight.data)
    assert names(capture(nn.Sequential(embedding, same_memory), torch.tensor([1]))) == [
        "input",
        "0.weight",
    ]


def test_names_of_what_a_callable_reaches() -> None:
    model, shift = nn.Linear(8, 3), torch.ones(3)
    assert names(capture(lambda x: model(x) + shift, X)) == [
        "x",
        "model.weight",
        "model.bias",
        "constant_0",
    ]
    assert names(capture(model.forward, X)) == ["input", "weight", "bias"]

    class Wrapper:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __call__(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x)

    assert names(capture(Wrapper(model), X))[1:] == ["inner.weight", "inner.bias"]
    assert names(capture(Wrapper(lambda x: model(x)), X))[1:] == ["model.weight", "model.bias"]


def test_unregistered_tensor_of_a_module_is_named_by_its_attribute() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.ones(8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.scale

    assert names(capture(nn.Sequential(Scaled()), X)) == ["input", "0.scale"]


def test_what_the_program_makes_is_a_constant_and_large_ones_are_weights() -> None:
    captured = check(lambda x: x + torch.tensor([1.0] * 8), X)
    assert names(captured) == ["x"]
    opcodes = [i.opcode for i in captured.module.entry.instructions]
    assert "constant" in opcodes
    captured = check(lambda x: x + torch.tensor([1.0] * 20000).sum(), X)
    assert names(captured) == ["x", "constant_0"]


def test_weights_that_are_not_contiguous() -> None:
    weight = torch.randn(8, 6).t()[::2]
    captured = check(lambda x: x @ weight.t(), X)
    assert captured.parameters[1].tensor.stride() == weight.stride()


def test_state_is_aliased_to_its_output() -> None:
    model = Cached().eval()
    inputs = (X[:1], torch.tensor([2]))
    captured = check(model, inputs, input_output_aliases={model.cache: 1})
    (number,) = (n for n, p in enumerate(captured.parameters) if isinstance(p, State))
    assert captured.parameters[number] == State("cache", model.cache, 1)
    assert captured.module.aliases == (Alias((1,), number),)
    assert read_module(write_module(captured.module)).aliases == captured.module.aliases


def test_state_that_is_only_written_is_a_parameter() -> None:
    class Written(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("last", torch.zeros(4, 8))

        def forward(self, x: torch.Tensor) -> Any:
            self.last.copy_(x)
            return x.sum(), self.last

    model = Written()
    captured = check(model, X, input_output_aliases={model.last: 1})
    assert captured.parameters[1] == State("last", model.last, 1)
    assert len(captured.module.entry.parameters) == 2


def test_state_may_be_a_tensor_of_a_closure() -> None:
    total = torch.zeros(4, 8)
    captured = capture(lambda x: total + x, X, input_output_aliases={total: 0})
    assert captured.parameters[1] == State("constant_0", total, 0)


MODEL = Cached().eval()
ALIASES: dict[str, tuple[Any, type[Exception], str]] = {
    "range": ({MODEL.cache: 2}, ValueError, r"output of 'cache' must be one of 2 .*, got 2"),
    "negative": ({MODEL.cache: -1}, ValueError, r"must be one of 2 outputs \(0 to 1\), got -1"),
    "shape": ({MODEL.cache: 0}, ValueError, r"'cache' and output 0 must have one shape and dtype"),
    "unused": ({torch.zeros(4, 8): 1}, ValueError, r"must be a tensor that the callable holds"),
    "input": ({X: 1}, ValueError, r"must be a tensor that the callable holds"),
    "key": ({"cache": 1}, TypeError, r"must map tensors to the index of an output, got str to 1"),
    "value": ({MODEL.cache: "1"}, TypeError, r"got \w+ to '1'"),
}


@pytest.mark.parametrize("name", ALIASES)
def test_bad_alias_is_named(name: str) -> None:
    aliases, kind, message = ALIASES[name]
    with pytest.raises(kind, match=f"input_output_aliases: .*{message}"):
        capture(MODEL, (X[:1], torch.tensor([2])), input_output_aliases=aliases)


def test_value_of_state_is_not_known() -> None:
    total = torch.zeros(4, 8)

    def program(x: torch.Tensor) -> torch.Tensor:
        return total + x if total.sum() == 0 else x

    capture(program, X)
    with pytest.raises(CaptureError, match="depends on 'constant_0', which the program updates"):
        capture(program, X, input_output_aliases={total: 0})


@pytest.mark.filterwarnings("ignore:capture")
def test_update_that_another_view_would_see_is_refused() -> None:
    whole = torch.zeros(4, 8)
    row = whole[0]

    def program(x: torch.Tensor) -> torch.Tensor:
        whole.add_(x)
        return row * 2

    with pytest.raises(CaptureError, match="must not share memory with another tensor"):
        capture(program, X)


def test_same_tensor_as_two_inputs_is_two_parameters() -> None:
    captured = capture(lambda x, y: x - y, (X, X))
    assert captured.parameters == (Input(0, "x"), Input(1, "y"))
    fresh = (torch.randn(4, 8), torch.randn(4, 8))
    result = torch.from_numpy(run(captured, fresh).copy())
    torch.testing.assert_close(result, fresh[0] - fresh[1])


def test_values_of_example_inputs_do_not_matter() -> None:
    def program(x: torch.Tensor) -> torch.Tensor:
        return torch.where(x > 0, x, x * 2).softmax(-1)

    check(program, torch.zeros(4, 8), fresh=X)
    assert capture(program, torch.zeros(4, 8)).module == capture(program, X).module
