"""The rule for `conv2d`: a layer where the weights are the model's, else a dynamic convolution."""

from __future__ import annotations

from typing import Any

from torch import nn

from hlo_frontend.model_preparer import modules
from hlo_frontend.model_preparer.calls import Call, Replacement, require_static

SETTINGS = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}


def conv2d(call: Call) -> Replacement:
    """`torch.nn.Conv2d` with the model's own parameters, else `DynamicConv2d`."""
    given = call.named("input", "weight", "bias", *SETTINGS).kwargs
    settings = {name: given.get(name, default) for name, default in SETTINGS.items()}
    require_static(settings)
    bias = given.get("bias")
    weight, own_bias = call.parameter(given["weight"]), call.parameter(bias)
    if weight is None or (bias is not None and own_bias is None):
        args = [given["input"], given["weight"]]
        return Replacement(
            modules.DynamicConv2d(**settings), (*args, bias) if bias is not None else (*args,), {}
        )
    return Replacement(_layer(weight, own_bias, settings), (given["input"],), {})


def _layer(weight: nn.Parameter, bias: nn.Parameter | None, settings: dict[str, Any]) -> nn.Conv2d:
    channels_out, channels_in, height, width = weight.shape
    module = nn.Conv2d(
        channels_in * settings["groups"],
        channels_out,
        (height, width),
        bias=bias is not None,
        device="meta",  # no memory and no random numbers for weights that are there already
        **settings,
    )
    module.weight, module.bias = weight, bias
    return module
