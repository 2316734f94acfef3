"""Nested inputs and outputs are kept, or refused, exactly where `torch.jit.trace` does."""

from __future__ import annotations

import dataclasses
import warnings
from collections import OrderedDict, namedtuple
from typing import Any

import pytest
import torch
from transformers.utils import ModelOutput

from hlo_frontend.capture import Dict, Items, Leaf, capture, flatten, unflatten
from hlo_frontend.errors import CaptureError
from tests.capture.judged import compare, run

X = torch.randn(2, 3)
Pair = namedtuple("Pair", "first second")


@dataclasses.dataclass
class Output(ModelOutput):
    last: Any = None
    pooled: Any = None
    extra: Any = None


@dataclasses.dataclass
class Plain:
    a: torch.Tensor


OUTPUTS: dict[str, Any] = {
    "tensor": lambda x: x + 1,
    "tuple": lambda x: (x + 1, x),
    "tuple of one": lambda x: (x + 1,),
    "nested tuple": lambda x: (x, (x, (x + 1,))),
    "list": lambda x: [x.sum(), x],
    "list in tuple": lambda x: (x + 1, [x, x * 2]),
    "deep list": lambda x: (x, (x, [x])),
    "dict": lambda x: {"b": x + 1, "a": x},
    "dict in tuple": lambda x: (x, {"a": x}),
    "dict of tuples": lambda x: {"a": (x, x)},
    "dict of uneven tuples": lambda x: {"a": (x, x), "b": (x,)},
    "dict of nested tuples": lambda x: {"a": (x, (x,))},
    "ordered dict": lambda x: OrderedDict(a=x + 1),
    "named tuple": lambda x: Pair(x + 1, x),
    "named tuple in tuple": lambda x: (x, Pair(x + 1, x)),
    "model output": lambda x: Output(last=x + 1, pooled=x),
    "model output with a hole": lambda x: Output(last=x + 1, extra=x),
    "model output in tuple": lambda x: (x, Output(last=x, pooled=x * 3)),
    "model output of tuples": lambda x: Output(last=(x,), pooled=(x * 3,)),
    "model output, mixed": lambda x: Output(last=x, extra=(x, x * 2)),
    "model output, nested": lambda x: Output(last=x, extra=Output(last=x)),
    "model output in list": lambda x: [Output(last=x)],
    "list of tuples": lambda x: [(x, x)],
    "list of lists": lambda x: [[x], [x]],
    "list of dicts": lambda x: [{"a": x}],
    "dict of lists": lambda x: {"a": [x]},
    "dict of dicts": lambda x: {"a": {"b": x}},
    "mixed dict": lambda x: {"a": x, "b": (x, x)},
    "integer keys": lambda x: {0: x},
    "empty list": lambda x: (x, []),
    "empty dict": lambda x: (x, {}),
    "empty tuple": lambda x: (x, ()),
    "none": lambda x: None,
    "none in tuple": lambda x: (x, None),
    "int": lambda x: (x, 3),
    "dataclass": lambda x: Plain(x),
    "set": lambda x: {x},
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_output_structure_is_that_of_jit_trace(name: str) -> None:
    func = OUTPUTS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = torch.jit.trace(func, X, strict=False, check_trace=False)(X)
        except RuntimeError:
            with pytest.raises(CaptureError, match=r"output"):
                capture(func, X)
            return
    compare(run(capture(func, X), X), expected, 1e-6)


INPUTS: dict[str, Any] = {
    "tensor": X,
    "tuple": (X,),
    "list": [X, X],
    "dict": {"a": X},
    "dict in tuple": ({"a": X},),
    "nested": ((X, [X, X]),),
    "named tuple": (Pair(X, X),),
    "model output": (Output(last=X),),
    "list of lists": ([[X], [X]],),
    "list of tuples": ([(X, X)],),
    "list of dicts": ([{"a": X}],),
    "dict of tuples": ({"a": (X, X)},),
    "dict of uneven tuples": ({"a": (X, X), "b": (X,)},),
    "dict of dicts": ({"a": {"b": X}, "c": {"b": X, "d": X}},),
    "integer keys": ({0: X},),
    "mixed list": ([X, (X,)],),
    "mixed dict": ({"a": X, "b": [X]},),
    "empty list": (X, []),
    "empty tuple": ((), X),
    "int": (X, 3),
    "none": (X, None),
    "bool": (X, True),
    "text": ("a",),
}


@pytest.mark.parametrize("name", INPUTS)
def test_inputs_reach_the_callable_as_in_jit_trace(name: str) -> None:
    inputs, seen = INPUTS[name], []

    def program(*args: Any) -> torch.Tensor:
        seen.append(_kinds(args))
        return torch.ones(1)

    try:
        torch.jit.trace(program, inputs, strict=False, check_trace=False)
    except (RuntimeError, TypeError):
        with pytest.raises(TypeError, match="example_inputs"):
            capture(program, inputs)
        return
    capture(program, inputs)
    assert seen[1] == seen[0]


def _kinds(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return torch.Tensor
    if isinstance(value, dict):
        return dict, {k: _kinds(v) for k, v in value.items()}
    return type(value), [_kinds(v) for v in value]


def test_structures_are_values() -> None:
    captured = capture(lambda x, d: {"a": (x, d["k"]), "b": (x, x)}, (X, {"k": X}))
    assert captured.input_structure == Items("tuple", (Leaf(0), Dict(("k",), (Leaf(1),))))
    leaves = Items("tuple", (Leaf(0), Leaf(1))), Items("tuple", (Leaf(2), Leaf(3)))
    assert captured.output_structure == Dict(("a", "b"), leaves)
    assert hash(captured.output_structure) == hash(Dict(("a", "b"), leaves))


def test_flatten_and_unflatten_are_inverse() -> None:
    value = {"a": (X, [X + 1]), "b": {"c": X}}
    structure, tensors = flatten(value, "value")
    assert unflatten(structure, tensors) == value
    assert [t is s for t, s in zip(tensors, [X, value["a"][1][0], X], strict=True)] == [True] * 3


def test_names_follow_the_signature_and_the_nesting() -> None:
    def program(x: torch.Tensor, cache: Any, *more: torch.Tensor) -> Any:
        return {"sum": (x + cache["k"], more[0])}

    captured = capture(program, (X, {"k": X}, X, X))
    assert [s.name for s in captured.inputs] == ["x", "cache.k", "arg2", "arg3"]
    assert [s.name for s in captured.outputs] == ["output.sum.0", "output.sum.1"]
    assert str(captured.inputs[0]) == "x: f32[2,3]"
