"""Models of libraries: what is on AWS's list is compiled, embeddings and the like are not."""

from __future__ import annotations

import pytest
import timm
import torch
from transformers import BertConfig, BertModel

import torch_neuron
from tests.torch_neuron.models import assert_close, operators, segments


def test_bert(tmp_path):
    torch.manual_seed(0)
    sizes = {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 128}
    model = BertModel(BertConfig(**sizes, num_attention_heads=4, vocab_size=100)).eval()
    tokens, mask = torch.randint(0, 100, (2, 16)), torch.ones(2, 16, dtype=torch.long)
    mask[1, 9:] = 0
    traced = torch_neuron.trace(model, (tokens, mask), strict=False)
    left = {kind for kind in operators(traced) if kind.startswith("aten::")}
    assert "aten::embedding" in left and not left & {"aten::linear", "aten::layer_norm"}
    torch.jit.save(traced, tmp_path / "bert.pt")
    loaded = torch.jit.load(tmp_path / "bert.pt")
    mask[0, 4:] = 0
    expected = model(tokens, mask)
    for module in (traced, loaded):
        made = module(tokens, mask)
        assert made.keys() == expected.keys()
        largest = expected.last_hidden_state.abs().max()
        assert_close(made["last_hidden_state"] / largest, expected.last_hidden_state / largest)


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "test_vit"])
def test_vision_models_are_one_segment(name):
    torch.manual_seed(0)
    model = timm.create_model(name, pretrained=False).eval()
    image = torch.rand(1, 3, 160, 160)
    traced = torch_neuron.trace(model, image)
    assert segments(traced) == ["_NeuronGraph#0"]
    assert operators(traced) == ["neuron::forward_v2_1"]
    expected = model(image).detach()
    largest = expected.abs().max()
    assert_close(traced(image) / largest, expected / largest)
