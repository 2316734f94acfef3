"""Models of timm and torchvision: prepared, timed and compared with what they were made from."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from hlo_frontend.model_preparer import prepare_model
from hlo_frontend.restore import unchanged

OUTCOMES = ("identical", "prepared", "untraceable", "fails", "broken")
# The names of torchvision's classifiers are those of functions; others need several images.
SIDES = {"inception_v3": 299}


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a model; times in seconds of the processor, the ratio is to symbolic_trace."""

    name: str
    outcome: str
    reason: str = ""
    changes: int | None = None
    trace: float | None = None
    prepare: float | None = None
    ratio: float | None = None


def names() -> list[str]:
    """`timm/resnet18`, `torchvision/resnet18` and so on."""
    return list(_names())


def _names() -> Iterator[str]:
    import timm
    import torchvision

    yield from (f"timm/{name}" for name in timm.list_models())
    models = torchvision.models.list_models(module=torchvision.models)
    yield from (f"torchvision/{name}" for name in models)


def make(name: str) -> nn.Module:
    """A model without pretrained weights, in evaluation mode, on torch's current device."""
    import timm
    import torchvision

    library, _, model = name.partition("/")
    if library == "timm":
        return timm.create_model(model, pretrained=False).eval()
    options = {"init_weights": False} if model in ("googlenet", "inception_v3") else {}
    return torchvision.models.get_model(model, weights=None, **options).eval()


def image(name: str, model: nn.Module) -> torch.Tensor:
    """An image of the size that the model wants."""
    settings: dict[str, Any] = getattr(model, "default_cfg", {})
    side = SIDES.get(name.partition("/")[2], 224)
    return torch.rand(1, *settings.get("input_size", (3, side, side)))


def times(model: nn.Module, count: int) -> tuple[float, float, float]:
    """Medians: of tracing, of preparing, and of the ratio of each pair."""
    pairs = [
        (_seconds(torch.fx.symbolic_trace, model), _seconds(prepare_model, model))
        for _ in range(count)
    ]
    ratio = statistics.median(prepare / trace for trace, prepare in pairs)
    return (*(statistics.median(column) for column in zip(*pairs, strict=True)), ratio)


def _seconds(function: Callable[[nn.Module], object], model: nn.Module) -> float:
    """The time it takes the processor, whatever else runs there.

    What the model keeps of it, which spoils the next time, is taken back.
    """
    with unchanged(list(model.modules())):
        gc.disable()  # as timeit does: whose turn it is to collect is chance
        start = time.process_time()
        function(model)
        spent = time.process_time() - start
        gc.enable()
        return spent


def is_settled(prepared: torch.fx.GraphModule) -> bool:
    """Whether preparing it again changes nothing."""
    again = prepare_model(prepared)
    called = [str(node.target) for node in prepared.graph.nodes if node.op == "call_module"]
    same = all(prepared.get_submodule(path) is again.get_submodule(path) for path in called)
    return same and str(again.graph) == str(prepared.graph) and not again.report.changes


def agrees(name: str) -> bool:
    """Whether the prepared model has the bits of the model, which has random weights."""
    torch.manual_seed(0)
    model = make(name)
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point() and not tensor.any():
            nn.init.uniform_(tensor)  # a layer that starts as zeros hides what is before it
    x = image(name, model)
    with torch.no_grad():
        return equal(prepare_model(model)(x), model(x))


def equal(got: Any, wanted: Any) -> bool:
    """Whether nested tensors are the same bit for bit, not-a-numbers too."""
    if isinstance(wanted, torch.Tensor):
        return torch.equal(got.nan_to_num(), wanted.nan_to_num())
    if isinstance(wanted, dict):
        return got.keys() == wanted.keys() and all(equal(got[k], wanted[k]) for k in wanted)
    return len(got) == len(wanted) and all(map(equal, got, wanted))


def measure(name: str, largest: float, pairs: int) -> Result:
    """Prepare a model; compare the numbers if it has at most `largest` parameters."""
    try:
        # Some of torchvision's copy weights while they are made.
        with torch.device("meta" if name.startswith("timm/") else "cpu"):
            model = make(name)
    except Exception as error:  # noqa: BLE001 - whatever a model raises is a result
        return Result(name, "broken", _said(error))
    try:
        first = _seconds(torch.fx.symbolic_trace, model)
    except Exception as error:  # noqa: BLE001
        return Result(name, "untraceable", _said(error))
    try:
        prepared = prepare_model(model)
        measured = times(model, pairs if first < 1 else 1)
        outcome, reason = _judged(name, model, prepared, largest)
    except Exception as error:  # noqa: BLE001
        return Result(name, "fails", _said(error))
    return Result(name, outcome, reason, len(prepared.report.changes), *measured)


def _judged(
    name: str, model: nn.Module, prepared: torch.fx.GraphModule, largest: float
) -> tuple[str, str]:
    if not is_settled(prepared):
        return "fails", "a second call changes it"
    if sum(parameter.numel() for parameter in model.parameters()) > largest:
        return "prepared", ""
    return ("identical", "") if agrees(name) else ("fails", "other numbers")


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0][:120]
