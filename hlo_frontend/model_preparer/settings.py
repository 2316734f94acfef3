"""Rules for functions whose arguments after the input become settings of a module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from hlo_frontend.model_preparer import modules
from hlo_frontend.model_preparer.calls import Call, Keep, Replacement, require_static


class Settings:
    """A module of torch that holds the settings; `names` are theirs, in the function's order."""

    def __init__(self, make: Callable[..., nn.Module], *names: str) -> None:
        self.make, self.names = make, names

    def __call__(self, call: Call) -> Replacement:
        tensor, settings = self.read(call)
        training = settings.pop("training", None)
        module = self.make(**settings)
        module.training = bool(training)
        return Replacement(module, (tensor,), {}, training)

    def read(self, call: Call) -> tuple[Any, dict[str, Any]]:
        """The input and the settings. Raises Keep where a setting is computed or has no place."""
        names = ("input", *self.names)
        given = dict(zip(names, call.args, strict=False)) | call.kwargs
        given.pop("_stacklevel", None)
        tensor = given.pop("input")
        for name in given:
            if name not in self.names:
                raise Keep(f"its {name} has no place in a module")
        require_static(given)
        return tensor, given


def dtyped(plain: Callable[..., nn.Module], casting: Callable[..., nn.Module]) -> Settings:
    """Softmax and its like: torch's module, or ours where the call names a dtype."""

    def make(dim: int | None = None, dtype: torch.dtype | None = None) -> nn.Module:
        return plain(dim) if dtype is None else casting(dim, dtype)

    return Settings(make, "dim", "dtype")


silu = Settings(modules.CustomSiLU, "inplace")


def prelu(call: Call) -> Replacement:
    """`torch.nn.PReLU` with the model's own parameter, or the weight stays an argument."""
    given = call.named("input", "weight").kwargs
    weight = call.parameter(given["weight"])
    if weight is None:
        return Replacement(modules.DynamicPReLU(), (given["input"], given["weight"]), {})
    module = nn.PReLU(weight.numel(), device="meta")
    module.weight = weight
    return Replacement(module, (given["input"],), {})


def concat(call: Call) -> Replacement:
    """`Concat` called with each tensor, or with the one list that the model computes."""
    given = call.named("tensors", "dim").kwargs
    if given.get("out") is not None:
        raise Keep("it writes into `out`")
    axis = given.get("dim", given.get("axis", 0))
    require_static({"dim": axis})
    tensors = given["tensors"]
    listed = isinstance(tensors, list | tuple)
    return Replacement(modules.Concat(axis), tuple(tensors) if listed else (tensors,), {})
