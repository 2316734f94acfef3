"""Architectures of transformers from tiny configurations: text, vision, audio and what joins them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from tests.models.case import Called, Case, Made, ids, padded, settle

Config = Mapping[str, Any]
VOCABULARY = 99
BATCH, LENGTH = 2, 12
TEXT: Config = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GROUPED: Config = {**TEXT, "num_key_value_heads": 2, "head_dim": 8}
EXPERTS: Config = {**GROUPED, "moe_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2}
VISION: Config = {
    "image_size": 32,
    "patch_size": 8,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}
SEQ2SEQ: Config = {
    "vocab_size": VOCABULARY,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
}
T5: Config = {
    "vocab_size": VOCABULARY,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 64,
    "num_layers": 2,
    "num_decoder_layers": 2,
    "num_heads": 4,
    "decoder_start_token_id": 0,
}
SPEECH: Config = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "conv_dim": (32, 32, 32),
    "conv_stride": (5, 4, 2),
    "conv_kernel": (10, 8, 4),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "vocab_size": VOCABULARY,
}


def model_of(kind: str, config: Config, model: str = "AutoModel") -> nn.Module:
    """A model with seeded weights from a configuration; nothing is loaded."""
    import transformers

    made = transformers.AutoConfig.for_model(kind, **config)
    cls = getattr(transformers, model)
    built = cls.from_config(made) if model.startswith("Auto") else cls(made)
    return settle(built)


def tokens() -> torch.Tensor:
    return ids(VOCABULARY - 4, BATCH, LENGTH)


def text(kind: str, config: Config, model: str = "AutoModel", **fixed: Any) -> Made:
    built = Called(model_of(kind, config, model), ("input_ids", "attention_mask"), fixed)
    return Made(built, lambda: (tokens(), padded(BATCH, LENGTH)))


def left_padded(kind: str, config: Config, model: str = "AutoModelForCausalLM") -> Made:
    """A decoder without a cache, with the prompt padded on the left as for generation."""
    built = Called(
        model_of(kind, config, model),
        ("input_ids", "attention_mask"),
        {"use_cache": False},
        ("logits",),
    )
    return Made(built, lambda: (tokens(), padded(BATCH, LENGTH).flip(1)))


class Stepping(nn.Module):
    """One step of a decoder: a token in, logits out, the keys and values of all before kept."""

    def __init__(self, model: nn.Module, batch: int, length: int) -> None:
        super().__init__()
        from transformers import StaticCache

        self.model: Any = model
        config = self.model.config
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        head_dim = getattr(config, "head_dim", None)
        head_dim = head_dim or config.hidden_size // config.num_attention_heads
        self.cache = StaticCache(config=config, max_cache_len=length)
        self.cache.early_initialization(batch, heads, head_dim, torch.float32, torch.device("cpu"))
        for number, state in enumerate(self.states()):
            self.register_buffer(f"state{number}", state)

    def states(self) -> list[torch.Tensor]:
        return [
            state
            for layer in self.cache.layers
            for state in (layer.keys, layer.values, layer.cumulative_length)
        ]

    def forward(self, token: torch.Tensor) -> tuple[torch.Tensor, ...]:
        made = self.model(input_ids=token, past_key_values=self.cache, use_cache=True)
        return made.logits, *self.states()


def stepping(kind: str, config: Config) -> Made:
    step = Stepping(model_of(kind, config, "AutoModelForCausalLM"), BATCH, 16)
    aliases = {state: 1 + n for n, state in enumerate(step.states())}
    return Made(step, lambda: (ids(VOCABULARY - 4, BATCH, 1),), aliases)


def seq2seq(kind: str, config: Config, model: str = "AutoModel") -> Made:
    names = "input_ids", "attention_mask", "decoder_input_ids"
    built = Called(model_of(kind, config, model), names, {"use_cache": False})
    return Made(built, lambda: (tokens(), padded(BATCH, LENGTH), tokens()[:, :7]))


def pixels(
    kind: str,
    config: Config,
    model: str = "AutoModel",
    *,
    sizes: tuple[int, ...] = (1, 3, 32, 32),
    take: tuple[str, ...] = (),
    **fixed: Any,
) -> Made:
    built = Called(model_of(kind, config, model), ("pixel_values",), fixed, take)
    return Made(built, lambda: (torch.randn(*sizes),))


def speech(kind: str, config: Config, model: str = "AutoModel", take: tuple[str, ...] = ()) -> Made:
    built = Called(model_of(kind, config, model), ("input_values",), {}, take)
    return Made(built, lambda: (torch.randn(2, 1600),))


def named(
    kind: str,
    config: Config,
    inputs: Mapping[str, Callable[[], torch.Tensor]],
    model: str = "AutoModel",
    take: tuple[str, ...] = (),
    **fixed: Any,
) -> Made:
    """A model with these inputs, each drawn by its function."""
    built = Called(model_of(kind, config, model), tuple(inputs), fixed, take)
    return Made(built, lambda: tuple(draw() for draw in inputs.values()))


def image(*sizes: int) -> Callable[[], torch.Tensor]:
    return lambda: torch.randn(*sizes)


def mask() -> torch.Tensor:
    return padded(BATCH, LENGTH)


def boxes() -> torch.Tensor:
    corner = torch.randint(0, 30, (BATCH, LENGTH, 2))
    return torch.cat([corner, corner + torch.randint(1, 30, (BATCH, LENGTH, 2))], -1)


def without(config: Config, *names: str, **more: Any) -> Config:
    return {**{k: v for k, v in config.items() if k not in names}, **more}


# --- encoders of text: the kind that AutoConfig knows, what its configuration adds to TEXT
ENCODERS: dict[str, Config] = {
    "albert": {"embedding_size": 16},
    "bert": {},
    "big_bird": {"attention_type": "original_full"},
    "camembert": {},
    "canine": {"downsampling_rate": 2, "num_hash_buckets": 50, "local_transformer_stride": 8},
    "convbert": {"embedding_size": 32, "conv_kernel_size": 3},
    "deberta": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "max_relative_positions": 16},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_buckets": 8},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64},
    "electra": {"embedding_size": 16},
    "ernie": {},
    "esm": {"mask_token_id": 98, "position_embedding_type": "rotary"},
    "eurobert": {"num_key_value_heads": 4, "head_dim": 8},
    "flaubert": {"emb_dim": 32, "n_layers": 2, "n_heads": 4, "n_words": VOCABULARY},
    "ibert": {},
    "longformer": {"attention_window": 4},
    "megatron-bert": {},
    "mobilebert": {"embedding_size": 16, "intra_bottleneck_size": 16, "true_hidden_size": 16},
    "modernbert": {"global_attn_every_n_layers": 2, "local_attention": 6, "cls_token_id": 1, "sep_token_id": 2},
    "mpnet": {},
    "mra": {"block_per_row": 1, "max_position_embeddings": 64},
    "nomic_bert": {},
    "rembert": {"input_embedding_size": 16, "output_embedding_size": 16},
    "roberta": {},
    "roformer": {"embedding_size": 32},
    "splinter": {},
    "squeezebert": {"embedding_size": 32, "q_groups": 2, "k_groups": 2, "v_groups": 2, "post_attention_groups": 1, "intermediate_groups": 2, "output_groups": 2},
    "xlm": {"emb_dim": 32, "n_layers": 2, "n_heads": 4, "n_words": VOCABULARY},
    "xlm-roberta": {},
    "yoso": {"use_expectation": True},
}
# --- decoders, no cache
DECODERS: dict[str, Config] = {
    "biogpt": {},
    "bloom": {"n_layer": 2, "n_head": 4},
    "codegen": {"n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4, "n_positions": 64},
    "cohere": {},
    "falcon": {"new_decoder_architecture": True, "num_kv_heads": 2},
    "gemma": GROUPED,
    "gemma2": {**GROUPED, "sliding_window": 6},
    "gemma3_text": {**GROUPED, "sliding_window": 6},
    "glm": GROUPED,
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "gpt_bigcode": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "gpt_neo": {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]], "window_size": 4},
    "gpt_neox": {},
    "gpt_oss": {**GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 6},
    "gptj": {"n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4, "n_positions": 64},
    "granite": GROUPED,
    "jamba": {**GROUPED, "num_experts": 2, "attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1, "use_mamba_kernels": False, "mamba_d_state": 4, "mamba_dt_rank": 4},
    "llama": GROUPED,
    "mamba": {"state_size": 4, "time_step_rank": 4},
    "mamba2": {"state_size": 8, "num_heads": 8, "head_dim": 8, "n_groups": 2, "chunk_size": 4, "expand": 2},
    "mistral": {**GROUPED, "sliding_window": 6},
    "mixtral": {**GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2},
    "mpt": {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 64, "expansion_ratio": 2},
    "olmo2": GROUPED,
    "olmoe": EXPERTS,
    "openai-gpt": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32},
    "phi": {"partial_rotary_factor": 0.5},
    "phi3": GROUPED,
    "qwen2": GROUPED,
    "qwen2_moe": {**EXPERTS, "shared_expert_intermediate_size": 32},
    "qwen3": GROUPED,
    "qwen3_moe": EXPERTS,
    "recurrent_gemma": {**GROUPED, "lru_width": 32, "attention_window_size": 6, "block_types": ["recurrent", "attention"]},
    "rwkv": {"attention_hidden_size": 32, "context_length": 64},
    "smollm3": GROUPED,
    "stablelm": {"num_key_value_heads": 4},
    "starcoder2": {"num_key_value_heads": 2},
    "xglm": {"d_model": 32, "num_layers": 2, "attention_heads": 4, "ffn_dim": 64},
    "deepseek_v3": {**TEXT, "num_key_value_heads": 4, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1, "moe_intermediate_size": 32, "first_k_dense_replace": 1, "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8},
}
# --- one step with a static cache
STEPPING = (
    "falcon", "gemma", "gpt2", "gpt_neox", "gptj", "granite", "llama", "olmo2", "opt", "phi", "qwen2", "qwen3",
)  # fmt: skip
SEQ2SEQS: dict[str, Config] = {
    "bart": SEQ2SEQ,
    "blenderbot": SEQ2SEQ,
    "bigbird_pegasus": {**SEQ2SEQ, "attention_type": "original_full"},
    "fsmt": without(SEQ2SEQ, "vocab_size", src_vocab_size=VOCABULARY, tgt_vocab_size=VOCABULARY, langs=["en", "de"]),
    "led": {**SEQ2SEQ, "attention_window": 4, "max_encoder_position_embeddings": 64, "max_decoder_position_embeddings": 64},
    "longt5": {**T5, "local_radius": 3},
    "m2m_100": SEQ2SEQ,
    "marian": SEQ2SEQ,
    "mbart": SEQ2SEQ,
    "mt5": {**T5, "feed_forward_proj": "gated-gelu"},
    "mvp": SEQ2SEQ,
    "pegasus": SEQ2SEQ,
    "plbart": SEQ2SEQ,
    "prophetnet": {"vocab_size": VOCABULARY, "hidden_size": 32, "num_encoder_layers": 2, "num_decoder_layers": 2, "num_encoder_attention_heads": 4, "num_decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 64},
    "switch_transformers": {**T5, "num_experts": 2, "expert_capacity": 8},
    "t5": T5,
    "umt5": T5,
}
VISIONS: dict[str, tuple[Config, str, dict[str, Any]]] = {
    "beit": ({**VISION, "use_relative_position_bias": True}, "AutoModel", {}),
    "bit": ({"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1], "num_groups": 4, "layer_type": "preactivation"}, "AutoModel", {}),
    "convnext": ({"hidden_sizes": [16, 32], "depths": [1, 1], "num_stages": 2}, "AutoModel", {}),
    "convnextv2": ({"hidden_sizes": [16, 32], "depths": [1, 1], "num_stages": 2}, "AutoModel", {}),
    "cvt": ({"embed_dim": [16, 32, 32], "num_heads": [1, 2, 2], "depth": [1, 2, 3]}, "AutoModel", {"sizes": (1, 3, 64, 64)}),
    "data2vec-vision": ({**VISION, "use_shared_relative_position_bias": True}, "AutoModel", {}),
    "deit": (VISION, "AutoModel", {}),
    "depth_anything": ({"backbone_config": {"model_type": "dinov2", **VISION, "out_features": ["stage1", "stage2"], "reshape_hidden_states": False, "apply_layernorm": True}, "patch_size": 8, "reassemble_hidden_size": 32, "reassemble_factors": [2, 1], "neck_hidden_sizes": [16, 32], "fusion_hidden_size": 16, "head_hidden_size": 8, "head_in_index": -1}, "AutoModelForDepthEstimation", {}),
    "dinov2": (VISION, "AutoModel", {}),
    "dinov2_with_registers": (VISION, "AutoModel", {}),
    "dinov3_vit": (VISION, "AutoModel", {}),
    "dpt": ({**VISION, "num_hidden_layers": 4, "is_hybrid": False, "backbone_out_indices": [0, 1, 2, 3], "neck_hidden_sizes": [8, 8, 16, 16], "fusion_hidden_size": 16}, "DPTForDepthEstimation", {}),
    "efficientnet": ({"image_size": 32, "width_coefficient": 0.25, "depth_coefficient": 0.25, "hidden_dim": 320}, "AutoModel", {}),
    "focalnet": ({"image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [1, 1], "hidden_sizes": [16, 32], "focal_levels": [2, 2], "focal_windows": [3, 3]}, "AutoModel", {}),
    "glpn": ({"num_encoder_blocks": 2, "depths": [1, 1], "hidden_sizes": [16, 32], "num_attention_heads": [1, 2], "sr_ratios": [2, 1], "patch_sizes": [7, 3], "strides": [4, 2], "mlp_ratios": [2, 2], "decoder_hidden_size": 16}, "AutoModel", {}),
    "hiera": ({"embed_dim": 16, "image_size": [32, 32], "patch_size": [7, 7], "patch_stride": [4, 4], "patch_padding": [3, 3], "depths": [1, 1], "num_heads": [1, 2], "masked_unit_size": [4, 4], "num_query_pool": 1, "query_stride": [2, 2]}, "AutoModel", {}),
    "ijepa": (VISION, "AutoModel", {}),
    "levit": ({"image_size": 64, "hidden_sizes": [32, 48, 64], "num_attention_heads": [2, 3, 4], "depths": [1, 1, 1], "key_dim": [8, 8, 8]}, "AutoModel", {"sizes": (1, 3, 64, 64)}),
    "mobilenet_v1": ({"image_size": 32, "depth_multiplier": 0.25}, "AutoModel", {}),
    "mobilenet_v2": ({"image_size": 32, "depth_multiplier": 0.25}, "AutoModel", {}),
    "mobilevit": ({"image_size": 64, "patch_size": 2, "hidden_sizes": [16, 24, 32], "neck_hidden_sizes": [8, 8, 16, 16, 24, 32, 64]}, "AutoModel", {"sizes": (1, 3, 64, 64)}),
    "mobilevitv2": ({"image_size": 64, "width_multiplier": 0.25}, "AutoModel", {"sizes": (1, 3, 64, 64)}),
    "poolformer": ({"hidden_sizes": [16, 16, 32, 32], "depths": [1, 1, 1, 1]}, "AutoModel", {"sizes": (1, 3, 64, 64)}),
    "pvt": ({"image_size": 64, "hidden_sizes": [16, 16, 32, 32], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 1, 2, 2], "sequence_reduction_ratios": [4, 2, 1, 1]}, "AutoModel", {"sizes": (1, 3, 64, 64)}),
    "pvt_v2": ({"image_size": 64, "hidden_sizes": [16, 16, 32, 32], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 1, 2, 2], "sr_ratios": [4, 2, 1, 1]}, "AutoModel", {"sizes": (1, 3, 64, 64)}),
    "regnet": ({"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1], "groups_width": 8}, "AutoModel", {}),
    "resnet": ({"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1]}, "AutoModel", {}),
    "sam_vision_model": ({**VISION, "output_channels": 16, "window_size": 2, "global_attn_indexes": [1], "mlp_dim": 64}, "SamVisionModel", {}),
    "segformer": ({"num_encoder_blocks": 2, "depths": [1, 1], "hidden_sizes": [16, 32], "num_attention_heads": [1, 2], "sr_ratios": [2, 1], "patch_sizes": [7, 3], "strides": [4, 2], "mlp_ratios": [2, 2], "decoder_hidden_size": 16}, "SegformerForSemanticSegmentation", {}),
    "swiftformer": ({"depths": [1, 1, 1, 1], "embed_dims": [16, 16, 32, 32]}, "AutoModel", {"sizes": (1, 3, 64, 64)}),
    "swin": ({"image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [1, 2], "num_heads": [2, 2], "window_size": 4}, "AutoModel", {}),
    "swin2sr": ({"image_size": 16, "patch_size": 1, "embed_dim": 16, "depths": [1, 2], "num_heads": [2, 2], "window_size": 4, "upscale": 2}, "Swin2SRForImageSuperResolution", {"sizes": (1, 3, 16, 16)}),
    "swinv2": ({"image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [1, 2], "num_heads": [2, 2], "window_size": 4}, "AutoModel", {}),
    "timesformer": ({**VISION, "num_frames": 4}, "AutoModel", {"sizes": (1, 4, 3, 32, 32)}),
    "vit": (VISION, "AutoModel", {}),
    "vit_msn": (VISION, "AutoModel", {}),
    "vitdet": (VISION, "AutoModel", {}),
    "vivit": ({**VISION, "num_frames": 4, "tubelet_size": [2, 8, 8]}, "AutoModel", {"sizes": (1, 4, 3, 32, 32)}),
    "yolos": ({**VISION, "image_size": [32, 32], "num_detection_tokens": 5}, "YolosForObjectDetection", {"take": ("logits", "pred_boxes")}),
}  # fmt: skip
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
CLIP_TEXT: Config = {**TEXT, "projection_dim": 32, "eos_token_id": VOCABULARY - 1}
CLIP_VISION: Config = {**VISION, "projection_dim": 32}
CLIP: Config = {"text_config": CLIP_TEXT, "vision_config": CLIP_VISION, "projection_dim": 32}
CLIP_INPUTS = {
    "input_ids": tokens,
    "attention_mask": mask,
    "pixel_values": image(BATCH, 3, 32, 32),
}
PAIR = ("logits_per_image", "logits_per_text", "text_embeds", "image_embeds")
TEXT_PIXELS = {"input_ids": tokens, "pixel_values": image(BATCH, 3, 32, 32)}
WHISPER: Config = {**SEQ2SEQ, "num_mel_bins": 16, "max_source_positions": 30, "max_target_positions": 30}


def with_image_tokens(count: int, token: int) -> Callable[[], torch.Tensor]:
    """Tokens of which the first ones stand for the patches of an image."""

    def draw() -> torch.Tensor:
        made = ids(VOCABULARY - 4, BATCH, count + 8)
        made[:, 1 : 1 + count] = token
        return made

    return draw


LLAVA: Config = {
    "text_config": {"model_type": "llama", **GROUPED},
    "vision_config": {"model_type": "clip_vision_model", **VISION},
    "image_token_index": 97,
    "image_token_id": 97,
    "vision_feature_layer": -1,
}
OTHERS: dict[str, tuple[str, Callable[[], Made]]] = {
    # encoders of text whose configuration has other names
    "funnel": ("encoder", lambda: text("funnel", {**without(TEXT, "num_hidden_layers"), "block_sizes": [1, 1], "d_model": 32, "n_head": 4, "d_head": 8, "d_inner": 64}, "FunnelModel")),
    "nystromformer": ("encoder", lambda: named("nystromformer", {**TEXT, "num_landmarks": LENGTH, "segment_means_seq_len": LENGTH}, {"input_ids": tokens})),
    "xlnet": ("encoder", lambda: text("xlnet", {**without(TEXT, "max_position_embeddings"), "d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64}, use_mems=False)),
    # vision with several inputs, or detection with fixed queries
    "conditional_detr": ("vision", lambda: pixels("conditional_detr", DETR, "ConditionalDetrForObjectDetection", sizes=(1, 3, 64, 64), take=("logits", "pred_boxes"))),
    "detr": ("vision", lambda: pixels("detr", DETR, "DetrForObjectDetection", sizes=(1, 3, 64, 64), take=("logits", "pred_boxes"))),
    "deformable_detr": ("vision", lambda: pixels("deformable_detr", {**DETR, "backbone_config": RESNET_BACKBONE, "decoder_layers": 2, "num_feature_levels": 3}, "DeformableDetrForObjectDetection", sizes=(1, 3, 64, 64), take=("logits", "pred_boxes"))),
    "mask2former": ("vision", lambda: pixels("mask2former", {"backbone_config": {"model_type": "swin", "image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [1, 1, 1, 1], "num_heads": [2, 2, 2, 2], "window_size": 4, "out_features": ["stage1", "stage2", "stage3", "stage4"]}, "feature_size": 32, "mask_feature_size": 32, "hidden_dim": 32, "encoder_feedforward_dim": 32, "encoder_layers": 1, "decoder_layers": 2, "num_attention_heads": 2, "dim_feedforward": 32, "num_queries": 5}, "Mask2FormerForUniversalSegmentation", sizes=(1, 3, 64, 64), take=("class_queries_logits", "masks_queries_logits"))),
    "superpoint": ("vision", lambda: pixels("superpoint", {"encoder_hidden_sizes": [8, 8, 16, 16], "decoder_hidden_size": 16, "descriptor_decoder_dim": 16}, "SuperPointForKeypointDetection", sizes=(1, 3, 32, 32))),
    "vit_mae": ("vision", lambda: named("vit_mae", {**VISION, "decoder_hidden_size": 32, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 4, "decoder_intermediate_size": 64}, {"pixel_values": image(1, 3, 32, 32), "noise": lambda: torch.rand(1, 16)}, "ViTMAEForPreTraining", take=("logits",))),
    "upernet": ("vision", lambda: pixels("upernet", {"backbone_config": {**RESNET_BACKBONE, "out_features": ["stage1", "stage2", "stage3", "stage4"]}, "hidden_size": 16, "auxiliary_in_channels": 32, "auxiliary_channels": 16, "auxiliary_loss_weight": 0.4}, "UperNetForSemanticSegmentation", sizes=(1, 3, 64, 64))),
    # audio
    "audio-spectrogram-transformer": ("audio", lambda: named("audio-spectrogram-transformer", {**without(VISION, "image_size"), "max_length": 32, "num_mel_bins": 16}, {"input_values": image(2, 32, 16)})),
    "clap_audio_model": ("audio", lambda: named("clap_audio_model", {"spec_size": 64, "num_mel_bins": 16, "window_size": 4, "patch_embeds_hidden_size": 16, "depths": [1, 1], "num_attention_heads": [2, 2], "hidden_size": 32, "patch_size": 4, "patch_stride": [4, 4], "projection_dim": 16}, {"input_features": image(1, 1, 256, 16)}, "ClapAudioModel")),
    "dac": ("audio", lambda: named("dac", {"encoder_hidden_size": 8, "decoder_hidden_size": 16, "downsampling_ratios": [2, 4], "upsampling_ratios": [4, 2], "n_codebooks": 2, "codebook_size": 16, "codebook_dim": 4, "hidden_size": 32}, {"input_values": image(1, 1, 256)}, take=("audio_values", "audio_codes"))),
    "data2vec-audio": ("audio", lambda: speech("data2vec-audio", {**SPEECH, "conv_pos_kernel_size": 7, "num_conv_pos_embeddings": 2})),
    "encodec": ("audio", lambda: named("encodec", {"num_filters": 8, "hidden_size": 16, "codebook_size": 16, "codebook_dim": 16, "upsampling_ratios": [4, 2], "num_lstm_layers": 1, "target_bandwidths": [6.0], "sampling_rate": 4000}, {"input_values": image(1, 1, 256)}, take=("audio_values",))),
    "hubert": ("audio", lambda: speech("hubert", SPEECH)),
    "moonshine": ("audio", lambda: named("moonshine", {**GROUPED, "encoder_num_hidden_layers": 1, "decoder_num_hidden_layers": 1, "encoder_num_attention_heads": 4, "decoder_num_attention_heads": 4, "encoder_num_key_value_heads": 4, "decoder_num_key_value_heads": 4, "decoder_start_token_id": 1}, {"input_values": image(2, 2000), "decoder_input_ids": lambda: tokens()[:, :5]}, take=("last_hidden_state",), use_cache=False)),
    "sew": ("audio", lambda: speech("sew", {**SPEECH, "squeeze_factor": 2})),
    "sew-d": ("audio", lambda: speech("sew-d", {**SPEECH, "squeeze_factor": 2, "max_position_embeddings": 64, "position_buckets": 16})),
    "speech_to_text": ("audio", lambda: named("speech_to_text", {**SEQ2SEQ, "input_feat_per_channel": 16, "num_conv_layers": 2, "conv_kernel_sizes": (3, 3), "conv_channels": 16, "max_source_positions": 64, "max_target_positions": 64}, {"input_features": image(2, 32, 16), "decoder_input_ids": tokens}, "Speech2TextForConditionalGeneration", take=("logits",), use_cache=False)),
    "speecht5": ("audio", lambda: named("speecht5", {**SPEECH, **without(SEQ2SEQ, "d_model"), "hidden_size": 32, "positional_dropout": 0.0, "encoder_layers": 1, "decoder_layers": 1}, {"input_values": image(2, 1600), "decoder_input_ids": tokens}, "SpeechT5ForSpeechToText", take=("logits",), use_cache=False)),
    "unispeech": ("audio", lambda: speech("unispeech", SPEECH, take=("last_hidden_state",))),
    "unispeech-sat": ("audio", lambda: speech("unispeech-sat", SPEECH, take=("last_hidden_state",))),
    "univnet": ("audio", lambda: named("univnet", {"model_in_channels": 8, "model_hidden_channels": 8, "num_mel_bins": 16, "resblock_kernel_sizes": [3], "resblock_stride_sizes": [4], "resblock_dilation_sizes": [[1, 3]], "kernel_predictor_hidden_channels": 8}, {"input_features": image(1, 12, 16), "noise_sequence": image(1, 12, 8)}, take=("waveforms",))),
    "wav2vec2": ("audio", lambda: speech("wav2vec2", SPEECH, "AutoModelForCTC")),
    "wav2vec2-bert": ("audio", lambda: named("wav2vec2-bert", {**without(SPEECH, "conv_dim", "conv_stride", "conv_kernel"), "feature_projection_input_dim": 16, "conv_depthwise_kernel_size": 7, "left_max_position_embeddings": 8, "right_max_position_embeddings": 8}, {"input_features": image(2, 12, 16), "attention_mask": mask}, take=("last_hidden_state",))),
    "wav2vec2-conformer": ("audio", lambda: speech("wav2vec2-conformer", {**SPEECH, "conv_depthwise_kernel_size": 7}, take=("last_hidden_state",))),
    "wavlm": ("audio", lambda: speech("wavlm", {**SPEECH, "num_buckets": 16, "max_bucket_distance": 32}, take=("last_hidden_state",))),
    "whisper": ("audio", lambda: named("whisper", WHISPER, {"input_features": image(1, 16, 60), "decoder_input_ids": lambda: tokens()[:1]}, "WhisperForConditionalGeneration", take=("logits",), use_cache=False)),
    # several modes
    "altclip": ("multimodal", lambda: named("altclip", {**CLIP, "text_config": {**TEXT, "project_dim": 32}}, CLIP_INPUTS, take=PAIR)),
    "blip": ("multimodal", lambda: named("blip", {**CLIP, "image_text_hidden_size": 32}, CLIP_INPUTS, take=PAIR)),
    "bridgetower": ("multimodal", lambda: named("bridgetower", {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "text_config": {**TEXT, "hidden_size": 64}, "vision_config": {**VISION, "hidden_size": 64}}, CLIP_INPUTS, take=("text_features", "image_features", "pooler_output"))),
    "chinese_clip": ("multimodal", lambda: named("chinese_clip", CLIP, CLIP_INPUTS, take=PAIR)),
    "clip": ("multimodal", lambda: named("clip", CLIP, CLIP_INPUTS, take=PAIR)),
    "clipseg": ("multimodal", lambda: named("clipseg", {**CLIP, "extract_layers": [0, 1], "reduce_dim": 16, "decoder_num_attention_heads": 2, "decoder_intermediate_size": 32}, CLIP_INPUTS, "CLIPSegForImageSegmentation", take=("logits",))),
    "flava": ("multimodal", lambda: named("flava", {"text_config": TEXT, "image_config": VISION, "multimodal_config": without(VISION, "image_size", "patch_size"), "hidden_size": 32, "projection_dim": 16}, CLIP_INPUTS, take=("image_embeddings", "text_embeddings", "multimodal_embeddings"))),
    "git": ("multimodal", lambda: named("git", {**TEXT, "vision_config": VISION}, CLIP_INPUTS, "AutoModelForCausalLM", take=("logits",), use_cache=False)),
    "groupvit": ("multimodal", lambda: named("groupvit", {"text_config": CLIP_TEXT, "vision_config": {**VISION, "depths": [1, 1], "num_group_tokens": [4, 0], "num_output_groups": [4, 2]}, "projection_dim": 32, "projection_intermediate_dim": 32}, CLIP_INPUTS, take=PAIR)),
    "layoutlm": ("multimodal", lambda: named("layoutlm", {**TEXT, "max_2d_position_embeddings": 64}, {"input_ids": tokens, "bbox": boxes, "attention_mask": mask})),
    "layoutlmv3": ("multimodal", lambda: named("layoutlmv3", {**TEXT, "max_2d_position_embeddings": 1024, "coordinate_size": 4, "shape_size": 8, "input_size": 32, "patch_size": 8}, {"input_ids": tokens, "bbox": boxes, "attention_mask": mask, "pixel_values": image(BATCH, 3, 32, 32)})),
    "lilt": ("multimodal", lambda: named("lilt", {**TEXT, "hidden_size": 48, "max_2d_position_embeddings": 64}, {"input_ids": tokens, "bbox": boxes, "attention_mask": mask})),
    "llava": ("multimodal", lambda: named("llava", LLAVA, {"input_ids": with_image_tokens(16, 97), "pixel_values": image(BATCH, 3, 32, 32)}, "LlavaForConditionalGeneration", take=("logits",), use_cache=False)),
    "lxmert": ("multimodal", lambda: named("lxmert", {**TEXT, "l_layers": 1, "x_layers": 1, "r_layers": 1, "visual_feat_dim": 16}, {"input_ids": tokens, "attention_mask": mask, "visual_feats": image(BATCH, 5, 16), "visual_pos": lambda: torch.rand(BATCH, 5, 4)})),
    "owlvit": ("multimodal", lambda: named("owlvit", {**CLIP, "text_config": {**TEXT, "max_position_embeddings": 16}}, CLIP_INPUTS, take=PAIR)),
    "paligemma": ("multimodal", lambda: named("paligemma", {"text_config": {"model_type": "gemma", **GROUPED}, "vision_config": {"model_type": "siglip_vision_model", **VISION, "projection_dim": 32}, "image_token_index": 97, "image_token_id": 97, "projection_dim": 32}, {"input_ids": with_image_tokens(16, 97), "pixel_values": image(BATCH, 3, 32, 32), "attention_mask": lambda: torch.ones(BATCH, 24, dtype=torch.int64)}, "PaliGemmaForConditionalGeneration", take=("logits",), use_cache=False)),
    "perceiver": ("multimodal", lambda: named("perceiver", {"num_latents": 8, "d_latents": 32, "d_model": 16, "num_blocks": 1, "num_self_attends_per_block": 2, "num_self_attention_heads": 4, "num_cross_attention_heads": 4}, {"inputs": image(2, 24, 16)}, "PerceiverModel")),
    "pix2struct": ("multimodal", lambda: named("pix2struct", {"text_config": {**T5, "hidden_size": 32}, "vision_config": {**VISION, "d_kv": 8, "d_ff": 64, "patch_embed_hidden_size": 48, "seq_len": 16}}, {"flattened_patches": lambda: torch.cat([torch.randint(0, 8, (2, 16, 2)).float(), torch.randn(2, 16, 48)], -1), "decoder_input_ids": tokens}, "Pix2StructForConditionalGeneration", take=("logits",), use_cache=False)),
    "siglip": ("multimodal", lambda: named("siglip", CLIP, CLIP_INPUTS, take=PAIR)),
    "vilt": ("multimodal", lambda: named("vilt", {**TEXT, **VISION, "max_image_length": 16}, {**CLIP_INPUTS, "pixel_mask": lambda: torch.ones(BATCH, 32, 32, dtype=torch.int64)})),
    "vision-encoder-decoder": ("multimodal", lambda: named("vision-encoder-decoder", {"encoder": {"model_type": "vit", **VISION}, "decoder": {"model_type": "trocr", "vocab_size": VOCABULARY, "d_model": 32, "decoder_layers": 2, "decoder_attention_heads": 4, "decoder_ffn_dim": 64, "max_position_embeddings": 64, "is_decoder": True, "add_cross_attention": True}}, {"pixel_values": image(BATCH, 3, 32, 32), "decoder_input_ids": tokens}, "VisionEncoderDecoderModel", take=("logits",), use_cache=False)),
    "visual_bert": ("multimodal", lambda: named("visual_bert", {**TEXT, "visual_embedding_dim": 16}, {"input_ids": tokens, "attention_mask": mask, "visual_embeds": image(BATCH, 5, 16)})),
    "xclip": ("multimodal", lambda: named("xclip", {"text_config": CLIP_TEXT, "vision_config": {**VISION, "num_frames": 2, "mit_hidden_size": 32, "mit_num_attention_heads": 4, "mit_intermediate_size": 64, "mit_num_hidden_layers": 1}, "projection_dim": 32, "prompt_layers": 1, "prompt_num_attention_heads": 4}, {"input_ids": tokens, "attention_mask": mask, "pixel_values": image(BATCH, 2, 3, 32, 32)}, take=("logits_per_video", "text_embeds", "video_embeds"))),
    # series of numbers
    "patchtsmixer": ("series", lambda: named("patchtsmixer", {"context_length": 32, "patch_length": 8, "patch_stride": 8, "num_input_channels": 3, "d_model": 16, "num_layers": 2, "prediction_length": 4}, {"past_values": image(2, 32, 3)}, "PatchTSMixerForPrediction", take=("prediction_outputs", "last_hidden_state"))),
    "patchtst": ("series", lambda: named("patchtst", {"context_length": 32, "patch_length": 8, "patch_stride": 8, "num_input_channels": 3, "d_model": 16, "num_attention_heads": 4, "num_hidden_layers": 2, "ffn_dim": 32}, {"past_values": image(2, 32, 3)}, take=("last_hidden_state",))),
    "decision_transformer": ("series", lambda: named("decision_transformer", {"hidden_size": 32, "n_layer": 2, "n_head": 4, "state_dim": 5, "act_dim": 3, "max_ep_len": 20, "n_positions": 64}, {"states": image(2, 4, 5), "actions": image(2, 4, 3), "returns_to_go": image(2, 4, 1), "timesteps": lambda: torch.randint(0, 20, (2, 4)), "attention_mask": lambda: torch.ones(2, 4, dtype=torch.int64)}, "DecisionTransformerModel", take=("state_preds", "action_preds", "return_preds"))),
}  # fmt: skip


def _case(family: str, name: str, make: Callable[..., Made], *args: Any, **more: Any) -> Case:
    return Case("transformers", family, name, lambda: make(*args, **more), REFUSED.get(name))


REFUSED: dict[str, str] = {"superpoint": "depends on example input"}
_WITHOUT_MASK = ("rwkv", "mamba", "mamba2", "recurrent_gemma")
CASES = (
    *(_case("encoder", kind, text, kind, {**TEXT, **more}) for kind, more in ENCODERS.items()),
    *(_case("decoder", kind, left_padded, kind, {**TEXT, **more}) for kind, more in DECODERS.items()),
    *(
        _case("decoder step", f"{kind} step", stepping, kind, {**TEXT, **DECODERS[kind]})
        for kind in STEPPING
    ),
    *(_case("encoder-decoder", kind, seq2seq, kind, config) for kind, config in SEQ2SEQS.items()),
    *(
        _case("vision", f"{kind} vision" if kind in ENCODERS else kind, pixels, kind, config, model, **more)
        for kind, (config, model, more) in VISIONS.items()
    ),
    *(Case("transformers", family, n, make, REFUSED.get(n)) for n, (family, make) in OTHERS.items()),
)
