"""Programs that no fixed graph can hold: refused, naming the operator and the user's line."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hlo_frontend.capture import capture
from hlo_frontend.errors import CaptureError, UnsupportedOperatorError

X = torch.randn(4, 8)
I = torch.tensor([2, 0, 1])  # noqa: E741


def assign_where_not_known(x: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    y = x.clone()
    y[x > 0] = values
    return y


def swallowed(x: torch.Tensor) -> torch.Tensor:
    try:
        return x * x.sum().item()
    except RuntimeError:
        return x


@torch.jit.script
def scripted_branch(x: torch.Tensor) -> torch.Tensor:
    return x if bool(x.sum() > 0) else -x


def random_branch(x: torch.Tensor) -> torch.Tensor:
    return x if torch.rand(1) < 0.5 else -x


def updated_then_read(x: torch.Tensor) -> torch.Tensor:
    count = torch.zeros(1)
    count += x.sum()
    return x * count.item()


def under_autocast(x: torch.Tensor) -> torch.Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return x @ x.t()


VALUE = "needs a value that depends on example input"
SHAPE = "has an output shape that depends on data"
OUTSIDE = "has no lowering to HLO and would run on the CPU, outside the graph"

REFUSED: dict[str, tuple[Any, Any, str, str]] = {
    "item": (lambda x: x * x.sum().item(), X, "aten::item", VALUE),
    "bool": (lambda x: x if x.sum() > 0 else -x, X, "aten::is_nonzero", VALUE),
    "int": (lambda x: x[: int(x.sum())], X, "aten::Int", VALUE),
    "float": (lambda x: x * float(x.sum()), X, "aten::Float", VALUE),
    "math": (lambda x: x * math.sqrt(x.sum()), X, "aten::Float", VALUE),
    "range": (lambda i: torch.zeros(len(range(i[0]))), I, "Tensor.__index__", VALUE),
    "tolist": (lambda x: torch.tensor(x.tolist()), X, "Tensor.tolist", VALUE),
    "numpy": (lambda x: torch.from_numpy(x.numpy()), X, "Tensor.numpy", VALUE),
    "numpy function": (lambda x: torch.from_numpy(np.exp(x)), X, "Tensor.__array__", VALUE),
    "tensor of tensors": (lambda x: torch.tensor([x[0, 0]]), X, "torch.tensor", VALUE),
    "index": (lambda x, i: x[: i[0]], (X, I), "aten::item", VALUE),
    "size": (lambda i: torch.arange(i.max()), I, "aten::item", VALUE),
    "maximum": (lambda x: max(x[0]), X, "aten::is_nonzero", VALUE),
    "contains": (lambda x: x if 3 in x else -x, X, "aten::item", VALUE),
    "equal": (lambda x: x if torch.equal(x, -x) else -x, X, "aten::equal", VALUE),
    "allclose": (lambda x: x if torch.allclose(x, -x) else -x, X, "aten::allclose", VALUE),
    "script": (lambda x: scripted_branch(x), X, "aten::item", VALUE),
    "storage": (lambda x: x.untyped_storage(), X, "Tensor.untyped_storage", VALUE),
    "swallowed": (swallowed, X, "aten::item", VALUE),
    "random": (random_branch, X, "aten::is_nonzero", "depends on a random number"),
    "updated": (updated_then_read, X, "aten::item", VALUE),
    "nonzero": (lambda x: x.nonzero(), X, "aten::nonzero", SHAPE),
    "where": (lambda x: torch.where(x > 0), X, "aten::nonzero", SHAPE),
    "masked select": (lambda x: x.masked_select(x > 0), X, "aten::index", SHAPE),
    "mask": (lambda x: x[x > 0], X, "aten::index", SHAPE),
    "unique": (lambda x: torch.unique(x), X, "aten::unique", SHAPE),
    "bincount": (lambda i: torch.bincount(i), I, "aten::bincount", SHAPE),
    "repeat": (lambda i: I.repeat_interleave(i), I, "aten::repeat_interleave", SHAPE),
    "mask assign": (
        assign_where_not_known,
        (X, torch.randn(5)),
        "aten::index_put",
        "takes as many values as the mask selects",
    ),
    "qr": (lambda x: torch.linalg.qr(x), X, "aten::linalg_qr", OUTSIDE),
    "frexp": (lambda x: torch.frexp(x), X, "aten::frexp", OUTSIDE),
    "fft": (lambda x: torch.fft.fft(x), X, "aten::_fft_r2c", OUTSIDE),
    "strided": (
        lambda x: x.t().as_strided((2, 2), (1, 1)),
        X,
        "aten::as_strided",
        "row-major",
    ),
    "generator": (
        lambda x: x + torch.rand(8, generator=torch.Generator()),
        X,
        "aten::rand",
        "draws from a torch.Generator",
    ),
    "autocast": (under_autocast, X, "torch.t", r"runs under torch\.autocast"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_operator_and_line(name: str) -> None:
    func, inputs, operator, because = REFUSED[name]
    with pytest.raises(UnsupportedOperatorError, match=because) as caught:
        capture(func, inputs)
    error = caught.value
    assert str(error).startswith(f"capture: {operator} ")
    assert error.operator == operator
    file, line = error.source.split(":")
    assert file == "test_refusals.py"
    lines, first = inspect.getsourcelines(func)
    assert first <= int(line) < first + len(lines)
    assert f"\n  from {error.source} in {func.__name__}" in str(error)


def test_message_in_full() -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        return x.nonzero()

    line = forward.__code__.co_firstlineno + 1
    with pytest.raises(UnsupportedOperatorError) as caught:
        capture(forward, X)
    assert str(caught.value) == (
        "capture: aten::nonzero has an output shape that depends on data, which a fixed graph "
        "cannot hold\n"
        f"  from test_refusals.py:{line} in forward\n"
        "  try: keep the shape fixed: torch.where or a mask that is multiplied in, or compute the "
        "indices outside the traced callable"
    )


def test_line_and_layer_of_a_nested_module() -> None:
    class Branching(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.max() > 0 else -x

    model = nn.Sequential(nn.Linear(8, 8), nn.Sequential(Branching()))
    with pytest.raises(UnsupportedOperatorError, match=r"in forward, in layer 1\.0\n"):
        capture(model, X)


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated")
def test_layer_is_named_where_no_line_of_the_users_is() -> None:
    quantized = torch.ao.quantization.quantize_dynamic(
        nn.Sequential(nn.Linear(8, 3)), {nn.Linear}, dtype=torch.qint8
    )
    with pytest.raises(UnsupportedOperatorError, match=r"\n  in layer 0\n") as caught:
        capture(quantized, X)
    assert caught.value.source == ""


def test_capture_works_after_a_refusal() -> None:
    with pytest.raises(UnsupportedOperatorError):
        capture(lambda x: x.nonzero(), X)
    assert capture(lambda x: x + 1, X).module.entry.instructions


def test_errors_of_the_program_pass_unchanged() -> None:
    def program(x: torch.Tensor) -> torch.Tensor:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        capture(program, X)


OUTPUTS: dict[str, tuple[Any, str]] = {
    "none": (lambda x: None, r"output: expected a torch\.Tensor, got NoneType"),
    "none inside": (lambda x: (x, None), r"output\[1\]: expected a torch\.Tensor, got NoneType"),
    "int inside": (lambda x: (x, (3,)), r"output\[1\]\[0\]: expected a torch\.Tensor, got int"),
    "text": (lambda x: {"a": "b"}, r"output\['a'\]: expected a torch\.Tensor, got str"),
    "nothing": (lambda x: (), r"must return at least one tensor, got \(\)"),
    "mixed dict": (lambda x: {"a": x, "b": (x,)}, r"must be of one type"),
    "list of tuples": (lambda x: [(x, x)], r"a list in an output must hold tensors"),
    "empty list": (lambda x: (x, []), r"got no elements"),
    "integer keys": (lambda x: {1: x}, r"keys of a dict must be str"),
    "wide unsigned": (
        lambda x: x.to(torch.uint16),
        r"the dtype of output must be one of bool, .* got uint16",
    ),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_output_that_cannot_be_kept(name: str) -> None:
    func, message = OUTPUTS[name]
    with pytest.raises(CaptureError, match=message):
        capture(func, X)


INPUTS: dict[str, tuple[Any, type[Exception], str]] = {
    "int": ((X, 3), TypeError, r"example_inputs\[1\]: expected a torch\.Tensor, got int"),
    "none": ((X, None), TypeError, r"example_inputs\[1\]: expected .* got NoneType"),
    "nested": (({"a": [X, "b"]},), TypeError, r"example_inputs\[0\]\['a'\]\[1\]: .* got str"),
    "array": (np.ones(3), TypeError, r"example_inputs: expected .* got ndarray"),
    "mixed list": (([X, (X,)],), TypeError, r"elements of a list must be of one type"),
    "meta": (X.to("meta"), CaptureError, r"example input 'x' must be on the CPU, got device meta"),
    "sparse": (X.to_sparse(), CaptureError, r"example input 'x' must be a dense tensor"),
    "float8": (
        X.to(torch.float8_e4m3fnuz),
        CaptureError,
        r"the dtype of x must be one of .*, got float8_e4m3fnuz",
    ),
}


@pytest.mark.parametrize("name", INPUTS)
def test_input_that_cannot_be_kept(name: str) -> None:
    inputs, kind, message = INPUTS[name]
    with pytest.raises(kind, match=message):
        capture(lambda x, *rest: x + 1, inputs)


def test_callable_is_required() -> None:
    with pytest.raises(TypeError, match=r"func must be callable, got int"):
        capture(3, X)  # type: ignore[arg-type]


def test_weight_that_cannot_be_kept() -> None:
    with pytest.raises(CaptureError, match=r"weight 'weight' must be on the CPU, got device meta"):
        capture(nn.Linear(8, 3, device="meta"), X)
    sparse = torch.eye(8).to_sparse()
    with pytest.raises(CaptureError, match=r"weight 'constant_0' must be a dense tensor"):
        capture(lambda x: torch.sparse.mm(sparse, x.t()), X)


@pytest.mark.filterwarnings("ignore:capture")
def test_training_mode_is_warned_about() -> None:
    model = nn.Sequential(nn.Linear(8, 3), nn.Dropout(0.5))
    with pytest.warns(UserWarning, match="is in training mode and has Dropout") as caught:
        capture(model, X)
    messages = [str(w.message) for w in caught]
    assert any("draws random numbers" in m for m in messages)
    assert all(w.filename == __file__ for w in caught)


@pytest.mark.filterwarnings("ignore:capture")
def test_update_that_is_lost_is_warned_about() -> None:
    with pytest.warns(UserWarning, match=r"updates .*0\.running_mean, .* the update is lost"):
        capture(nn.Sequential(nn.BatchNorm1d(8)), X)


def test_no_warning_in_eval_mode(recwarn: pytest.WarningsRecorder) -> None:
    capture(nn.Sequential(nn.Linear(8, 3), nn.Dropout(0.5), nn.BatchNorm1d(3)).eval(), X)
    assert [str(w.message) for w in recwarn if w.category is UserWarning] == []


def test_dropout_of_a_fixed_seed_is_the_same_in_each_capture() -> None:
    def program(x: torch.Tensor) -> torch.Tensor:
        return F.dropout(x, 0.5)

    with pytest.warns(UserWarning, match="fixed seed"):
        first, second = capture(program, X), capture(program, X)
    assert first.module == second.module
