"""The examples of torch_neuron's document run, letter for letter."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
import torchvision

from tests.test_documents import run, words

DOCUMENT = Path(__file__).parents[3] / "shared/spec/documents/torch_neuron_trace.rst"

FUNCTION = """
    import torch
    import torch_neuron

    def foo(x, y):
        return 2 * x + y

    # Run `foo` with the provided inputs and record the tensor operations
    traced_foo = torch.neuron.trace(foo, (torch.rand(3), torch.rand(3)))

    # `traced_foo` can now be run with the TorchScript interpreter or saved
    # and loaded in a Python-free environment
    torch.jit.save(traced_foo, 'foo.pt')
    traced_foo = torch.jit.load('foo.pt')
"""
MODULE = """
    import torch
    import torch_neuron
    import torch.nn as nn

    class Net(nn.Module):
        def __init__(self):
            super(Net, self).__init__()
            self.conv = nn.Conv2d(1, 1, 3)

        def forward(self, x):
            return self.conv(x) + 1

    n = Net()
    n.eval()

    inputs = torch.rand(1, 1, 3, 3)

    # Trace a specific method and construct `ScriptModule` with
    # a single `forward` method
    neuron_forward = torch.neuron.trace(n.forward, inputs)

    # Trace a module (implicitly traces `forward`) and constructs a
    # `ScriptModule` with a single `forward` method
    neuron_net = torch.neuron.trace(n, inputs)
"""
PRETRAINED = """
    import torch
    import torch_neuron
    from torchvision import models

    # Load the model and set it to evaluation mode
    model = models.resnet50(pretrained=True)
    model.eval()

    # Compile with an example input
    image = torch.rand([1, 3, 224, 224])
    model_neuron = torch.neuron.trace(model, image)
"""
DYNAMIC_BATCHING = """
    import torch
    import torch_neuron
    from torchvision import models

    # Load the model and set it to evaluation mode
    model = models.resnet50(pretrained=True)
    model.eval()

    # Compile with an example input of batch size 1
    image = torch.rand([1, 3, 224, 224])
    model_neuron = torch.neuron.trace(model, image, dynamic_batch_size=True)

    # Execute with a batch of 7 images
    batch = torch.rand([7, 3, 224, 224])
    results = model_neuron(batch)
"""
PARTITIONING = """
    import torch
    import torch_neuron
    import torch.nn as nn

    class ExampleConvolutionLayer(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 3)

        def forward(self, x):
            return self.conv(x) + 1

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = ExampleConvolutionLayer()

        def forward(self, x):
            return self.layer(x) * 100

    def subgraph_builder_function(node) -> bool:
        \"\"\"Select if the node will be included in the Neuron graph\"\"\"

        # Node names are tuples of Module names.
        if 'ExampleConvolutionLayer' in node.name:
            return True

        # Ignore all operations not in the example convolution layer
        return False

    model = Model()
    model.eval()

    inputs = torch.rand(1, 1, 3, 3)

    # Log output shows that `aten::_convolution` and `aten::add` are compiled
    # but `aten::mul` is not. This will seamlessly switch between Neuron/CPU
    # execution in a single graph.
    neuron_model = torch_neuron.trace(
        model,
        inputs,
        subgraph_builder_function=subgraph_builder_function
    )
"""
EXAMPLES = {
    "function": FUNCTION,
    "module": MODULE,
    "pretrained": PRETRAINED,
    "dynamic": DYNAMIC_BATCHING,
    "partitioning": PARTITIONING,
}


def example(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    return run("if True:\n" + text, folder, monkeypatch)  # indented as in the document


@pytest.fixture
def resnet(monkeypatch):
    """timm's ResNet-50 in the place of torchvision's, whose weights would be downloaded."""
    torch.manual_seed(0)

    def resnet50(pretrained: bool) -> torch.nn.Module:
        assert pretrained
        return timm.create_model("resnet50", pretrained=False)

    monkeypatch.setattr(torchvision.models, "resnet50", resnet50)


def assert_close_as_bf16(actual: torch.Tensor, expected: torch.Tensor) -> None:
    assert not actual.requires_grad
    largest = expected.abs().max().item()
    torch.testing.assert_close(actual, expected.detach(), rtol=0, atol=0.02 * largest)


@pytest.mark.skipif(not DOCUMENT.exists(), reason="the documents are not beside this checkout")
def test_the_examples_are_all_those_of_the_document():
    text = DOCUMENT.read_text()
    assert text.count(".. code-block:: python") == len(EXAMPLES)
    for name, found in EXAMPLES.items():
        assert words(found) in words(text), name


def test_function_compilation(tmp_path, monkeypatch):
    scope = example(FUNCTION, tmp_path, monkeypatch)
    x, y = torch.rand(3), torch.rand(3)
    assert_close_as_bf16(scope["traced_foo"](x, y), scope["foo"](x, y))


def test_module_compilation(tmp_path, monkeypatch):
    scope = example(MODULE, tmp_path, monkeypatch)
    x = torch.rand(1, 1, 3, 3)
    for name in ("neuron_forward", "neuron_net"):
        assert isinstance(scope[name], torch.jit.ScriptModule)
        assert scope[name]._c._method_names() == ["forward"]
        assert_close_as_bf16(scope[name](x), scope["n"](x))


@pytest.mark.slow
def test_pretrained_model_compilation(resnet, tmp_path, monkeypatch):
    scope = example(PRETRAINED, tmp_path, monkeypatch)
    traced, image = scope["model_neuron"], scope["image"]
    assert [name for name, _ in traced.named_children()] == ["_NeuronGraph#0"]
    assert_close_as_bf16(traced(image), scope["model"](image))


@pytest.mark.slow
def test_dynamic_batching(resnet, tmp_path, monkeypatch):
    scope = example(DYNAMIC_BATCHING, tmp_path, monkeypatch)
    assert_close_as_bf16(scope["results"], scope["model"](scope["batch"]))


def test_manual_partitioning(tmp_path, monkeypatch, caplog):
    with caplog.at_level("INFO", "Neuron"):
        scope = example(PARTITIONING, tmp_path, monkeypatch)
    compiled, left = "Compiled these operators", "Not compiled operators"
    lines = [r.message for r in caplog.records if not hasattr(r, "record")]
    start, middle = (
        next(n for n, m in enumerate(lines) if m.startswith(h)) for h in (compiled, left)
    )
    assert lines[start + 1 : middle] == [" => aten::_convolution: 1", " => aten::add: 1"]
    assert lines[middle + 1 :] == [" => aten::mul: 1 [supported]"]
    traced, inputs = scope["neuron_model"], scope["inputs"]
    kinds = [n.kind() for n in traced.inlined_graph.nodes() if "::" in n.kind()]
    assert [k for k in kinds if not k.startswith("prim::")] == ["neuron::forward_v2_1", "aten::mul"]
    assert [name for name, _ in traced.named_children()] == ["_NeuronGraph#0"]
    assert_close_as_bf16(traced(inputs), scope["model"](inputs))
