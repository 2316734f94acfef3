"""What the operators accept, return and refuse."""

import re

import pytest
import torch

from tests.native import fake_bridge
from tests.native.conftest import VECTOR, model

pytestmark = pytest.mark.usefixtures("every_model_unloads")

X = torch.tensor([1.0, 2.0, 3.0])

TYPES = [
    ("bool", torch.bool),
    ("uint8", torch.uint8),
    ("int8", torch.int8),
    ("int16", torch.int16),
    ("int32", torch.int32),
    ("int64", torch.int64),
    ("float16", torch.float16),
    ("bfloat16", torch.bfloat16),
    ("float32", torch.float32),
    ("float64", torch.float64),
    ("complex64", torch.complex64),
    ("float8_e4m3fn", torch.float8_e4m3fn),
]
SHAPES = [[], [0], [3, 0, 2], [1], [2, 3, 5], [300, 300]]


@pytest.mark.parametrize(("name", "dtype"), TYPES)
@pytest.mark.parametrize("dims", SHAPES)
def test_every_type_and_shape_comes_back_as_it_went(name, dtype, dims):
    given = (torch.rand(dims) * 4 - 2).to(dtype)
    loaded = model("copy", [(name, dims)], [(name, dims)])
    (result,) = torch.ops.neuron.forward_v2([given], loaded)
    assert result.dtype == dtype and list(result.shape) == dims
    assert result.reshape(-1).view(torch.uint8).equal(given.reshape(-1).view(torch.uint8))


def test_several_outputs_and_one():
    two = model("double", [VECTOR, VECTOR], [VECTOR, VECTOR])
    first, second = torch.ops.neuron.forward_v2([X, X + 1], two)
    assert torch.equal(first, 2 * X) and torch.equal(second, 2 * X + 2)
    one = model("add", [VECTOR, VECTOR], [VECTOR])
    assert torch.equal(torch.ops.neuron.forward_v2_1([X, X], one), 2 * X)
    with pytest.raises(RuntimeError, match="forward_v2_1: the model must have one output, got 2"):
        torch.ops.neuron.forward_v2_1([X, X], two)


def test_no_inputs_and_no_outputs():
    assert torch.ops.neuron.forward_v2([], model("nothing", [], [])) == []


@pytest.mark.parametrize("elements", [3, 100_000])
def test_results_are_the_callers_own(elements):
    spec = ("float32", [elements])
    loaded = model("copy", [spec], [spec])
    given = torch.ones(elements)
    first = torch.ops.neuron.forward_v2_1([given], loaded)
    second = torch.ops.neuron.forward_v2_1([given], loaded)
    first.add_(1)
    assert given.sum() == second.sum() == elements and first.sum() == 2 * elements


def test_large_results_are_not_copied():
    spec = ("float32", [100_000])
    loaded = model("keep", [spec], [spec])  # gives back the input's own memory
    given = torch.ones(100_000)
    result = torch.ops.neuron.forward_v2_1([given], loaded)
    assert result.data_ptr() == given.data_ptr()


def test_a_result_outlives_its_model():
    spec = ("float32", [100_000])
    loaded = model("double", [spec], [spec])
    result = torch.ops.neuron.forward_v2_1([torch.ones(100_000)], loaded)
    handle = fake_bridge.loaded[-1]
    del loaded
    assert handle not in fake_bridge.loaded and bool((result == 2).all())


def test_an_input_view_kept_by_the_runtime_stays_valid():
    loaded = model("keep", [VECTOR], [VECTOR])
    torch.ops.neuron.forward_v2_1([torch.full((3,), 7.0)], loaded)
    (view,) = fake_bridge.loaded[-1].kept
    torch.full((3,), 9.0)  # would take the freed memory
    assert torch.frombuffer(bytearray(view), dtype=torch.float32).tolist() == [7.0] * 3


def test_inputs_of_any_layout_in_memory():
    square = ("float32", [3, 4])
    loaded = model("copy", [square], [square])
    base = torch.arange(24.0).reshape(4, 6)
    for given in (base[:, :3].t(), base.reshape(6, 4)[::2], torch.ones(1).expand(3, 4)):
        assert not given.is_contiguous()
        assert torch.equal(torch.ops.neuron.forward_v2_1([given], loaded), given)


@pytest.mark.parametrize("given", [X.clone().requires_grad_(), torch.nn.Parameter(X.clone())])
def test_results_never_require_grad(given):
    loaded = model("copy", [VECTOR], [VECTOR])
    result = torch.ops.neuron.forward_v2_1([given], loaded)
    assert not result.requires_grad and result.grad_fn is None
    assert torch.equal(result, X) and given.requires_grad


def test_inference_mode():
    loaded = model("copy", [VECTOR], [VECTOR])
    with torch.inference_mode():
        assert torch.equal(torch.ops.neuron.forward_v2_1([X], loaded), X)


REFUSED = [
    ([X], "the model was compiled for 2 inputs (in0 float32[3], in1 int64[1, 128]), got 1"),
    (
        [X, torch.ones(1, 64, dtype=torch.int64)],
        "input 1 ('in1') was compiled for int64[1, 128], got int64[1, 64]",
    ),
    ([X, torch.ones(1, 128)], "input 1 ('in1') was compiled for int64[1, 128], got float32[1, 128"),
    ([X.to("meta"), X], "('in0') was compiled for float32[3], got float32[3] on device meta"),
    ([X.to_sparse(), X], "float32[3] on device cpu with layout Sparse; inputs must be dense CPU"),
    ([torch.tensor(1.0), X], "input 0 ('in0') was compiled for float32[3], got float32[]"),
]  # fmt: skip


@pytest.mark.parametrize(("inputs", "message"), REFUSED)
def test_refused_inputs(inputs, message):
    loaded = model("copy", [VECTOR, ("int64", [1, 128])], [])
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        torch.ops.neuron.forward_v2(inputs, loaded)
    assert str(caught.value).startswith("neuron::forward_v2: ")
    assert fake_bridge.loaded[-1].calls == 0


ERRORS = [
    ("ValueError", ValueError, "^the message$"),
    ("RuntimeError", RuntimeError, "^the message$"),
    ("NotImplementedError", NotImplementedError, "^the message$"),
    ("MemoryError", RuntimeError, "(?s)^Traceback.*fake_bridge.py.*MemoryError: the message"),
    ("KeyError", RuntimeError, "(?s)^Traceback.*fake_bridge.py.*KeyError: 'the message'"),
]


@pytest.mark.parametrize(("name", "kind", "message"), ERRORS)
def test_errors_of_the_runtime_come_through(name, kind, message):
    loaded = model("fail", [VECTOR], [VECTOR], error=name)
    with pytest.raises(kind, match=message) as caught:
        torch.ops.neuron.forward_v2_1([X], loaded)
    assert caught.type is kind


def test_ctrl_c_is_not_lost():
    loaded = model("fail", [VECTOR], [VECTOR], error="KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):  # as soon as Python goes on
        try:
            torch.ops.neuron.forward_v2_1([X], loaded)
        except RuntimeError as error:
            assert str(error) == "KeyboardInterrupt"
        for _ in range(1000):
            pass


def test_a_result_of_the_wrong_size_is_refused():
    loaded = model("short", [VECTOR], [VECTOR])
    message = r"output 'out0' must be float32\[3\] in 12 bytes, got 3 bytes"
    with pytest.raises(RuntimeError, match=message):
        torch.ops.neuron.forward_v2_1([X], loaded)
    with pytest.raises(RuntimeError, match="execute must return 1 outputs, got 0"):
        torch.ops.neuron.forward_v2_1([X], model("nothing", [VECTOR], [VECTOR]))


def test_an_unknown_dtype_is_refused():
    with pytest.raises(RuntimeError, match="a tensor's dtype must be one of torch's, got 'int3'"):
        model("copy", [("int3", [3])], [])
