"""A module that is called again becomes a module of its own, with the same tensors."""

from __future__ import annotations

import torch
from torch import nn

from hlo_frontend.model_preparer import prepare_model


class Shared(nn.Module):
    """A layer and a normalization that are called twice, once with keywords."""

    def __init__(self):
        super().__init__()
        self.fc, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)
        self.bilinear = nn.Bilinear(4, 4, 4)

    def forward(self, x):
        x = self.norm(self.fc(x))
        x = self.norm(self.fc(input=x))
        x = self.bilinear(x, input2=x)
        return self.bilinear(input1=x, input2=x)


def test_keywords_are_kept():
    model, x = Shared().eval(), torch.rand(3, 4)
    prepared = prepare_model(model)
    assert torch.equal(prepared(x), model(x))
    [node] = [n for n in prepared.graph.nodes if n.target == "module_fc_1"]
    assert list(node.kwargs) == ["input"]


def test_copies_are_modules_of_their_own_with_the_same_tensors():
    model = Shared()
    prepared = prepare_model(model)
    assert prepared.fc is model.fc
    assert prepared.module_fc_1 is not model.fc
    assert prepared.module_fc_1.weight is model.fc.weight
    assert prepared.module_norm_1.running_mean is model.norm.running_mean
    assert "module_fc_1 (Linear, tied)" in prepared.report.table()
    assert len(list(prepared.parameters())) == len(list(model.parameters()))


def test_training_goes_as_it_does_without():
    torch.manual_seed(0)
    first, second = Shared(), Shared()
    second.load_state_dict(first.state_dict())
    prepared, x = prepare_model(second).train(), torch.rand(8, 4)
    for model in (first, prepared):
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
        for _ in range(3):
            optimizer.zero_grad()
            model(x).square().sum().backward()
            optimizer.step()
    for name, wanted in first.state_dict().items():
        assert torch.equal(prepared.state_dict()[name], wanted), name


def test_a_copy_has_hooks_of_its_own():
    seen = []
    model = Shared().eval()
    model.fc.register_forward_hook(lambda *_: seen.append("model's"))
    prepared = prepare_model(model)
    prepared.module_fc_1.register_forward_hook(lambda *_: seen.append("copy's"))
    assert seen == []
    prepared(torch.rand(2, 4))
    assert seen == ["model's", "model's", "copy's"]
    model(torch.rand(2, 4))
    assert seen[3:] == ["model's", "model's"]


def test_a_computed_weight_is_shared_too():
    """torch.nn.utils.weight_norm keeps what it computes, a tensor that cannot be copied."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.utils.parametrizations.weight_norm(nn.Linear(3, 3))

        def forward(self, x):
            return self.fc(self.fc(x))

    model, x = Model(), torch.rand(2, 3)
    prepared = prepare_model(model)
    assert torch.equal(prepared(x), model(x))
    assert len(list(prepared.parameters())) == 3
