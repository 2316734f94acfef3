"""A slice of the sweep: models of timm and torchvision, their numbers, their time."""

from __future__ import annotations

import pytest
import torch

from hlo_frontend.model_preparer import prepare_model
from tests.model_preparer.zoo import Result, agrees, make, measure, times

# Each has something of its own: reuse, SiLU, attention, convolutions by function, shapes computed.
SLICE = (
    *("timm/resnet18", "timm/efficientnet_lite0", "timm/mobilenetv3_small_050"),
    *("timm/efficientformerv2_s0", "timm/vit_tiny_patch16_224", "timm/resnetv2_18"),
    *("timm/seresnet18", "timm/mambaout_femto", "timm/selecsls42", "timm/repvit_m0_9"),
    *("torchvision/squeezenet1_1", "torchvision/shufflenet_v2_x0_5"),
    *("torchvision/efficientnet_b0", "torchvision/swin_t", "torchvision/googlenet"),
)


@pytest.mark.parametrize("name", SLICE)
def test_a_model_has_the_same_numbers(name):
    result = measure(name, 1e9, 1)
    assert isinstance(result, Result)
    assert (result.outcome, result.reason) == ("identical", "")
    assert result.changes or "lite0" in name


@pytest.mark.parametrize("name", ["timm/resnetrs152", "timm/swin_tiny_patch4_window7_224"])
def test_preparing_takes_at_most_three_times_as_long_as_tracing(name):
    """Models whose ratio is among the largest of the sweep."""
    with torch.device("meta"):
        model = make(name)
    prepare_model(model)
    assert times(model, 5)[2] < 3


def test_a_model_with_random_weights_depends_on_its_image():
    """So that equal numbers say something."""
    assert agrees("torchvision/squeezenet1_1")
    torch.manual_seed(0)
    model = prepare_model(make("torchvision/squeezenet1_1"))
    with torch.no_grad():
        assert not torch.equal(model(torch.rand(1, 3, 64, 64)), model(torch.rand(1, 3, 64, 64)))
