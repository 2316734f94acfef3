"""Models of images and videos."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tests.models.case import Made
from tests.models.transformers_builders import VISION, Config, image, named, pixels

VISIONS: dict[str, tuple[Config, str, dict[str, Any]]] = {
    "beit": ({**VISION, "use_relative_position_bias": True}, "AutoModel", {}),
    "bit": (
        {
            "embedding_size": 16,
            "hidden_sizes": [16, 32],
            "depths": [1, 1],
            "num_groups": 4,
            "layer_type": "preactivation",
        },
        "AutoModel",
        {},
    ),
    "convnext": ({"hidden_sizes": [16, 32], "depths": [1, 1], "num_stages": 2}, "AutoModel", {}),
    "convnextv2": ({"hidden_sizes": [16, 32], "depths": [1, 1], "num_stages": 2}, "AutoModel", {}),
    "cvt": (
        {"embed_dim": [16, 32, 32], "num_heads": [1, 2, 2], "depth": [1, 2, 3]},
        "AutoModel",
        {"sizes": (1, 3, 64, 64)},
    ),
    "data2vec-vision": ({**VISION, "use_shared_relative_position_bias": True}, "AutoModel", {}),
    "deit": (VISION, "AutoModel", {}),
    "depth_anything": (
        {
            "backbone_config": {
                "model_type": "dinov2",
                **VISION,
                "out_features": ["stage1", "stage2"],
                "reshape_hidden_states": False,
                "apply_layernorm": True,
            },
            "patch_size": 8,
            "reassemble_hidden_size": 32,
            "reassemble_factors": [2, 1],
            "neck_hidden_sizes": [16, 32],
            "fusion_hidden_size": 16,
            "head_hidden_size": 8,
            "head_in_index": -1,
            "depth_estimation_type": "metric",
            "max_depth": 5,
        },
        "AutoModelForDepthEstimation",
        {},
    ),
    "dinov2": (VISION, "AutoModel", {}),
    "dinov2_with_registers": (VISION, "AutoModel", {}),
    "dinov3_vit": (VISION, "AutoModel", {}),
    "dpt": (
        {
            **VISION,
            "num_hidden_layers": 4,
            "is_hybrid": False,
            "backbone_out_indices": [0, 1, 2, 3],
            "neck_hidden_sizes": [8, 8, 16, 16],
            "fusion_hidden_size": 16,
        },
        "DPTForDepthEstimation",
        {},
    ),
    "efficientnet": (
        {"image_size": 32, "width_coefficient": 0.25, "depth_coefficient": 0.25, "hidden_dim": 320},
        "AutoModel",
        {},
    ),
    "focalnet": (
        {
            "image_size": 32,
            "patch_size": 2,
            "embed_dim": 16,
            "depths": [1, 1],
            "hidden_sizes": [16, 32],
            "focal_levels": [2, 2],
            "focal_windows": [3, 3],
        },
        "AutoModel",
        {},
    ),
    "glpn": (
        {
            "num_encoder_blocks": 2,
            "depths": [1, 1],
            "hidden_sizes": [16, 32],
            "num_attention_heads": [1, 2],
            "sr_ratios": [2, 1],
            "patch_sizes": [7, 3],
            "strides": [4, 2],
            "mlp_ratios": [2, 2],
            "decoder_hidden_size": 16,
        },
        "AutoModel",
        {},
    ),
    "hiera": (
        {
            "embed_dim": 16,
            "image_size": [32, 32],
            "patch_size": [7, 7],
            "patch_stride": [4, 4],
            "patch_padding": [3, 3],
            "depths": [1, 1],
            "num_heads": [1, 2],
            "masked_unit_size": [4, 4],
            "num_query_pool": 1,
            "query_stride": [2, 2],
        },
        "AutoModel",
        {},
    ),
    "ijepa": (VISION, "AutoModel", {}),
    "levit": (
        {
            "image_size": 64,
            "hidden_sizes": [32, 48, 64],
            "num_attention_heads": [2, 3, 4],
            "depths": [1, 1, 1],
            "key_dim": [8, 8, 8],
        },
        "AutoModel",
        {"sizes": (1, 3, 64, 64)},
    ),
    "mobilenet_v1": ({"image_size": 32, "depth_multiplier": 0.25}, "AutoModel", {}),
    "mobilenet_v2": ({"image_size": 32, "depth_multiplier": 0.25}, "AutoModel", {}),
    "mobilevit": (
        {
            "image_size": 64,
            "patch_size": 2,
            "hidden_sizes": [16, 24, 32],
            "neck_hidden_sizes": [8, 8, 16, 16, 24, 32, 64],
        },
        "AutoModel",
        {"sizes": (1, 3, 64, 64)},
    ),
    "mobilevitv2": (
        {"image_size": 64, "width_multiplier": 0.25},
        "AutoModel",
        {"sizes": (1, 3, 64, 64)},
    ),
    "poolformer": (
        {"hidden_sizes": [16, 16, 32, 32], "depths": [1, 1, 1, 1]},
        "AutoModel",
        {"sizes": (1, 3, 64, 64)},
    ),
    "pvt": (
        {
            "image_size": 64,
            "hidden_sizes": [16, 16, 32, 32],
            "depths": [1, 1, 1, 1],
            "num_attention_heads": [1, 1, 2, 2],
            "sequence_reduction_ratios": [4, 2, 1, 1],
        },
        "AutoModel",
        {"sizes": (1, 3, 64, 64)},
    ),
    "pvt_v2": (
        {
            "image_size": 64,
            "hidden_sizes": [16, 16, 32, 32],
            "depths": [1, 1, 1, 1],
            "num_attention_heads": [1, 1, 2, 2],
            "sr_ratios": [4, 2, 1, 1],
        },
        "AutoModel",
        {"sizes": (1, 3, 64, 64)},
    ),
    "regnet": (
        {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1], "groups_width": 8},
        "AutoModel",
        {},
    ),
    "resnet": ({"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1]}, "AutoModel", {}),
    "sam_vision_model": (
        {
            **VISION,
            "output_channels": 16,
            "window_size": 2,
            "global_attn_indexes": [1],
            "mlp_dim": 64,
        },
        "SamVisionModel",
        {},
    ),
    "segformer": (
        {
            "num_encoder_blocks": 2,
            "depths": [1, 1],
            "hidden_sizes": [16, 32],
            "num_attention_heads": [1, 2],
            "sr_ratios": [2, 1],
            "patch_sizes": [7, 3],
            "strides": [4, 2],
            "mlp_ratios": [2, 2],
            "decoder_hidden_size": 16,
        },
        "SegformerForSemanticSegmentation",
        {},
    ),
    "swiftformer": (
        {"depths": [1, 1, 1, 1], "embed_dims": [16, 16, 32, 32]},
        "AutoModel",
        {"sizes": (1, 3, 64, 64)},
    ),
    "swin": (
        {
            "image_size": 32,
            "patch_size": 2,
            "embed_dim": 16,
            "depths": [1, 2],
            "num_heads": [2, 2],
            "window_size": 4,
        },
        "AutoModel",
        {},
    ),
    "swin2sr": (
        {
            "image_size": 16,
            "patch_size": 1,
            "embed_dim": 16,
            "depths": [1, 2],
            "num_heads": [2, 2],
            "window_size": 4,
            "upscale": 2,
        },
        "Swin2SRForImageSuperResolution",
        {"sizes": (1, 3, 16, 16)},
    ),
    "swinv2": (
        {
            "image_size": 32,
            "patch_size": 2,
            "embed_dim": 16,
            "depths": [1, 2],
            "num_heads": [2, 2],
            "window_size": 4,
        },
        "AutoModel",
        {},
    ),
    "timesformer": ({**VISION, "num_frames": 4}, "AutoModel", {"sizes": (1, 4, 3, 32, 32)}),
    "vit": (VISION, "AutoModel", {}),
    "vit_msn": (VISION, "AutoModel", {}),
    "vitdet": (VISION, "AutoModel", {}),
    "vivit": (
        {**VISION, "num_frames": 4, "tubelet_size": [2, 8, 8]},
        "AutoModel",
        {"sizes": (1, 4, 3, 32, 32)},
    ),
    "yolos": (
        {**VISION, "image_size": [32, 32], "num_detection_tokens": 5},
        "YolosForObjectDetection",
        {"take": ("logits", "pred_boxes")},
    ),
}
RESNET_BACKBONE: Config = {
    "model_type": "resnet",
    "embedding_size": 16,
    "hidden_sizes": [16, 16, 32, 32],
    "depths": [1, 1, 1, 1],
    "out_features": ["stage2", "stage3", "stage4"],
}
DETR: Config = {
    "use_timm_backbone": False,
    "backbone_config": {**RESNET_BACKBONE, "out_features": ["stage4"]},
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "num_queries": 5,
}
Makers = dict[str, Callable[[], Made]]

OTHER_VISION: Makers = {
    "conditional_detr": lambda: pixels(
        "conditional_detr",
        DETR,
        "ConditionalDetrForObjectDetection",
        sizes=(1, 3, 64, 64),
        take=("logits", "pred_boxes"),
    ),
    "detr": lambda: pixels(
        "detr", DETR, "DetrForObjectDetection", sizes=(1, 3, 64, 64), take=("logits", "pred_boxes")
    ),
    "deformable_detr": lambda: pixels(
        "deformable_detr",
        {**DETR, "backbone_config": RESNET_BACKBONE, "decoder_layers": 2, "num_feature_levels": 3},
        "DeformableDetrForObjectDetection",
        sizes=(1, 3, 64, 64),
        take=("logits", "pred_boxes"),
    ),
    "mask2former": lambda: pixels(
        "mask2former",
        {
            "backbone_config": {
                "model_type": "swin",
                "image_size": 32,
                "patch_size": 2,
                "embed_dim": 16,
                "depths": [1, 1, 1, 1],
                "num_heads": [2, 2, 2, 2],
                "window_size": 4,
                "out_features": ["stage1", "stage2", "stage3", "stage4"],
            },
            "feature_size": 32,
            "mask_feature_size": 32,
            "hidden_dim": 32,
            "encoder_feedforward_dim": 32,
            "encoder_layers": 1,
            "decoder_layers": 2,
            "num_attention_heads": 2,
            "dim_feedforward": 32,
            "num_queries": 5,
        },
        "Mask2FormerForUniversalSegmentation",
        sizes=(1, 3, 64, 64),
        take=("class_queries_logits", "masks_queries_logits"),
    ),
    "superpoint": lambda: pixels(
        "superpoint",
        {
            "encoder_hidden_sizes": [8, 8, 16, 16],
            "decoder_hidden_size": 16,
            "descriptor_decoder_dim": 16,
        },
        "SuperPointForKeypointDetection",
        sizes=(1, 3, 32, 32),
    ),
    "vit_mae": lambda: named(
        "vit_mae",
        {
            **VISION,
            "decoder_hidden_size": 32,
            "decoder_num_hidden_layers": 1,
            "decoder_num_attention_heads": 4,
            "decoder_intermediate_size": 64,
        },
        {"pixel_values": image(1, 3, 32, 32), "noise": lambda: torch.rand(1, 16)},
        "ViTMAEForPreTraining",
        take=("logits",),
    ),
    "upernet": lambda: pixels(
        "upernet",
        {
            "backbone_config": {
                **RESNET_BACKBONE,
                "out_features": ["stage1", "stage2", "stage3", "stage4"],
            },
            "hidden_size": 16,
            "auxiliary_in_channels": 32,
            "auxiliary_channels": 16,
            "auxiliary_loss_weight": 0.4,
        },
        "UperNetForSemanticSegmentation",
        sizes=(1, 3, 64, 64),
    ),
}
