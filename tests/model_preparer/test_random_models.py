"""Random small models made of the table's calls are prepared to the same numbers."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hlo_frontend.model_preparer import prepare_model
from tests.model_preparer.calls import CASES, Tensors, block
from tests.model_preparer.test_calls import agrees

LAYERS = (
    "nn.ReLU()",
    "nn.SiLU()",
    "nn.Conv2d(4, 4, 1)",
    "nn.BatchNorm2d(4)",
    "nn.ReLU(inplace=True)",
)


class Random(Tensors):
    """Blocks of the table's calls between layers, some of which are called again."""

    def __init__(self, calls, layers, order):
        super().__init__()
        self.blocks = nn.ModuleList(block(call) for call in calls)
        self.layers = nn.ModuleList(eval(layer, {"nn": nn}) for layer in layers)
        self.order = order

    def forward(self, x, y, m, g, v, w):
        results = []
        for index in self.order:
            x = self.layers[index % len(self.layers)](x * 1)
            results.append(self.blocks[index % len(self.blocks)](x, y, m, g, v, w))
        return results, x


@settings(max_examples=60, deadline=None)
@given(
    calls=st.lists(st.sampled_from([case.expression for case in CASES]), min_size=1, max_size=4),
    layers=st.lists(st.sampled_from(LAYERS), min_size=1, max_size=3),
    order=st.lists(st.integers(0, 11), min_size=1, max_size=6),
)
def test_random_models(calls, layers, order):
    model = Random(calls, layers, order).eval()
    prepared = prepare_model(model)
    assert agrees(prepared, model)
    called = [n.target for n in prepared.graph.nodes if n.op == "call_module"]
    assert len(called) == len(set(called))
    again = prepare_model(prepared)
    assert again.code == prepared.code
    assert agrees(again, model)
