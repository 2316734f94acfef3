"""Which operators are supported, and what is said about those of a model."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import torch_neuron
from tests.torch_neuron.models import Cut, Net, operators
from torch_neuron.operators import CONDITIONS, LATER

PUBLISHED = Path(__file__).parents[3] / "shared/spec/ops_torch_neuron.txt"
X = torch.linspace(0.05, 0.95, 16).reshape(2, 8)  # no value that rounding brings over a border


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the list is not beside this checkout")
def test_the_list_is_the_published_one():
    text = PUBLISHED.read_text().splitlines()
    lines = [line.split("\t") for line in text if line.startswith(("aten::", "prim::"))]
    limited = {name for name, _, *rest in lines if rest and rest[0].startswith("LIMITED")}
    assert {name for name, *_ in lines} - limited == set(torch_neuron.get_supported_operations())
    packed = {"aten::_pack_padded_sequence", "aten::_pad_packed_sequence"}  # no fixed shapes
    assert limited - packed <= CONDITIONS.keys()


def test_what_later_releases_record_is_no_part_of_the_list():
    assert LATER.keys().isdisjoint(torch_neuron.get_supported_operations())
    for named in LATER.values():
        for old in named.split(", "):
            assert old == "aten::norm" or old in torch_neuron.get_supported_operations()


@pytest.mark.parametrize(
    ("func", "compiled"),
    [
        (lambda x: torch.where(x > 0.5, x, -x) * 2, True),
        (lambda x: torch.norm(x, 2, 1) * 2, True),
        (lambda x: torch.norm(x, math.inf, 1) * 2, True),
        (lambda x: torch.norm(x, 3, 1) * 2, False),
        (lambda x: x.pow(2).mul_(3).add_(1), True),
        (lambda x: torch.nn.functional.one_hot((x * 3).to(torch.int64), 4) * 2, True),
        (lambda x: torch.nn.functional.one_hot((x * 3).to(torch.int64)) * 2, False),
        (lambda x: torch.nn.functional.scaled_dot_product_attention(x, x, x) * 2, True),
        (lambda x: torch.nn.functional.pad(x, (1, 2)) * 2, True),
        (lambda x: torch.nn.functional.pad(x, (1, 2), "circular") * 2, False),
        (lambda x: torch.nn.functional.rms_norm(x, (8,)) * 2, True),
        (lambda x: torch.nn.functional.embedding((x * 2).to(torch.int64), x) * 2, False),
    ],
)
def test_conditions(func, compiled):
    traced = torch_neuron.trace(func, X, minimum_segment_size=1, single_fusion_ratio_threshold=1.0)
    left = [kind for kind in operators(traced) if kind.startswith("aten::")]
    assert (not left) == compiled, left
    torch.testing.assert_close(traced(X), func(X), rtol=0.02, atol=0.02)


def test_max_pool3d_without_its_indices():
    images = torch.rand(1, 1, 4, 4, 4)

    def pooled(x):
        return torch.nn.functional.max_pool3d_with_indices(x, 2)[0] * 2

    def placed(x):
        values, places = torch.nn.functional.max_pool3d_with_indices(x, 2)
        return values * 2 + 1, places

    assert operators(torch_neuron.trace(pooled, images)) == ["neuron::forward_v2_1"]
    assert "aten::max_pool3d_with_indices" in operators(torch_neuron.trace(placed, images))


def test_a_supported_model_is_analyzed(caplog):
    with caplog.at_level("INFO", "Neuron"):
        found = torch_neuron.analyze_model(Net(), example_inputs=[X])
    assert found["percent_supported"] == 100.0 and not found["unsupported_operators"]
    assert found["operator_count"]["aten::linear"] == 2
    assert found["supported_count"] == found["total_count"] == sum(found["operator_count"].values())
    total = found["total_count"]
    assert caplog.messages[0] == (
        "The following operations are currently supported in torch-neuron for this model:"
    )
    assert caplog.messages[-2:] == [
        f"100.00% of all operations (including primitives) ({total} of {total}) are supported",
        "100.00% of arithmetic operations (4 of 4) are supported",
    ]


def test_what_is_not_supported_is_named_with_its_line(caplog):
    with caplog.at_level("INFO", "Neuron"):
        found = torch_neuron.analyze_model(Cut(), X)
    assert found["unsupported_operators"] == ["aten::cumsum"]
    assert "75.00% of arithmetic operations (6 of 8) are supported" in caplog.messages
    heading = "The following operations are currently not supported in torch-neuron for this model:"
    line = caplog.messages[caplog.messages.index(heading) + 1]
    assert line.startswith("aten::cumsum at ") and "models.py(" in line


LINES = """\
INFO:Neuron:There are 2 ops of 1 different types in the TorchScript that are not compiled by \
neuron-cc: aten::cumsum, (For more information see https://github.com/aws/aws-neuron-sdk/blob/\
master/release-notes/neuron-cc-ops/neuron-cc-ops-pytorch.md)
INFO:Neuron:Number of arithmetic operators (pre-compilation) before = 8, fused = 6, percent fused \
= 75.0%
INFO:Neuron:Compiling function _NeuronGraph$0 with neuron-cc
INFO:Neuron:Number of arithmetic operators (post-compilation) before = 8, compiled = 6, percent \
compiled = 75.0%
INFO:Neuron:The neuron partitioner created 3 sub-graphs
INFO:Neuron:Neuron successfully compiled 3 sub-graphs, Total fused subgraphs = 3, Percent of model \
sub-graphs successfully compiled = 100.0%
INFO:Neuron:Compiled these operators (and operator counts) to Neuron:
INFO:Neuron: => aten::linear: 3
INFO:Neuron: => aten::tanh: 3
INFO:Neuron:Not compiled operators (and operator counts) to Neuron:
INFO:Neuron: => aten::cumsum: 2 [not supported]
"""
CODE = """
import torch, torch_neuron
from tests.torch_neuron.models import Cut
torch_neuron.trace(Cut(), torch.rand(2, 8))
import logging, sys
print("- - -", file=sys.stderr)
logging.basicConfig(level=logging.WARNING)
torch_neuron.trace(Cut(), torch.rand(2, 8))
"""


def test_the_lines_are_shown_where_no_logging_is_set_up():
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    text, quiet = done.stderr.split("- - -\n")
    shown = text.splitlines()
    expected = LINES.splitlines()
    assert [line for line in shown if line in expected] == expected
    assert all(line.startswith("INFO:Neuron:") for line in shown)
    assert sum("Compiling with command line: 'neuron-cc compile " in line for line in shown) == 3
    assert sum("Compiler status PASS" in line for line in shown) == 3
    assert quiet == ""


def test_everything_compiled_is_said_so(caplog):
    with caplog.at_level("INFO", "Neuron"):
        torch_neuron.trace(Net(), X)
    assert (
        "All operators are compiled by neuron-cc (this does not guarantee that neuron-cc will "
        "successfully compile)"
    ) in caplog.messages
    assert not any(message.startswith("Not compiled") for message in caplog.messages)
