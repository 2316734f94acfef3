"""What the compiler leaves in the programs of well-known models: a table, kept in a file.

It counts what is stable, not seconds. Transformers have two layers here: a layer more adds as much
again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from hlo_frontend.capture import capture
from neff.lower import lower
from neff.options import parse_options
from neff.pipeline import pipeline, run
from neff.program import Function, Program
from tests.models.case import Called, ids
from torch_neuronx.xla_impl.build import bind

FILE = Path(__file__).with_name("program_counts.txt")
SETTINGS = ("none", "matmult")
LAYERS = 2
Built = tuple[nn.Module, tuple[torch.Tensor, ...]]

# What is counted in the entry function, by the name of its column.
COLUMNS: dict[str, Callable[[Function], int]] = {
    "instructions": lambda f: sum(i.op not in ("parameter", "constant") for i in f.instructions),
    "transposes": lambda f: _count(f, "transpose"),
    "moved": lambda f: _moved(f),
    "copies": lambda f: _count(f, "copy"),
    "converts": lambda f: _count(f, "convert"),
    "reshapes": lambda f: _count(f, "reshape"),
    "broadcasts": lambda f: _count(f, "broadcast"),
}


def _count(function: Function, op: str) -> int:
    return sum(i.op == op for i in function.instructions)


def _moved(function: Function) -> int:
    """Transposes that something other than a dot reads: a dot can read its operands turned."""
    users = function.users()
    return sum(
        any(function.instructions[u].op != "dot" for u in users[position])
        for position, i in function.numbered()
        if i.op == "transpose"
    )


def _image(name: str) -> Built:
    import timm

    return timm.create_model(name, pretrained=False), (torch.rand(1, 3, 224, 224),)


def _encoder(kind: str, **sizes: int) -> Built:
    import transformers

    model = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**sizes))
    called = Called(model, ("input_ids", "attention_mask"), take=("last_hidden_state",))
    return called, (ids(30000, 1, 128), torch.ones(1, 128, dtype=torch.int64))


def _gpt2() -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(n_layer=LAYERS))


class DecodedToken(nn.Module):
    """GPT-2 on one token, and the keys and values of those before it: logits, and the new cache."""

    def __init__(self) -> None:
        super().__init__()
        self.model = _gpt2()

    def forward(self, token: torch.Tensor, *cached: torch.Tensor) -> tuple[torch.Tensor, ...]:
        from transformers import DynamicCache

        cache = DynamicCache(ddp_cache_data=list(zip(cached[::2], cached[1::2], strict=True)))
        made = self.model(token, past_key_values=cache, use_cache=True)
        layers = made.past_key_values.layers
        return (made.logits, *(t for layer in layers for t in (layer.keys, layer.values)))


def _prefill() -> Built:
    fixed = {"use_cache": False}
    return Called(_gpt2(), ("input_ids",), fixed, take=("logits",)), (ids(50000, 1, 128),)


def _decode() -> Built:
    cached = tuple(torch.randn(1, 12, 127, 64) for _ in range(2 * LAYERS))
    return DecodedToken(), (ids(50000, 1, 1), *cached)


def _mlp() -> Built:
    layers = nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
    return nn.Sequential(*layers), (torch.randn(1, 784),)


MINI_LM = {"hidden_size": 384, "intermediate_size": 1536}
MODELS: dict[str, Callable[[], Built]] = {
    "resnet50": lambda: _image("resnet50"),
    "mobilenetv3_small_100": lambda: _image("mobilenetv3_small_100"),
    "convnext_atto": lambda: _image("convnext_atto"),
    "efficientnet_b0": lambda: _image("efficientnet_b0"),
    "vit_tiny_patch16_224": lambda: _image("vit_tiny_patch16_224"),
    "bert": lambda: _encoder("Bert", num_hidden_layers=LAYERS),
    "distilbert": lambda: _encoder("DistilBert", n_layers=LAYERS),
    "minilm": lambda: _encoder("Bert", num_hidden_layers=LAYERS, **MINI_LM),
    "gpt2_prefill": _prefill,
    "gpt2_decode": _decode,
    "lstm": lambda: (
        nn.LSTM(128, 256, num_layers=2, batch_first=True),
        (torch.randn(1, 32, 128),),
    ),
    "mlp": _mlp,
}


def captured_program(name: str) -> Program:
    """A model of the table as it is before any pass, with random weights."""
    torch.manual_seed(0)
    module, inputs = MODELS[name]()
    captured = capture(module.eval(), inputs)
    return lower(captured.module, *bind(captured, inline_weights=True))


def rows(name: str) -> Iterator[str]:
    """The lines of a model: one for each setting of `--auto-cast`."""
    program = captured_program(name)
    for setting in SETTINGS:
        steps = pipeline(parse_options(["--auto-cast", setting]))
        main = run(replace(program), steps, lambda record: None).main
        yield _line(name, setting, *(str(count(main)) for count in COLUMNS.values()))


def _line(name: str, setting: str, *counts: str) -> str:
    return f"{name:<24}{setting:<9}" + "".join(f"{c:>13}" for c in counts)


def table() -> str:
    """The whole file."""
    lines = [_line("model", "auto-cast", *COLUMNS).replace("auto-cast", "cast     ")]
    lines += [row for name in MODELS for row in rows(name)]
    return "\n".join(lines) + "\n"
