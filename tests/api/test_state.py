"""States that stay on the NeuronCore between calls."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import torch
from torch import nn
from transformers import Cache, GPT2Config, GPT2LMHeadModel

import runtime.model
import torch_neuronx

TOKENS, PROMPT = 64, [5, 17, 3]
LENGTH = TOKENS + len(PROMPT)


class Held(Cache):
    """A cache of one size; a step writes its key and value at its position."""

    def __init__(self, states: list[torch.Tensor], position: torch.Tensor) -> None:
        super().__init__(layers=[])
        self.states = states
        self.here = (torch.arange(LENGTH) == position)[None, None, :, None]

    def update(self, key: torch.Tensor, value: torch.Tensor, layer: int, *_: object, **__: object):
        for place, new in ((2 * layer, key), (2 * layer + 1, value)):
            self.states[place] = torch.where(self.here, new, self.states[place])
        return self.states[2 * layer], self.states[2 * layer + 1]

    def get_seq_length(self, layer: int = 0) -> int:
        return 0


class Decoder(nn.Module):
    """One step of GPT-2: from a token and its position to the next token's logits."""

    def __init__(self, model: GPT2LMHeadModel) -> None:
        super().__init__()
        self.model = model
        config = model.config
        size = (1, config.n_head, LENGTH, config.n_embd // config.n_head)
        for n in range(2 * config.n_layer):
            self.register_buffer(f"state_{n}", torch.zeros(size))
        self.count = 2 * config.n_layer

    def states(self) -> list[torch.Tensor]:
        return [getattr(self, f"state_{n}") for n in range(self.count)]

    def forward(self, token: torch.Tensor, position: torch.Tensor) -> tuple[torch.Tensor, ...]:
        cache = Held(self.states(), position)
        seen = (torch.arange(LENGTH) <= position)[None, None, None, :]
        mask = torch.zeros(1, 1, 1, LENGTH).masked_fill(~seen, -1e9)
        made = self.model(
            token, past_key_values=cache, attention_mask=mask, position_ids=position[None]
        )
        return made.logits[:, -1], *cache.states


@pytest.fixture(scope="module")
def gpt2() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    config = GPT2Config(
        n_layer=2, n_head=2, n_embd=16, vocab_size=97, n_positions=LENGTH, initializer_range=0.5
    )
    return GPT2LMHeadModel(config).eval()


def test_a_cache_of_keys_and_values_stays_on_the_core(gpt2, monkeypatch):
    prompt = torch.tensor([PROMPT])
    expected = gpt2.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=TOKENS, do_sample=False
    )[0].tolist()
    decoder = Decoder(gpt2)
    example = torch.tensor([[1]]), torch.tensor([0])
    aliases = {state: n + 1 for n, state in enumerate(decoder.states())}
    traced = torch_neuronx.trace(decoder, example, input_output_aliases=aliases)
    given, fetched = [], []
    execute, asarray = runtime.model.Model.execute, np.asarray

    def counted(self, inputs):
        given.append(sum(len(view) for view in inputs))
        outputs = execute(self, inputs)
        fetched.append(sum(output.nbytes for output in outputs))
        return outputs

    copies: list[int] = []

    def watched(value, *arguments, **keywords):
        if isinstance(value, jax.Array):
            copies.append(value.nbytes)
        return asarray(value, *arguments, **keywords)

    monkeypatch.setattr(runtime.model.Model, "execute", counted)
    monkeypatch.setattr(np, "asarray", watched)
    tokens = list(PROMPT)
    for position in range(LENGTH - 1):
        (logits,) = traced(torch.tensor([[tokens[position]]]), torch.tensor([position]))
        if position >= len(PROMPT) - 1:
            tokens.append(int(logits.argmax()))
    assert tokens == expected
    steps, logits_bytes = LENGTH - 1, 97 * 4
    assert len(set(tokens)) > 5, "not one token over and over"
    assert max(given) <= 16 and len(given) == steps, "a token and a position go to the core"
    assert fetched == [logits_bytes] * steps, "logits come back"
    assert copies == [logits_bytes, 1] * steps, "and whether a gather left its operand"
    assert not any(state.any() for state in decoder.states()), "the model's own stay as they were"


def test_states_begin_anew_where_a_model_is_loaded_anew(tmp_path):
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("total", torch.zeros(2))

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            total = self.total + x
            return total * 10, total

    def counts(model: torch.jit.ScriptModule, times: int) -> list[float]:
        return [model(torch.ones(2))[0][0].item() for _ in range(times)]

    model = Counter()
    traced = torch_neuronx.trace(model, torch.ones(2), input_output_aliases={model.total: 1})
    torch_neuronx.set_neuron_cores(traced, 0, 1)
    assert counts(traced, 3) == [10, 20, 30]
    torch.jit.save(traced, tmp_path / "counter.pt")
    assert counts(torch.jit.load(tmp_path / "counter.pt"), 2) == [10, 20]
    torch_neuronx.set_neuron_cores(traced, 0, 2)
    assert counts(traced, 4) == [10, 10, 20, 20], "each core has a state of its own"
