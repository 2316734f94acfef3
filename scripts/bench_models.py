"""The models whose speed is compared: random weights, the usual sizes, inputs drawn by a seed."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from tests.models.case import calibrated, settle

Built = tuple[nn.Module, tuple[torch.Tensor, ...]]
SEED = 0


@dataclass(frozen=True, slots=True)
class BenchModel:
    """A model by name, the batches that are measured, and what makes it and its inputs."""

    name: str
    make: Callable[[int], Built]
    batches: tuple[int, ...] = (1, 8)

    def build(self, batch: int) -> Built:
        """The module in eval mode and its inputs: the same each time."""
        torch.manual_seed(SEED)
        module, inputs = self.make(batch)
        return module.eval(), inputs


class Fields(nn.Module):
    """A model of transformers, by position, that returns a tuple of some of its results."""

    def __init__(self, model: nn.Module, names: tuple[str, ...], take: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self.names, self.take = model, names, take

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        made = self.model(**dict(zip(self.names, inputs, strict=True)))
        return tuple(getattr(made, name) for name in self.take)


def _image(name: str) -> Callable[[int], Built]:
    def make(batch: int) -> Built:
        import timm

        with torch.no_grad():
            model = settle(timm.create_model(name, pretrained=False))
            if any(isinstance(m, nn.BatchNorm2d) for m in model.modules()):
                calibrated(model, 224)
        torch.manual_seed(SEED)
        return model, (torch.rand(batch, 3, 224, 224),)

    return make


def encoder(tokens: int, **sizes: int) -> Callable[[int], Built]:
    """BERT of these sizes (BERT-base where none are given), with a mask of ones."""

    def make(batch: int) -> Built:
        from transformers import BertConfig, BertModel

        inputs = (
            torch.randint(1, 30000, (batch, tokens)),
            torch.ones(batch, tokens, dtype=torch.int64),
        )
        take = ("last_hidden_state", "pooler_output")
        return Fields(BertModel(BertConfig(**sizes)), ("input_ids", "attention_mask"), take), inputs

    return make


def _distilbert(batch: int) -> Built:
    from transformers import DistilBertConfig, DistilBertModel

    inputs = torch.randint(1, 30000, (batch, 128)), torch.ones(batch, 128, dtype=torch.int64)
    names = ("input_ids", "attention_mask")
    return Fields(DistilBertModel(DistilBertConfig()), names, ("last_hidden_state",)), inputs


class Prefill(nn.Module):
    """GPT-2 on a prompt: the logits of its last token."""

    def __init__(self) -> None:
        super().__init__()
        self.model = _gpt2()

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.model(tokens, use_cache=False, logits_to_keep=1).logits


class Decode(nn.Module):
    """GPT-2 on one token after a cache: its logits, and each layer's new key and value."""

    def __init__(self) -> None:
        super().__init__()
        self.model = _gpt2()

    def forward(self, token: torch.Tensor, *past: torch.Tensor) -> tuple[torch.Tensor, ...]:
        cache = _after(past)
        position = torch.full_like(token, past[0].shape[2])
        made = self.model(token, past_key_values=cache, position_ids=position, use_cache=True)
        return made.logits, *cache.made  # type: ignore[attr-defined]


def _gpt2() -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config())


def _after(past: tuple[torch.Tensor, ...]) -> object:
    """A cache that is given from outside and that leaves what is new outside."""
    from transformers import Cache

    class Given(Cache):
        def __init__(self) -> None:
            super().__init__(layers=[])
            self.made: list[torch.Tensor] = []

        def update(
            self, key: torch.Tensor, value: torch.Tensor, layer: int, *_: object, **__: object
        ) -> tuple[torch.Tensor, torch.Tensor]:
            self.made += [key, value]
            before = past[2 * layer], past[2 * layer + 1]
            return torch.cat((before[0], key), 2), torch.cat((before[1], value), 2)

        def get_seq_length(self, layer_idx: int = 0) -> int:
            return past[0].shape[2]

        def get_mask_sizes(self, length: int, layer: int) -> tuple[int, int]:
            return past[0].shape[2] + length, 0

    return Given()


def _prefill(batch: int) -> Built:
    return Prefill(), (torch.randint(0, 50000, (batch, 128)),)


def _decode(batch: int) -> Built:
    past = [torch.randn(batch, 12, 127, 64) for _ in range(24)]
    return Decode(), (torch.randint(0, 50000, (batch, 1)), *past)


class Recurrent(nn.Module):
    """Two layers of LSTM and the last step's classes."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(256, 512, num_layers=2, batch_first=True)
        self.head = nn.Linear(512, 10)

    def forward(self, steps: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(steps)[0][:, -1])


def _mlp(batch: int) -> Built:
    sizes = (1024, 4096, 4096, 1024)
    layers: list[nn.Module] = []
    for n, m in itertools.pairwise(sizes):
        layers += [nn.Linear(n, m), nn.GELU()]
    return nn.Sequential(*layers[:-1]), (torch.randn(batch, sizes[0]),)


MINILM = {
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
}
TIMM = (
    "resnet50",
    "mobilenetv3_small_100",
    "convnext_atto",
    "efficientnet_b0",
    "vit_tiny_patch16_224",
)
MODELS: dict[str, BenchModel] = {
    m.name: m
    for m in (
        *(BenchModel(name, _image(name)) for name in TIMM),
        BenchModel("bert-base-s128", encoder(128)),
        BenchModel("bert-base-s512", encoder(512)),
        BenchModel("distilbert-s128", _distilbert),
        BenchModel("minilm-s128", encoder(128, **MINILM), (1, 8, 16)),
        BenchModel("gpt2-prefill-s128", _prefill),
        BenchModel("gpt2-decode-s128", _decode),
        BenchModel("lstm", lambda batch: (Recurrent(), (torch.randn(batch, 64, 256),))),
        BenchModel("mlp", _mlp),
    )
}
