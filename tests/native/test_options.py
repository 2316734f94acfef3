"""What can be changed about a model that was made: options, cores, whether it is loaded."""

import copy
import io
import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from tests.native import fake_bridge
from tests.native.conftest import VECTOR, model, neff

pytestmark = pytest.mark.usefixtures("every_model_unloads")

PAIR = ("float32", [2, 3])
DYNAMIC = json.dumps({"dynamic_batch": True})


def dynamic(op="double", inputs=(PAIR, ("int64", [2])), outputs=(PAIR, ("int64", [2]))):
    """A model of batch 2 that takes any batch."""
    made = model(op, list(inputs), list(outputs))
    made.set_options(DYNAMIC)
    return made


@pytest.mark.parametrize("batch", [0, 1, 2, 3, 7, 16, 50_000])
def test_any_batch(batch):
    loaded = dynamic()
    x, n = torch.rand(batch, 3), torch.arange(batch)
    doubled, twice = torch.ops.neuron.forward_v2([x, n], loaded)
    assert torch.equal(doubled, 2 * x) and torch.equal(twice, 2 * n)
    asked = fake_bridge.loaded[-1].log
    assert asked == ([] if batch == 2 else [f"batch {batch}"])  # the traced size goes as ever


def test_a_batch_that_is_not_contiguous():
    x = torch.arange(30.0).reshape(3, 10).t()[::2, :]
    (made,) = torch.ops.neuron.forward_v2([x], dynamic("copy", [PAIR], [PAIR]))
    assert torch.equal(made, x)


REFUSED = [
    (
        [torch.ones(5, 3), torch.ones(4, dtype=torch.int64)],
        "dynamic batching: Inconsistent batch sizes found on inputs: input 0 ('in0') has 5, "
        "input 1 ('in1') has 4",
    ),
    (
        [torch.ones(5, 4), torch.ones(5, dtype=torch.int64)],
        "dynamic batching: input 0 ('in0') was compiled for float32[2, 3] and may differ from it "
        "in dimension 0 only, got float32[5, 4]",
    ),
    (
        [torch.ones(5, 3), torch.ones(5)],
        "dynamic batching: input 1 ('in1') was compiled for int64[2] and may differ from it in "
        "dimension 0 only, got float32[5]",
    ),
    (
        [torch.ones(5, 3, 1), torch.ones(5, dtype=torch.int64)],
        "dynamic batching: input 0 ('in0') was compiled for float32[2, 3] and may differ from it "
        "in dimension 0 only, got float32[5, 3, 1]",
    ),
    (
        [torch.tensor(1.0), torch.ones(5, dtype=torch.int64)],
        "dynamic batching: input 0 ('in0') was compiled for float32[2, 3] and may differ from it "
        "in dimension 0 only, got float32[]",
    ),
]


@pytest.mark.parametrize(("inputs", "message"), REFUSED)
def test_refused_batches(inputs, message):
    loaded = dynamic()
    with pytest.raises(ValueError, match=re.escape(message)):
        torch.ops.neuron.forward_v2(inputs, loaded)
    assert fake_bridge.loaded[-1].calls == 0


def test_without_the_option_only_the_traced_batch_goes():
    loaded = dynamic()
    loaded.set_options("{}")
    with pytest.raises(ValueError, match=r"was compiled for float32\[2, 3\], got float32\[5, 3\]"):
        torch.ops.neuron.forward_v2([torch.ones(5, 3), torch.arange(5)], loaded)


def test_a_result_of_another_batch_is_refused():
    spec = ("uint8", [2])
    with pytest.raises(RuntimeError, match=r"output 'out0' must be uint8\[4\] in 4 bytes, got 3"):
        torch.ops.neuron.forward_v2([torch.ones(4).byte()], dynamic("short", [spec], [spec]))


@pytest.mark.parametrize(
    ("inputs", "outputs", "batch"),
    [([PAIR], [PAIR], 2), ([PAIR], [VECTOR], -1), ([PAIR], [("float32", [])], -1), ([], [], -1)],
)
def test_the_batch_a_model_tells(inputs, outputs, batch):
    assert model("copy", inputs, outputs).batch() == batch


@pytest.mark.parametrize("inputs", [[PAIR, VECTOR], []])
def test_a_model_without_a_batch_cannot_be_dynamic(inputs):
    loaded = model("copy", inputs, [])
    with pytest.raises(RuntimeError, match="needs inputs that share dimension 0, got a batch of"):
        loaded.set_options(DYNAMIC)
    assert loaded.options() == "{}"


def test_refused_options_leave_the_old_ones():
    loaded = dynamic()
    with pytest.raises(ValueError, match=r"^not that$"):
        loaded.set_options('{"refuse": "not that"}')
    assert loaded.options() == DYNAMIC


def saved(module: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    buffer = io.BytesIO()
    torch.jit.save(module, buffer)
    buffer.seek(0)
    return torch.jit.load(buffer)


class Double(torch.nn.Module):
    """A module around a dynamic model."""

    def __init__(self) -> None:
        super().__init__()
        self.model = dynamic("double", [PAIR], [PAIR])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ops.neuron.forward_v2_1([x], self.model)


@pytest.mark.parametrize("again", [saved, copy.deepcopy], ids=["save", "deepcopy"])
def test_options_survive(again):
    module = again(torch.jit.script(Double()))
    assert module.model.options() == DYNAMIC == fake_bridge.loaded[-1].options
    assert module(torch.ones(7, 3)).shape == (7, 3)


def test_options_change_while_calls_run():
    loaded = dynamic("copy", [PAIR], [PAIR])

    def work(n: int) -> None:
        for _ in range(40):
            loaded.set_options(json.dumps({"dynamic_batch": True, "a": "x" * n}))
            x = torch.full((n % 5, 3), float(n))
            assert torch.equal(torch.ops.neuron.forward_v2_1([x], loaded), x)
            assert json.loads(loaded.options())["dynamic_batch"]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(32)))


def test_cores():
    loaded = model("double", [VECTOR], [VECTOR])
    assert loaded.cores() == [0]
    loaded.set_neuron_devices(2, 3)
    assert loaded.cores() == [2, 3, 4]
    with pytest.raises(ValueError, match=r"^start_nc=9$"):
        loaded.set_neuron_devices(9, 1)
    assert loaded.cores() == [2, 3, 4]


def test_unloading_and_loading_again():
    loaded = model("double", [VECTOR], [VECTOR])
    handle = fake_bridge.loaded[-1]
    loaded.unload()
    assert loaded.cores() == [] and handle not in fake_bridge.loaded
    loaded.load()
    assert loaded.cores() == [0] and handle.log == ["unload", "load"]
    assert bytes(loaded.neff().numpy()) == neff("double", [VECTOR], [VECTOR])


def test_the_runtime_object():
    fake_bridge.asked.clear()
    runtime = torch.classes.neuron.Runtime()
    runtime.initialize()
    runtime.set_default_neuron_cores(0, 1)
    assert fake_bridge.asked == [("initialize",), ("cores", 0, 1)]
