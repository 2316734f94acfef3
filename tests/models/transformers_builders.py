"""How models of transformers are made from tiny configurations, with inputs made by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from tests.models.case import Called, Made, ids, padded, settle

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
EXPERTS: Config = {
    **GROUPED,
    "moe_intermediate_size": 32,
    "num_experts": 4,
    "num_experts_per_tok": 2,
}
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


def with_image_tokens(count: int, token: int) -> Callable[[], torch.Tensor]:
    """Tokens of which the first ones stand for the patches of an image."""

    def draw() -> torch.Tensor:
        made = ids(VOCABULARY - 4, BATCH, count + 8)
        made[:, 1 : 1 + count] = token
        return made

    return draw
