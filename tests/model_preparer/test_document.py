"""The examples of the Model Preparer document, and what it says of each limit of torch.fx."""

from __future__ import annotations

import linecache
import sys
import textwrap
from math import sqrt
from pathlib import Path

import pytest
import torch
import torch.fx
import torch.nn.functional as F
from torch import nn

from hlo_frontend import aliases
from hlo_frontend.model_preparer import (
    ControlFlowError,
    PrepareError,
    UntraceableCallError,
    UntraceableLengthError,
    modules,
    prepare_model,
)

DOCUMENT = Path(__file__).parents[3] / "shared" / "spec" / "documents" / "aimet_model_preparer.rst"

torch.fx.wrap("len")
torch.fx.wrap("sqrt")


class ModelWithFunctionalReLU(nn.Module):
    """Two functional relus and a relu method."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, kernel_size=3)
        self.conv2 = nn.Conv2d(32, 16, kernel_size=3)
        self.fc1 = nn.Linear(16 * 12 * 12, 8)
        self.fc2 = nn.Linear(8, 4)

    def forward(self, *inputs):
        x = F.relu(self.conv1(inputs[0]))
        x = F.relu(self.conv2(x))
        x = torch.flatten(x, 1)
        x = self.fc1(x).relu()
        return self.fc2(x)


class ModelWithReusedReLU(nn.Module):
    """One torch.nn.ReLU that is called four times."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, kernel_size=3)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, kernel_size=3)
        self.relu = nn.ReLU(inplace=True)
        self.fc1 = nn.Linear(8 * 12 * 12, 8)
        self.fc2 = nn.Linear(8, 4)

    def forward(self, *inputs):
        x = self.relu(self.bn1(self.conv1(inputs[0])))
        x = self.relu(self.conv2(x))
        x = self.relu(self.fc1(x.flatten(1)))
        return self.relu(self.fc2(x))


class ModelWithElementwiseAddOp(nn.Module):
    """An addition in forward."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, kernel_size=2)
        self.conv2 = nn.Conv2d(3, 8, kernel_size=2)

    def forward(self, *inputs):
        x = self.conv1(inputs[0]) + self.conv2(inputs[0])
        return x


class ModelWithNonTorchFunction(torch.nn.Module):
    def __init__(self):
        super(ModelWithNonTorchFunction, self).__init__()  # noqa: UP008
        self.conv = torch.nn.Conv2d(3, 4, kernel_size=2, stride=2, padding=2, bias=False)

    def forward(self, *inputs):
        x = self.conv(inputs[0])
        return x / sqrt(len(x))


class CustomModule(torch.nn.Module):
    @staticmethod
    def forward(x):
        return x * torch.nn.functional.softplus(x).sigmoid()


class CustomModel(torch.nn.Module):
    def __init__(self):
        super(CustomModel, self).__init__()  # noqa: UP008
        self.conv1 = torch.nn.Conv2d(3, 8, kernel_size=2)
        self.custom = CustomModule()

    def forward(self, inputs):
        x = self.conv1(inputs)
        x = self.custom(x)
        return x


def image() -> torch.Tensor:
    return torch.rand(2, 3, 16, 16)


def called(prepared) -> dict[str, type]:
    """The modules that the graph calls, in order."""
    nodes = [n for n in prepared.graph.nodes if n.op == "call_module"]
    return {str(n.target): type(prepared.get_submodule(str(n.target))) for n in nodes}


@pytest.mark.parametrize(
    ("model", "new"),
    [
        (ModelWithFunctionalReLU, ["module_relu", "module_relu_1", "module_relu_2"]),
        (ModelWithReusedReLU, ["module_relu_1", "module_relu_2", "module_relu_3"]),
    ],
)
def test_every_relu_is_a_module_of_its_own(model, new):
    model, x = model().eval(), image()
    prepared = prepare_model(model)
    kinds = called(prepared)
    assert [path for path in kinds if path.startswith("module_")] == new
    assert all(kinds[path] is nn.ReLU for path in new)
    assert torch.equal(prepared(x), model(x))
    assert prepared.state_dict().keys() == model.state_dict().keys()


def test_an_addition_is_a_module():
    model, x = ModelWithElementwiseAddOp().eval(), image()
    prepared = prepare_model(model)
    assert called(prepared)["module_add"] is modules.Add
    assert torch.equal(prepared(x), model(x))


def test_wrapped_functions_stay():
    model, x = ModelWithNonTorchFunction().eval(), image()
    model_transformed = prepare_model(model)
    assert {n.name for n in model_transformed.graph.nodes if n.op == "call_function"} == {
        *("getitem", "len_1", "sqrt"),
    }
    assert called(model_transformed) == {"conv": nn.Conv2d, "module_truediv": modules.Divide}
    assert torch.equal(model_transformed(x), model(x))


def test_an_excluded_module_is_not_traced_through():
    model, x = CustomModel().eval(), image()
    prepared_model = prepare_model(model, modules_to_exclude=[model.custom])
    assert called(prepared_model) == {"conv1": nn.Conv2d, "custom": CustomModule}
    assert prepared_model.custom is model.custom
    assert torch.equal(prepared_model(x), model(x))
    assert "custom.module_softplus" in called(prepare_model(model))


class Flagged(nn.Module):
    def forward(self, x, flag):
        if flag:
            return x
        else:
            return x * 2


@torch.fx.wrap
def custom_function_not_to_be_traced(x, y):
    for _ in range(2):
        x += x
        y += y
    return x * x + y * y


class Wrapped(nn.Module):
    def forward(self, x, y):
        return custom_function_not_to_be_traced(x + 1, y + 1)


def test_control_flow_is_refused_with_the_line_and_a_remedy():
    with pytest.raises(torch.fx.proxy.TraceError) as raised:
        prepare_model(Flagged())
    message = str(raised.value)
    assert isinstance(raised.value, ControlFlowError)
    assert "symbolically traced variables cannot be used as inputs to control flow" in message
    line = Flagged.forward.__code__.co_firstlineno + 1
    assert f"from test_document.py:{line}\n    if flag:" in message
    assert "concrete_args={'flag': ...}" in message
    assert "@torch.fx.wrap" in message


def test_a_concrete_argument_decides():
    x = torch.rand(3)
    assert torch.equal(prepare_model(Flagged(), concrete_args={"flag": True})(x), x)
    assert torch.equal(prepare_model(Flagged(), concrete_args={"flag": False})(x, False), x * 2)
    with pytest.raises(AssertionError, match="flag has been specialized to have value True"):
        prepare_model(Flagged(), concrete_args={"flag": True})(x, False)


def test_a_wrapped_function_may_loop():
    prepared = prepare_model(Wrapped())
    assert called(prepared) == {"module_add": modules.Add, "module_add_1": modules.Add}
    x, y = torch.rand(2), torch.rand(2)
    assert torch.equal(prepared(x, y), Wrapped()(x, y))


class Constructor(nn.Module):
    def forward(self, x):
        return torch.arange(x.shape[0], device=x.device)


class ConstantConstructor(nn.Module):
    def forward(self, x):
        return x + torch.arange(10, device=torch.device("cpu"))


@torch.fx.wrap
def do_not_trace_me(x):
    return torch.arange(x.shape[0], device=x.device)


class WrappedConstructor(nn.Module):
    def forward(self, x):
        return do_not_trace_me(x)


class TensorOfASize(nn.Module):
    def forward(self, x):
        return x * torch.tensor(x.shape[0])


@pytest.mark.parametrize("model", [Constructor, ConstantConstructor, WrappedConstructor])
def test_constructors_that_can_be_traced_are(model):
    """The document's torch.arange(x.shape[0]) among them: torch.fx has learnt it since."""
    x = torch.rand(10)
    assert torch.equal(prepare_model(model())(x), model()(x))


def test_a_constructor_that_cannot_be_traced_is_refused_with_a_remedy():
    with pytest.raises(UntraceableCallError) as raised:
        prepare_model(TensorOfASize())
    message = str(raised.value)
    assert (
        "a tensor's constructor must be given constants, got `torch.tensor(x.shape[0])`" in message
    )
    assert "from test_document.py:" in message
    assert "constants, as in torch.arange(10), or move the code into a function" in message
    assert "@torch.fx.wrap" in message
    assert isinstance(raised.value, TypeError)


def run(code: str) -> nn.Module:
    """The model of a file of its own, in which nothing is wrapped."""
    name = f"<{abs(hash(code))}>.py"
    linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
    scope: dict[str, type] = {"__name__": name}
    exec(compile(code, name, "exec"), scope)
    return scope["Model"]()


MODEL = """
import numpy
import torch
from cmath import sqrt

class Layer(torch.nn.Module):
    def forward(self, x):
        return {expression}

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = Layer()

    def forward(self, x):
        return self.layer(x)
"""


@pytest.mark.parametrize(
    ("expression", "part", "remedy", "kind"),
    [
        ("x / len(x)", "`len(x)`", "torch.fx.wrap('len')", UntraceableLengthError),
        (
            "x * sqrt(x.shape[0])",
            "`sqrt(x.shape[0])`",
            "torch.fx.wrap('sqrt')",
            UntraceableCallError,
        ),
        (
            "x + numpy.sqrt(x)",
            "`numpy.sqrt(x)`",
            "decorated with @torch.fx.wrap",
            UntraceableCallError,
        ),
        ("x[: int(x[0])]", "`int(x[0])`", "get_submodule('layer')", UntraceableCallError),
        (
            "[x for _ in range(x.shape[0])]",
            "`range(x.shape[0])`",
            "@torch.fx.wrap",
            UntraceableCallError,
        ),
        ("[y for y in x]", "Proxy object cannot be iterated", "concrete_args", ControlFlowError),
        ("x if (x > 0).all() else -x", "(x > 0).all()", "@torch.fx.wrap", ControlFlowError),
    ],
)
def test_what_is_not_torchs_is_refused_with_a_remedy(expression, part, remedy, kind):
    with pytest.raises(PrepareError) as raised:
        prepare_model(run(MODEL.format(expression=expression)))
    message = str(raised.value)
    assert type(raised.value) is kind
    assert raised.value.__cause__ is not None
    assert part in message and remedy in message
    assert ".py:8, in layer layer\n" in message


def test_other_errors_of_a_model_keep_their_type_and_say_where():
    with pytest.raises(AttributeError) as raised:
        prepare_model(run(MODEL.format(expression="x + self.missing")))
    [note] = raised.value.__notes__
    assert note.endswith(".py:8, in layer layer\n    return x + self.missing")


def test_the_documents_import_works(monkeypatch):
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    aliases.install()
    scope: dict[str, object] = {}
    exec("from aimet_torch.model_preparer import prepare_model", scope)
    assert scope["prepare_model"] is prepare_model


def flat(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.skipif(not DOCUMENT.exists(), reason="the documents are not beside this checkout")
@pytest.mark.parametrize(
    ("names"), [("CustomModule", "CustomModel"), ("ModelWithNonTorchFunction",)]
)
def test_classes_are_those_of_the_document(names):
    source = Path(__file__).read_text().replace("  # noqa: UP008", "")
    document = flat(DOCUMENT.read_text())
    for name in names:
        body = source.partition(f"class {name}(")[2].partition("\n\n\n")[0]
        assert flat(textwrap.dedent(f"class {name}({body}")) in document
