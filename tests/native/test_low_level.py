"""The operators for those who drive the runtime themselves."""

import pytest
import torch

from tests.native import fake_bridge
from tests.native.conftest import VECTOR, model, run_python

X = torch.tensor([1.0, 2.0, 3.0])
OPS = torch.ops.neuron


def test_a_model_is_placed_loaded_and_executed():
    loaded = model("add", [VECTOR, VECTOR], [VECTOR])
    loaded.set_neuron_devices(1, 1)
    OPS._init_neuron()
    OPS._load_neuron(loaded)
    (made,) = OPS._execute_neuron(loaded, [X, X])
    assert torch.equal(made, 2 * X) and loaded.cores() == [1]
    assert fake_bridge.loaded[-1].log == ["place 1 1", "load"]
    assert fake_bridge.asked[-1] == ("initialize",)
    with pytest.raises(ValueError, match=r"^neuron::_execute_neuron: the model was compiled for 2"):
        OPS._execute_neuron(loaded, [X])


@pytest.mark.parametrize(
    "given",
    [X, X.to(torch.bfloat16), torch.arange(12).reshape(3, 4).t(), torch.tensor(True), X[:0]],
    ids=["float", "bfloat16", "strided", "scalar", "empty"],
)
def test_tensors_go_and_come_back(given):
    placed = OPS._to_neuron(given, 1)
    size = given.numel() * given.element_size()
    assert fake_bridge.asked[-1] == ("to_core", size, 1)
    assert placed.device.type == "cpu" and placed.dtype == given.dtype
    back = OPS._from_neuron(placed)
    assert torch.equal(placed, given) and torch.equal(back, given)
    if size:
        assert len({t.untyped_storage().data_ptr() for t in (given, placed, back)}) == 3


def test_a_slice_is_a_view():
    placed = OPS._to_neuron(torch.arange(12.0).reshape(3, 4), 0)
    part = OPS._slice_neuron(placed, 1, 1, 4, 2)
    assert part.tolist() == [[1, 3], [5, 7], [9, 11]]
    part.zero_()
    assert placed[:, 1].tolist() == [0, 0, 0]


def test_gradients_stay_out():
    assert not OPS._to_neuron(X.clone().requires_grad_(), 0).requires_grad
    assert not OPS._from_neuron(X.clone().requires_grad_()).requires_grad


def test_only_dense_cpu_tensors_go():
    with pytest.raises(ValueError, match="must be a dense CPU tensor, got layout Sparse on device"):
        OPS._to_neuron(X.to_sparse(), 0)
    with pytest.raises(ValueError, match="got layout Strided on device meta"):
        OPS._to_neuron(X.to("meta"), 0)


def test_calls_in_torchscript_are_kept():
    before = len(fake_bridge.asked)

    @torch.jit.script
    def twice() -> int:
        torch.ops.neuron._init_neuron()
        torch.ops.neuron._init_neuron()
        return 1

    assert [twice() for _ in range(3)] == [1] * 3
    assert fake_bridge.asked[before:] == [("initialize",)] * 6


ABSENT = {
    "_load_collectives_neuron": ("model", 0, 1, 0, 2),
    "_profile_start_neuron": ("model", "a.ntff"),
    "_profile_stop_neuron": ("a.ntff",),
    "_parallel_to_neuron": ([X, X],),
    "_parallel_from_neuron": (X,),
    "_parallel_write_neuron": (X, [X]),
    "_parallel_slice_neuron": (X, 0, 0, 1, 1),
    "_parallel_run_neuron": ("model", X, X),
    "_parallel_executor_run": ("model", [X]),
    "_parallel_profile_start_neuron": ("model", "a.ntff"),
    "_parallel_profile_stop_neuron": ("a.ntff",),
}


@pytest.mark.parametrize("name", ABSENT)
def test_what_needs_hardware_says_so(name):
    loaded = model("nothing", [], [])
    arguments = [
        loaded if isinstance(given, str) and given == "model" else given for given in ABSENT[name]
    ]
    with pytest.raises(NotImplementedError, match=f"^neuron::{name}: needs Neuron hardware: .*"):
        getattr(OPS, name)(*arguments)


REAL = """
import gc, torch
from runtime import library, nrt
library.ensure_loaded()
used = lambda core: nrt.nrt_get_vnc_memory_stats(core).bytes_used
torch.ops.neuron._init_neuron()
before = used(1)
placed = torch.ops.neuron._to_neuron(torch.ones(1 << 20), 1)
part = torch.ops.neuron._slice_neuron(placed, 0, 0, 8, 1)
print(used(1) - before, used(0) - before)
del placed
print(used(1) - before, part.sum().item())
del part
gc.collect()
print(used(1) - before)
try:
    torch.ops.neuron._to_neuron(torch.ones(1), 5)
except ValueError as error:
    print(error)
"""


def test_memory_is_accounted_to_the_core():
    done = run_python(REAL)
    assert done.returncode == 0, done.stderr
    size = 4 << 20
    assert done.stdout.splitlines()[:3] == [f"{size} 0", f"{size} 8.0", "0"]
    assert "must name NeuronCores visible to this process (0 to 1)" in done.stdout.splitlines()[3]
