"""What is counted: by the table, by hand, and as PyTorch counts the same models."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import resnet18
from transformers import BertConfig, BertModel

from hlo_frontend.capture import capture
from hlo_frontend.hlo.ops import OPS
from hlo_frontend.hlo.parse import parse_module
from hlo_frontend.inspect.cost import COSTS
from hlo_frontend.inspect.graph import graph_of_module, layer_of_operator, layer_of_tensor, total
from hlo_frontend.inspect.stats import by_layer, by_opcode, totals
from neff.compile import compile_module
from neff.inspect.graph import graph_of_program
from neff.program import Space
from tests.inspect.files import module

SUM = "sum {\n  a = f32[] parameter(0)\n  b = f32[] parameter(1)\n  ROOT c = f32[] add(a, b)\n}\n"
BODY = "body {\n  s = f32[4] parameter(0)\n  ROOT t = f32[4] tanh(s)\n}\n"
TEST = "test {\n  u = f32[4] parameter(0)\n  ROOT v = pred[] constant(false)\n}\n"
F = "  x = f32[4,8] parameter(0)\n"


def test_every_op_has_a_cost():
    assert COSTS.keys() == OPS.keys()


@pytest.mark.parametrize(
    ("instructions", "flops", "read", "written"),
    [
        (F + "ROOT y = f32[4,8] tanh(x)", 32, 128, 128),
        (F + "ROOT y = f32[8,4] transpose(x), dimensions={1,0}", 0, 128, 128),
        (F + "ROOT y = f32[32] reshape(x)", 0, 0, 0),
        (F + "ROOT y = s32[4,8] convert(x)", 0, 128, 128),
        (F + "ROOT y = f32[2,8] slice(x), slice={[0:2], [0:8]}", 0, 64, 64),
        (
            F + "ROOT y = f32[4,4] dot(x, x), lhs_contracting_dims={1}, rhs_contracting_dims={1}",
            2 * 4 * 4 * 8, 256, 64,
        ),
        (
            "  x = c64[4,8] parameter(0)\n"
            "ROOT y = c64[4,4] dot(x, x), lhs_contracting_dims={1}, rhs_contracting_dims={1}",
            8 * 4 * 4 * 8, 512, 128,
        ),
        ("  x = s32[9] parameter(0)\nROOT y = s32[9] add(x, x)", 0, 72, 36),
        ("  x = c64[9] parameter(0)\nROOT y = c64[9] multiply(x, x)", 54, 144, 72),
        (
            F + "z = f32[] constant(0)\nROOT y = f32[4] reduce(x, z), dimensions={1}, to_apply=sum",
            28, 132, 16,
        ),
        (
            F + "z = f32[] constant(0)\n"
            "ROOT y = f32[2,4] reduce-window(x, z), window={size=2x2 stride=2x2}, to_apply=sum",
            8 * 3, 132, 32,
        ),
        (
            "  x = f32[4] parameter(0)\nROOT y = f32[4] while(x), condition=test, body=body",
            4, 16, 16,
        ),
        ("  x = c64[2,8] parameter(0)\nROOT y = c64[2,8] fft(x), fft_type=FFT, fft_length={8}",
            2 * 5 * 8 * 3, 128, 128),
        ("  x = f32[3,6,6] parameter(0)\nROOT y = f32[3,6,6] cholesky(x), lower=true",
            216, 432, 432),
        (
            F + "i = s32[] parameter(1)\n"
            "ROOT y = f32[1,8] dynamic-slice(x, i, i), dynamic_slice_sizes={1,8}",
            0, 40, 32,
        ),
        (
            F + "i = s32[] parameter(1)\nu = f32[1,8] parameter(2)\n"
            "ROOT y = f32[4,8] dynamic-update-slice(x, u, i, i)",
            0, 40, 32,
        ),
    ],
)  # fmt: skip
def test_costs_by_hand(instructions, flops, read, written):
    text = f"HloModule m\n{SUM}{BODY}{TEST}ENTRY main {{\n{instructions}\n}}\n"
    cost = total(n.cost for n in graph_of_module(parse_module(text)).entry.nodes)
    assert (cost.flops, cost.read, cost.written) == (flops, read, written)


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        config = BertConfig(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
            vocab_size=100, attn_implementation="eager",
        )  # fmt: skip
        self.bert = BertModel(config, add_pooling_layer=False)

    def forward(self, ids, mask):
        return self.bert(ids, attention_mask=mask).last_hidden_state


def encoder():
    return Encoder(), (torch.randint(0, 100, (2, 16)), torch.ones(2, 16, dtype=torch.long))


def convolutions():
    layers = (
        nn.Conv2d(4, 8, 3, stride=2, groups=2, dilation=2, padding=1),
        nn.ConvTranspose2d(8, 6, 3, stride=2),
        nn.Conv2d(6, 6, 3, groups=6),
    )
    return nn.Sequential(*layers), (torch.rand(2, 4, 17, 17),)


@pytest.mark.parametrize(
    "make", [encoder, convolutions, lambda: (resnet18(), (torch.rand(1, 3, 64, 64),))]
)
def test_dot_and_convolution_count_as_pytorch_counts(make):
    model, inputs = make()
    model.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(*inputs)
    counts = by_opcode(graph_of_module(capture(model, inputs).module))
    made = sum(c.cost.flops for c in counts if c.name in ("dot", "convolution"))
    assert made == counter.get_total_flops() > 0


def test_a_layer_counts_what_is_below_it():
    graph = graph_of_module(module())
    layers = {c.name: c for c in by_layer(graph)}
    assert list(layers) == ["(no layer)", "encoder", "encoder.0", "encoder.1", "head"]
    assert layers["encoder"].cost.flops == 2 * 4 * 16 * 8 + 4 * 16
    assert layers["encoder"].parameters == 8 * 16
    assert layers["encoder.1"].opcodes == (("tanh", 1),)
    whole = totals(graph)
    parts = [c for c in layers.values() if not c.depth]
    assert whole.instructions == sum(c.instructions for c in parts) == 8
    assert whole.cost.flops == sum(c.cost.flops for c in parts)
    assert whole.parameters == 8 * 16 + 16 * 3
    assert [c.name for c in by_layer(graph, 1)] == ["(no layer)", "encoder", "head"]


def test_a_neff_counts_what_its_regions_move():
    """Weights and the input come from HBM, the result goes there; the rest as placement says."""
    program = compile_module(module()).program
    graph = graph_of_program(program)
    region = {p: n for n, r in enumerate(program.regions) for p in r.members}
    in_hbm = {b.value for b in program.buffers if b.space is Space.HBM}
    main = program.main
    read = {
        (region[p], o): main.instructions[o].shape.bytes
        for p in region
        for o in main.instructions[p].operands
        if region.get(o) != region[p]
    }
    cost = totals(graph).cost
    assert cost.read == sum(read.values())
    assert cost.written == sum(main.instructions[p].shape.bytes for p in in_hbm)
    assert cost.flops == totals(graph_of_module(module())).cost.flops


@pytest.mark.parametrize(
    ("find", "name", "layer"),
    [
        (layer_of_operator, "encoder.layer.0/aten__mm", ("encoder", "layer", "0")),
        (layer_of_operator, "jit(f)/dense/dot_general", ("jit(f)", "dense")),
        (layer_of_operator, "aten__mm", ()),
        (layer_of_tensor, "encoder.layer.0.weight", ("encoder", "layer", "0")),
        (layer_of_tensor, "x", ()),
    ],
)
def test_names_of_layers(find, name, layer):
    assert find(name) == layer
