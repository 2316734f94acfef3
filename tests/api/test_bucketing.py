"""`torch_neuronx.bucket_model_trace`: one module for inputs of several shapes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

import torch_neuronx
from runtime.observe import record_executions
from torch_neuronx.models import neuron_models

LENGTHS = (16, 64)


def pad_to_bucket(tensors: list[torch.Tensor]) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Right-pad every tensor's dimension 1 to the smallest bucket it fits in."""
    length = tensors[0].shape[1]
    index = 0 if length <= 16 else 1
    if length > 64:
        index = 2
    target = 16 if index == 0 else 64
    padded: list[torch.Tensor] = []
    for tensor in tensors:
        zeros = torch.zeros([tensor.shape[0], target - length], dtype=tensor.dtype)
        padded.append(torch.cat([tensor, zeros], dim=1))
    return padded, torch.tensor([index])


def get_kernel(*_: Any) -> torch.jit.ScriptFunction:
    pad_to_bucket.__annotations__ = {
        "tensors": list[torch.Tensor],
        "return": tuple[list[torch.Tensor], torch.Tensor],
    }
    return torch.jit.script(pad_to_bucket)


def bert() -> BertForSequenceClassification:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=100,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        return_dict=False,
    )
    return BertForSequenceClassification(config).eval()


def encoded(length: int) -> tuple[torch.Tensor, torch.Tensor]:
    tokens = torch.randint(1, 100, (1, length))
    return tokens, torch.ones_like(tokens)


@pytest.fixture(scope="module")
def bucketed() -> torch.jit.ScriptModule:
    config = torch_neuronx.BucketModelConfig(get_kernel)
    examples = [encoded(length) for length in LENGTHS]
    return torch_neuronx.bucket_model_trace(lambda *_: (bert(), {}), examples, config)


@pytest.mark.parametrize("length", [1, 12, 16, 17, 44, 64])
def test_a_bert_takes_every_length(bucketed, length):
    inputs = encoded(length)
    (made,) = bucketed(*inputs)
    torch.testing.assert_close(made, bert()(*inputs)[0].detach(), rtol=1e-4, atol=1e-5)


def test_each_bucket_is_one_neff_that_runs_for_its_lengths(bucketed):
    models = neuron_models(bucketed)
    assert len(models) == 2
    torch_neuronx.set_neuron_cores(bucketed, 0, 1)
    models[1].set_neuron_devices(1, 1)
    with record_executions() as record:
        for length in (3, 30, 16):
            bucketed(*encoded(length))
    assert [e.core for e in record] == [0, 1, 0]


def test_saves_and_loads_like_a_trace(bucketed, tmp_path):
    torch.jit.save(bucketed, tmp_path / "bert.pt")
    loaded = torch.jit.load(tmp_path / "bert.pt")
    inputs = encoded(20)
    torch.testing.assert_close(loaded(*inputs), bucketed(*inputs))
    names = {"input_ids": inputs[0], "attention_mask": inputs[1]}
    torch.testing.assert_close(loaded(**names), bucketed(*inputs))


def test_a_kernel_that_names_no_bucket_is_refused(bucketed):
    kernel = torch.jit.script(_third_bucket)
    config = torch_neuronx.BucketModelConfig(lambda: kernel)
    traced = torch_neuronx.bucket_model_trace(lambda: (nn.ReLU(), {}), [torch.ones(1)], config)
    with pytest.raises(torch.jit.Error, match="must name one of 1 buckets, got 3"):
        traced(torch.ones(1))
    kernel = torch.jit.script(_nothing)
    config = torch_neuronx.BucketModelConfig(lambda: kernel)
    traced = torch_neuronx.bucket_model_trace(lambda: (nn.ReLU(), {}), [torch.ones(1)], config)
    with pytest.raises(torch.jit.Error, match="must return the 1 inputs of bucket 0, got 0"):
        traced(torch.ones(1))


def _third_bucket(tensors):
    # type: (List[Tensor]) -> Tuple[List[Tensor], Tensor]
    return tensors, torch.tensor([3])


def _nothing(tensors):
    # type: (List[Tensor]) -> Tuple[List[Tensor], Tensor]
    return tensors[:0], torch.tensor([0])


class Sums(nn.Module):
    """Adds a row of a given length to its state; returns the state's sum, and twice the state."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.register_buffer("state", torch.zeros(1, length))

    def forward(self, row: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        state = self.state + row
        return {"sum": state.sum(), "twice": state * 2}, state


def sums(length: int) -> tuple[nn.Module, dict[torch.Tensor, int]]:
    model = Sums(length)
    return model, {model.state: 2}


def by_length(tensors):
    # type: (List[Tensor]) -> Tuple[List[Tensor], Tensor]
    return tensors, torch.tensor([0 if tensors[0].shape[1] == 2 else 1])


def last_columns(shapes, states, bucket):
    # type: (List[List[List[int]]], List[Tensor], Tensor) -> List[Tensor]
    length = shapes[int(bucket)][0][1]
    return [states[0][:, states[0].shape[1] - length :]]


def first_columns_copied(shapes, states, bucket):
    # type: (List[List[List[int]]], List[Tensor], Tensor) -> List[Tensor]
    return [states[0][:, : shapes[int(bucket)][0][1]].clone()]


EXAMPLES = [torch.ones(1, 2), torch.ones(1, 4)]
KEYWORDS = [{"length": 2}, {"length": 4}]


def traced_sums(**keywords: Any) -> torch.jit.ScriptModule:
    kernel = torch.jit.script(by_length)
    config = torch_neuronx.BucketModelConfig(lambda: kernel, func_kwargs=KEYWORDS, **keywords)
    return torch_neuronx.bucket_model_trace(sums, EXAMPLES, config)


def test_buckets_share_states(tmp_path):
    initial = torch.zeros(1, 4)
    traced = traced_sums(
        shared_state_buffer=[initial],
        shared_state_buffer_preprocessor=lambda: torch.jit.script(last_columns),
    )
    torch.jit.save(traced, tmp_path / "sums.pt")
    for model in (traced, torch.jit.load(tmp_path / "sums.pt")):
        (result,) = model(torch.ones(1, 4))
        assert result["twice"].tolist() == [[2, 2, 2, 2]] and result["sum"] == 4
        assert model(torch.full((1, 2), 5.0))[0]["twice"].tolist() == [[12, 12]]
        assert model(torch.ones(1, 4))[0]["twice"].tolist() == [[4, 4, 14, 14]]
    assert not initial.any()


def test_shared_states_are_whole_by_default():
    kernel = torch.jit.script(by_length)
    config = torch_neuronx.BucketModelConfig(
        lambda: kernel, shared_state_buffer=[torch.zeros(1, 4)], func_kwargs={"length": 4}
    )
    examples = [torch.ones(1, 1), torch.ones(1, 4)]
    traced = torch_neuronx.bucket_model_trace(sums, examples, config)
    assert traced(torch.ones(1, 4))[0]["sum"] == 4


def test_states_that_are_not_shared_stay_with_their_bucket():
    traced = traced_sums()
    assert [traced(torch.ones(1, 2))[0]["sum"].item() for _ in range(2)] == [2, 4]
    assert [traced(torch.ones(1, 4))[0]["sum"].item() for _ in range(2)] == [4, 8]
    assert traced(torch.ones(1, 2))[0]["sum"].item() == 6


def test_directories_of_the_compiler(tmp_path):
    kernel = torch.jit.script(by_length)
    config = torch_neuronx.BucketModelConfig(lambda: kernel, func_kwargs=KEYWORDS)
    torch_neuronx.bucket_model_trace(sums, EXAMPLES, config, compiler_workdir=str(tmp_path))
    assert [(tmp_path / f"bucket_{n}" / "graph.neff").exists() for n in (0, 1)] == [True, True]


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"shared_state_buffer": [torch.zeros(1)] * 2}, "got 2 for the 1 of bucket 0"),
        (
            {"shared_state_buffer": [torch.zeros(1, 4, dtype=torch.int32)]},
            "must have its buffer's type, got torch.float32 in bucket 0 for a buffer of torch.int",
        ),
        (
            {
                "shared_state_buffer": [torch.zeros(1, 4)],
                "shared_state_buffer_preprocessor": lambda: torch.jit.script(first_columns_copied),
            },
            r"must return views of the buffers with the shapes of bucket 0.*got copies of \[\[1, 2",
        ),
    ],
)
def test_states_that_do_not_fit_are_refused(keywords, message):
    with pytest.raises(ValueError, match=message):
        traced_sums(**keywords)


def test_what_does_not_go_together_is_refused():
    kernel = torch.jit.script(by_length)
    trace, config = torch_neuronx.bucket_model_trace, torch_neuronx.BucketModelConfig
    with pytest.raises(ValueError, match="each of the 2 buckets, got 1"):
        trace(sums, EXAMPLES, config(lambda: kernel, func_kwargs=KEYWORDS[:1]))
    with pytest.raises(ValueError, match="example_inputs must hold a bucket"):
        trace(sums, [], config(lambda: kernel))
    with pytest.raises(TypeError, match=r"example_inputs\[0\] must be a tensor or a tuple of t"):
        trace(sums, [(torch.ones(1), 3)], config(lambda: kernel))
    with pytest.raises(TypeError, match="bucket_kernel must be a function that returns"):
        config(3)
    results = iter([lambda x: (x, x + 1), lambda x: [x, x + 1]])
    with pytest.raises(ValueError, match=r"nest alike, got \(made\[0\], made\[1\],\), \[made\[0\]"):
        trace(lambda: (next(results), {}), EXAMPLES, config(lambda: kernel))
    stray = torch.zeros(1, 2)
    shared = config(lambda: kernel, shared_state_buffer=[stray])
    with pytest.raises(ValueError, match="must be a parameter or buffer of the bucket's model"):
        trace(lambda: (nn.ReLU(), {stray: 0}), EXAMPLES, shared)
