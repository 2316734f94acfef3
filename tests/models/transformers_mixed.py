"""Models of sound, of several modes, and of series of numbers."""

from __future__ import annotations

from collections.abc import Callable

import torch

from tests.models.case import Made
from tests.models.transformers_builders import (
    BATCH,
    GROUPED,
    SEQ2SEQ,
    SPEECH,
    T5,
    TEXT,
    VISION,
    VOCABULARY,
    Config,
    boxes,
    image,
    mask,
    named,
    speech,
    tokens,
    with_image_tokens,
    without,
)

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
WHISPER: Config = {
    **SEQ2SEQ,
    "num_mel_bins": 16,
    "max_source_positions": 30,
    "max_target_positions": 30,
}


LLAVA: Config = {
    "text_config": {"model_type": "llama", **GROUPED},
    "vision_config": {"model_type": "clip_vision_model", **VISION},
    "image_token_index": 97,
    "image_token_id": 97,
    "vision_feature_layer": -1,
}
Makers = dict[str, Callable[[], Made]]

AUDIO: Makers = {
    "audio-spectrogram-transformer": lambda: named(
        "audio-spectrogram-transformer",
        {**without(VISION, "image_size"), "max_length": 32, "num_mel_bins": 16},
        {"input_values": image(2, 32, 16)},
    ),
    "clap_audio_model": lambda: named(
        "clap_audio_model",
        {
            "spec_size": 64,
            "num_mel_bins": 16,
            "window_size": 4,
            "patch_embeds_hidden_size": 16,
            "depths": [1, 1],
            "num_attention_heads": [2, 2],
            "hidden_size": 32,
            "patch_size": 4,
            "patch_stride": [4, 4],
            "projection_dim": 16,
        },
        {"input_features": image(1, 1, 256, 16)},
        "ClapAudioModel",
    ),
    "dac": lambda: named(
        "dac",
        {
            "encoder_hidden_size": 8,
            "decoder_hidden_size": 16,
            "downsampling_ratios": [2, 4],
            "upsampling_ratios": [4, 2],
            "n_codebooks": 2,
            "codebook_size": 16,
            "codebook_dim": 4,
            "hidden_size": 32,
        },
        {"input_values": image(1, 1, 256)},
        take=("audio_values", "audio_codes"),
    ),
    "data2vec-audio": lambda: speech(
        "data2vec-audio", {**SPEECH, "conv_pos_kernel_size": 7, "num_conv_pos_embeddings": 2}
    ),
    "hubert": lambda: speech("hubert", SPEECH),
    "moonshine": lambda: named(
        "moonshine",
        {
            **GROUPED,
            "encoder_num_hidden_layers": 1,
            "decoder_num_hidden_layers": 1,
            "encoder_num_attention_heads": 4,
            "decoder_num_attention_heads": 4,
            "encoder_num_key_value_heads": 4,
            "decoder_num_key_value_heads": 4,
            "decoder_start_token_id": 1,
        },
        {"input_values": image(2, 2000), "decoder_input_ids": lambda: tokens()[:, :5]},
        take=("last_hidden_state",),
        use_cache=False,
    ),
    "sew": lambda: speech("sew", {**SPEECH, "squeeze_factor": 2}),
    "sew-d": lambda: speech(
        "sew-d",
        {**SPEECH, "squeeze_factor": 2, "max_position_embeddings": 64, "position_buckets": 16},
    ),
    "speech_to_text": lambda: named(
        "speech_to_text",
        {
            **SEQ2SEQ,
            "input_feat_per_channel": 16,
            "num_conv_layers": 2,
            "conv_kernel_sizes": (3, 3),
            "conv_channels": 16,
            "max_source_positions": 64,
            "max_target_positions": 64,
        },
        {"input_features": image(2, 32, 16), "decoder_input_ids": tokens},
        "Speech2TextForConditionalGeneration",
        take=("logits",),
        use_cache=False,
    ),
    "speecht5": lambda: named(
        "speecht5",
        {
            **SPEECH,
            **without(SEQ2SEQ, "d_model"),
            "hidden_size": 32,
            "positional_dropout": 0.0,
            "encoder_layers": 1,
            "decoder_layers": 1,
        },
        {"input_values": image(2, 1600), "decoder_input_ids": tokens},
        "SpeechT5ForSpeechToText",
        take=("logits",),
        use_cache=False,
    ),
    "unispeech": lambda: speech("unispeech", SPEECH, take=("last_hidden_state",)),
    "unispeech-sat": lambda: speech("unispeech-sat", SPEECH, take=("last_hidden_state",)),
    "univnet": lambda: named(
        "univnet",
        {
            "model_in_channels": 8,
            "model_hidden_channels": 8,
            "num_mel_bins": 16,
            "resblock_kernel_sizes": [3],
            "resblock_stride_sizes": [4],
            "resblock_dilation_sizes": [[1, 3]],
            "kernel_predictor_hidden_channels": 8,
        },
        {"input_features": image(1, 12, 16), "noise_sequence": image(1, 12, 8)},
        take=("waveforms",),
    ),
    "wav2vec2": lambda: speech("wav2vec2", SPEECH, "AutoModelForCTC"),
    "wav2vec2-bert": lambda: named(
        "wav2vec2-bert",
        {
            **without(SPEECH, "conv_dim", "conv_stride", "conv_kernel"),
            "feature_projection_input_dim": 16,
            "conv_depthwise_kernel_size": 7,
            "left_max_position_embeddings": 8,
            "right_max_position_embeddings": 8,
        },
        {"input_features": image(2, 12, 16), "attention_mask": mask},
        take=("last_hidden_state",),
    ),
    "wav2vec2-conformer": lambda: speech(
        "wav2vec2-conformer",
        {**SPEECH, "conv_depthwise_kernel_size": 7},
        take=("last_hidden_state",),
    ),
    "wavlm": lambda: speech(
        "wavlm",
        {**SPEECH, "num_buckets": 16, "max_bucket_distance": 32},
        take=("last_hidden_state",),
    ),
    "whisper": lambda: named(
        "whisper",
        WHISPER,
        {"input_features": image(1, 16, 60), "decoder_input_ids": lambda: tokens()[:1]},
        "WhisperForConditionalGeneration",
        take=("logits",),
        use_cache=False,
    ),
}
MULTIMODAL: Makers = {
    "altclip": lambda: named(
        "altclip", {**CLIP, "text_config": {**TEXT, "project_dim": 32}}, CLIP_INPUTS, take=PAIR
    ),
    "blip": lambda: named("blip", {**CLIP, "image_text_hidden_size": 32}, CLIP_INPUTS, take=PAIR),
    "bridgetower": lambda: named(
        "bridgetower",
        {
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "text_config": {**TEXT, "hidden_size": 64},
            "vision_config": {**VISION, "hidden_size": 64},
        },
        CLIP_INPUTS,
        take=("text_features", "image_features", "pooler_output"),
    ),
    "chinese_clip": lambda: named("chinese_clip", CLIP, CLIP_INPUTS, take=PAIR),
    "clip": lambda: named("clip", CLIP, CLIP_INPUTS, take=PAIR),
    "clipseg": lambda: named(
        "clipseg",
        {
            **CLIP,
            "extract_layers": [0, 1],
            "reduce_dim": 16,
            "decoder_num_attention_heads": 2,
            "decoder_intermediate_size": 32,
        },
        CLIP_INPUTS,
        "CLIPSegForImageSegmentation",
        take=("logits",),
    ),
    "flava": lambda: named(
        "flava",
        {
            "text_config": TEXT,
            "image_config": VISION,
            "multimodal_config": without(VISION, "image_size", "patch_size"),
            "hidden_size": 32,
            "projection_dim": 16,
        },
        CLIP_INPUTS,
        take=("image_embeddings", "text_embeddings", "multimodal_embeddings"),
    ),
    "git": lambda: named(
        "git",
        {**TEXT, "vision_config": VISION},
        CLIP_INPUTS,
        "AutoModelForCausalLM",
        take=("logits",),
        use_cache=False,
    ),
    "groupvit": lambda: named(
        "groupvit",
        {
            "text_config": CLIP_TEXT,
            "vision_config": {
                **VISION,
                "depths": [1, 1],
                "num_group_tokens": [4, 0],
                "num_output_groups": [4, 2],
            },
            "projection_dim": 32,
            "projection_intermediate_dim": 32,
        },
        CLIP_INPUTS,
        take=PAIR,
    ),
    "layoutlm": lambda: named(
        "layoutlm",
        {**TEXT, "max_2d_position_embeddings": 64},
        {"input_ids": tokens, "bbox": boxes, "attention_mask": mask},
    ),
    "layoutlmv3": lambda: named(
        "layoutlmv3",
        {
            **TEXT,
            "max_2d_position_embeddings": 1024,
            "coordinate_size": 4,
            "shape_size": 8,
            "input_size": 32,
            "patch_size": 8,
        },
        {
            "input_ids": tokens,
            "bbox": boxes,
            "attention_mask": mask,
            "pixel_values": image(BATCH, 3, 32, 32),
        },
    ),
    "lilt": lambda: named(
        "lilt",
        {**TEXT, "hidden_size": 48, "max_2d_position_embeddings": 64},
        {"input_ids": tokens, "bbox": boxes, "attention_mask": mask},
    ),
    "llava": lambda: named(
        "llava",
        LLAVA,
        {"input_ids": with_image_tokens(16, 97), "pixel_values": image(BATCH, 3, 32, 32)},
        "LlavaForConditionalGeneration",
        take=("logits",),
        use_cache=False,
    ),
    "lxmert": lambda: named(
        "lxmert",
        {**TEXT, "l_layers": 1, "x_layers": 1, "r_layers": 1, "visual_feat_dim": 16},
        {
            "input_ids": tokens,
            "attention_mask": mask,
            "visual_feats": image(BATCH, 5, 16),
            "visual_pos": lambda: torch.rand(BATCH, 5, 4),
        },
    ),
    "owlvit": lambda: named(
        "owlvit",
        {**CLIP, "text_config": {**TEXT, "max_position_embeddings": 16}},
        CLIP_INPUTS,
        take=PAIR,
    ),
    "paligemma": lambda: named(
        "paligemma",
        {
            "text_config": {"model_type": "gemma", **GROUPED},
            "vision_config": {"model_type": "siglip_vision_model", **VISION, "projection_dim": 32},
            "image_token_index": 97,
            "image_token_id": 97,
            "projection_dim": 32,
        },
        {
            "input_ids": with_image_tokens(16, 97),
            "pixel_values": image(BATCH, 3, 32, 32),
            "attention_mask": lambda: torch.ones(BATCH, 24, dtype=torch.int64),
            # Without it the model masks one way when it is traced and another when it is not.
            "token_type_ids": lambda: torch.zeros(BATCH, 24, dtype=torch.int64),
        },
        "PaliGemmaForConditionalGeneration",
        take=("logits",),
        use_cache=False,
    ),
    "perceiver": lambda: named(
        "perceiver",
        {
            "num_latents": 8,
            "d_latents": 32,
            "d_model": 16,
            "num_blocks": 1,
            "num_self_attends_per_block": 2,
            "num_self_attention_heads": 4,
            "num_cross_attention_heads": 4,
        },
        {"inputs": image(2, 24, 16)},
        "PerceiverModel",
    ),
    "pix2struct": lambda: named(
        "pix2struct",
        {
            "text_config": {**T5, "hidden_size": 32},
            "vision_config": {
                **VISION,
                "d_kv": 8,
                "d_ff": 64,
                "patch_embed_hidden_size": 48,
                "seq_len": 16,
            },
        },
        {
            "flattened_patches": lambda: torch.cat(
                [torch.randint(0, 8, (2, 16, 2)).float(), torch.randn(2, 16, 48)], -1
            ),
            "decoder_input_ids": tokens,
        },
        "Pix2StructForConditionalGeneration",
        take=("logits",),
        use_cache=False,
    ),
    "siglip": lambda: named("siglip", CLIP, CLIP_INPUTS, take=PAIR),
    "vilt": lambda: named(
        "vilt",
        {**TEXT, **VISION, "max_image_length": 16},
        {**CLIP_INPUTS, "pixel_mask": lambda: torch.ones(BATCH, 32, 32, dtype=torch.int64)},
    ),
    "vision-encoder-decoder": lambda: named(
        "vision-encoder-decoder",
        {
            "encoder": {"model_type": "vit", **VISION},
            "decoder": {
                "model_type": "trocr",
                "vocab_size": VOCABULARY,
                "d_model": 32,
                "decoder_layers": 2,
                "decoder_attention_heads": 4,
                "decoder_ffn_dim": 64,
                "max_position_embeddings": 64,
                "is_decoder": True,
                "add_cross_attention": True,
            },
        },
        {"pixel_values": image(BATCH, 3, 32, 32), "decoder_input_ids": tokens},
        "VisionEncoderDecoderModel",
        take=("logits",),
        use_cache=False,
    ),
    "visual_bert": lambda: named(
        "visual_bert",
        {**TEXT, "visual_embedding_dim": 16},
        {"input_ids": tokens, "attention_mask": mask, "visual_embeds": image(BATCH, 5, 16)},
    ),
    "xclip": lambda: named(
        "xclip",
        {
            "text_config": CLIP_TEXT,
            "vision_config": {
                **VISION,
                "num_frames": 2,
                "mit_hidden_size": 32,
                "mit_num_attention_heads": 4,
                "mit_intermediate_size": 64,
                "mit_num_hidden_layers": 1,
            },
            "projection_dim": 32,
            "prompt_layers": 1,
            "prompt_num_attention_heads": 4,
        },
        {"input_ids": tokens, "attention_mask": mask, "pixel_values": image(BATCH, 2, 3, 32, 32)},
        take=("logits_per_video", "text_embeds", "video_embeds"),
    ),
}
SERIES: Makers = {
    "patchtsmixer": lambda: named(
        "patchtsmixer",
        {
            "context_length": 32,
            "patch_length": 8,
            "patch_stride": 8,
            "num_input_channels": 3,
            "d_model": 16,
            "num_layers": 2,
            "prediction_length": 4,
        },
        {"past_values": image(2, 32, 3)},
        "PatchTSMixerForPrediction",
        take=("prediction_outputs", "last_hidden_state"),
    ),
    "patchtst": lambda: named(
        "patchtst",
        {
            "context_length": 32,
            "patch_length": 8,
            "patch_stride": 8,
            "num_input_channels": 3,
            "d_model": 16,
            "num_attention_heads": 4,
            "num_hidden_layers": 2,
            "ffn_dim": 32,
        },
        {"past_values": image(2, 32, 3)},
        take=("last_hidden_state",),
    ),
    "decision_transformer": lambda: named(
        "decision_transformer",
        {
            "hidden_size": 32,
            "n_layer": 2,
            "n_head": 4,
            "state_dim": 5,
            "act_dim": 3,
            "max_ep_len": 20,
            "n_positions": 64,
        },
        {
            "states": image(2, 4, 5),
            "actions": image(2, 4, 3),
            "returns_to_go": image(2, 4, 1),
            "timesteps": lambda: torch.randint(0, 20, (2, 4)),
            "attention_mask": lambda: torch.ones(2, 4, dtype=torch.int64),
        },
        "DecisionTransformerModel",
        take=("state_preds", "action_preds", "return_preds"),
    ),
}
