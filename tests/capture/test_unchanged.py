"""A capture leaves the callable, its tensors and PyTorch's state as they were."""

from __future__ import annotations

import copy
import gc
import logging
import threading
from typing import Any

import pytest
import torch
from torch import nn

from hlo_frontend.capture import capture, xla
from hlo_frontend.errors import UnsupportedOperatorError
from tests.capture.judged import check, run

X = torch.randn(4, 8)


class Restless(nn.Module):
    """Changes everything about itself that a forward can change."""

    def __init__(self, fails: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.register_buffer("count", torch.zeros(1))
        self.register_buffer("table", torch.zeros(4, 8), persistent=False)
        self.cache: dict[str, Any] = {"seen": []}
        self.fails = fails

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count += 1
        self.table.copy_(x)
        self.linear.bias.data.mul_(2)
        self.linear.weight.requires_grad_(False)
        self.last = x
        self.cache["seen"].append(x)
        self.cache["new"] = x
        self.eval()
        self.register_buffer("added", x)
        self.linear.register_forward_hook(lambda module, args, result: result)
        self.linear = nn.Identity()
        if self.fails:
            x.nonzero()
        return x + self.count


def state(model: nn.Module) -> dict[str, Any]:
    return {
        path: {k: (id(v), _copied(v)) for k, v in vars(module).items()}
        for path, module in model.named_modules()
    }


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: (id(v), _copied(v)) for k, v in value.items()}
    if isinstance(value, list):
        return [id(v) for v in value]
    return None


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.filterwarnings("ignore:capture")
def test_module_is_as_it_was(fails: bool) -> None:
    model = Restless(fails)
    handle = model.register_forward_pre_hook(lambda module, args: None)
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    values = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    forms = {name: (t.requires_grad, t._version) for name, t in tensors.items()}
    before, example = state(model), X.clone()
    if fails:
        with pytest.raises(UnsupportedOperatorError, match="nonzero"):
            capture(model, example)
    else:
        capture(model, example)
    assert state(model) == before
    assert torch.equal(example, X)
    for name, tensor in tensors.items():
        assert torch.equal(tensor, values[name])
        assert (tensor.requires_grad, tensor._version) == forms[name]
        assert tensor.device.type == "cpu" and not vars(tensor)
    assert model.training
    handle.remove()


def test_object_of_a_bound_method_is_as_it_was() -> None:
    class Pipeline:
        def __init__(self) -> None:
            self.model = nn.Linear(8, 3)
            self.results: list[torch.Tensor] = []

        def embed(self, x: torch.Tensor) -> torch.Tensor:
            self.last = self.model(x)
            self.results.append(self.last)
            return self.last

    pipeline = Pipeline()
    check(pipeline.embed, X)
    assert len(pipeline.results) == 1  # that of eager
    pipeline = Pipeline()
    capture(pipeline.embed, X)
    assert pipeline.results == [] and not hasattr(pipeline, "last")


def test_script_module_is_as_it_was() -> None:
    model = torch.jit.script(nn.Sequential(nn.Linear(8, 3)))
    before = dict(vars(model))
    capture(model, X)
    assert vars(model) == before
    assert torch.equal(model(X), nn.Sequential(*model.children())(X))


def test_callable_is_not_copied_or_pickled() -> None:
    class Unique(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.keys = {"a": 1}.keys()  # neither copies nor pickles

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + len(self.keys)

    model = Unique()
    with pytest.raises(TypeError):
        copy.deepcopy(model)
    check(model, X)


def test_state_of_pytorch_is_as_it_was() -> None:
    with torch.inference_mode():
        check(nn.Linear(8, 3), X)
        assert torch.is_inference_mode_enabled()
    assert torch.is_grad_enabled()
    generator = torch.get_rng_state()
    with pytest.warns(UserWarning, match="random"):
        capture(lambda x: x + torch.rand(8), X)
    assert torch.equal(torch.get_rng_state(), generator)
    assert not torch.jit.is_tracing()
    extension = xla.extension()
    assert extension._get_allow_execution() and not extension._get_ir_debug()
    assert (torch.ones(2, device="xla") + 1).cpu().tolist() == [2, 2]


def test_default_dtype_counts() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        captured = check(lambda x: x + torch.ones(8) * 0.1, X)
    finally:
        torch.set_default_dtype(torch.float32)
    assert captured.outputs[0].dtype == "f64"


def test_outputs_need_no_gradient_and_no_tensor_is_left() -> None:
    model = nn.Linear(8, 3)
    captured = capture(model, X)
    assert all(not p.tensor.requires_grad for p in captured.parameters[1:])
    del captured
    gc.collect()
    report = xla.extension()._xla_tensors_report(0, "")
    assert "IR" not in report, report


def test_captures_in_many_threads() -> None:
    models = [nn.Linear(8, n + 1) for n in range(4)]
    found: dict[int, Any] = {}

    def work(n: int) -> None:
        found[n] = capture(models[n], X)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n, model in enumerate(models):
        result = torch.from_numpy(run(found[n], X).copy())
        torch.testing.assert_close(result, model(X))


def test_other_threads_are_not_told_that_they_are_traced() -> None:
    answers: list[bool] = []

    def program(x: torch.Tensor) -> torch.Tensor:
        answers.append(torch.jit.is_tracing())
        other = threading.Thread(target=lambda: answers.append(torch.jit.is_tracing()))
        other.start()
        other.join()
        return x

    capture(program, X)
    assert answers == [True, False]


def test_logging_is_as_it_was() -> None:
    assert logging.getLogger().level == logging.WARNING


def test_lazy_tensors_that_got_out_are_empty_and_harmless() -> None:
    out: list[torch.Tensor] = []

    def program(x: torch.Tensor) -> torch.Tensor:
        out.extend((x, x * 2))
        return x + 1

    capture(program, X)
    for tensor in out:
        assert tensor.cpu().numel() == (tensor + 1).cpu().numel() == 0


def test_users_own_lazy_tensors_live_on() -> None:
    waiting = torch.ones(3, device=xla.device()) + 1
    capture(torch.sin, X)
    assert (waiting * 2).cpu().tolist() == [4, 4, 4]
