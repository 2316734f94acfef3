"""Architectures of torchvision: classification, segmentation, video, optical flow, detection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tests.models.case import Called, Case, Made, calibrated, settle

# family, architecture, sizes of the input
TABLE: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    ("alexnet", "alexnet", (1, 3, 64, 64)),
    ("convnext", "convnext_tiny", (1, 3, 64, 64)),
    ("densenet", "densenet121", (1, 3, 64, 64)),
    ("efficientnet", "efficientnet_b0", (1, 3, 64, 64)),
    ("efficientnet", "efficientnet_v2_s", (1, 3, 64, 64)),
    ("googlenet", "googlenet", (1, 3, 64, 64)),
    ("inception", "inception_v3", (1, 3, 96, 96)),
    ("maxvit", "maxvit_t", (1, 3, 224, 224)),
    ("mnasnet", "mnasnet0_5", (1, 3, 64, 64)),
    ("mobilenet", "mobilenet_v2", (1, 3, 64, 64)),
    ("mobilenet", "mobilenet_v3_large", (1, 3, 64, 64)),
    ("regnet", "regnet_x_400mf", (1, 3, 64, 64)),
    ("regnet", "regnet_y_400mf", (1, 3, 64, 64)),
    ("resnet", "resnet18", (2, 3, 64, 64)),
    ("resnet", "resnext50_32x4d", (1, 3, 64, 64)),
    ("shufflenet", "shufflenet_v2_x0_5", (1, 3, 64, 64)),
    ("squeezenet", "squeezenet1_0", (1, 3, 64, 64)),
    ("swin", "swin_t", (1, 3, 64, 64)),
    ("swin", "swin_v2_t", (1, 3, 64, 64)),
    ("vgg", "vgg11_bn", (1, 3, 64, 64)),
    ("vit", "vit_b_32", (1, 3, 224, 224)),
    ("deeplab", "deeplabv3_mobilenet_v3_large", (1, 3, 96, 96)),
    ("fcn", "fcn_resnet50", (1, 3, 96, 96)),
    ("lraspp", "lraspp_mobilenet_v3_large", (1, 3, 96, 96)),
    ("video resnet", "r3d_18", (1, 3, 8, 32, 32)),
    ("video resnet", "mc3_18", (1, 3, 8, 32, 32)),
    ("video resnet", "r2plus1d_18", (1, 3, 8, 32, 32)),
    ("s3d", "s3d", (1, 3, 16, 224, 224)),
    ("mvit", "mvit_v2_s", (1, 3, 16, 224, 224)),
    ("swin3d", "swin3d_t", (1, 3, 8, 64, 64)),
)
# Boxes are chosen by their scores: how many there are depends on the image.
DETECTION = (
    ("faster rcnn", "fasterrcnn_mobilenet_v3_large_320_fpn"),
    ("fcos", "fcos_resnet50_fpn"),
    ("keypoint rcnn", "keypointrcnn_resnet50_fpn"),
    ("mask rcnn", "maskrcnn_resnet50_fpn"),
    ("retinanet", "retinanet_resnet50_fpn"),
    ("ssd", "ssd300_vgg16"),
    ("ssdlite", "ssdlite320_mobilenet_v3_large"),
)

UNSTABLE = frozenset({"efficientnet_v2_s"})


def made(name: str, *sizes: int, **options: Any) -> Made:
    import torchvision

    model = torchvision.models.get_model(name, weights=None, **options)
    model = calibrated(settle(model), sizes[-1]) if name in UNSTABLE else settle(model)
    return Made(model, lambda: (torch.rand(*sizes),))


def raft() -> Made:
    """Optical flow, with fewer steps of refinement than its default of twelve."""
    from torchvision.models.optical_flow import raft_small

    model = Called(settle(raft_small(weights=None)), ("image1", "image2"), {"num_flow_updates": 2})
    return Made(model, lambda: (torch.rand(1, 3, 128, 128), torch.rand(1, 3, 128, 128)))


def detector(name: str) -> Callable[[], Made]:
    def make() -> Made:
        import torchvision

        sizes = {} if name.startswith("ssd") else {"min_size": 128, "max_size": 128}
        model = torchvision.models.get_model(name, weights=None, weights_backbone=None, **sizes)
        return Made(settle(model), lambda: ([torch.rand(3, 128, 128)],))

    return make


def maker(name: str, sizes: tuple[int, ...]) -> Callable[[], Made]:
    extra = {"weights_backbone": None} if name.split("_")[0][:3] in ("dee", "fcn", "lra") else {}
    return lambda: made(name, *sizes, **extra)


CASES = (
    *(Case("torchvision", family, name, maker(name, sizes)) for family, name, sizes in TABLE),
    Case("torchvision", "raft", "raft_small", raft),
    *(
        Case("torchvision", f, n, detector(n), "has an output shape that depends on data")
        for f, n in DETECTION
    ),
)
