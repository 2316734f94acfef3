"""The class in TorchScript: made, saved, loaded, copied, frozen, nested, threaded."""

import copy
import gc
import io
import zipfile

import pytest
import torch

from tests.native import fake_bridge
from tests.native.conftest import VECTOR, Add, model, neff, run_python

X = torch.tensor([1.0, 2.0, 3.0])


def saved(module):
    """The module after a round trip through a file in memory."""
    buffer = io.BytesIO()
    torch.jit.save(module, buffer)
    buffer.seek(0)
    return torch.jit.load(buffer)


class Larger(torch.nn.Module):
    """A scripted module around a traced one."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Linear(3, 3, bias=False)
        torch.nn.init.eye_(self.scale.weight)
        self.inner = Add()

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.inner(self.scale(x), y)


def script():
    return torch.jit.script(Add())


SURVIVES = {
    "script": script,
    "trace": lambda: torch.jit.trace(Add(), (X, X)),
    "save": lambda: saved(script()),
    "save twice": lambda: saved(saved(script())),
    "freeze": lambda: torch.jit.freeze(script().eval()),
    "freeze and save": lambda: saved(torch.jit.freeze(script().eval())),
    "save and freeze": lambda: torch.jit.freeze(saved(script()).eval()),
    "optimize_for_inference": lambda: torch.jit.optimize_for_inference(script().eval()),
    "deepcopy": lambda: copy.deepcopy(script()),
    "copy": lambda: copy.copy(script()),
    "to": lambda: script().to("cpu").to(torch.bfloat16).eval(),
    "larger": lambda: torch.jit.script(Larger()),
    "larger saved": lambda: saved(torch.jit.script(Larger())),
    "larger frozen": lambda: torch.jit.freeze(torch.jit.script(Larger()).eval()),
    "larger frozen and saved": lambda: saved(torch.jit.freeze(torch.jit.script(Larger()).eval())),
}


@pytest.mark.parametrize("make", SURVIVES.values(), ids=SURVIVES.keys())
def test_survives(make):
    module = make()
    for _ in range(3):  # the profiling executor specialises on the second
        assert torch.equal(module(X, X + 1), 2 * X + 1)
    kinds = [node.kind() for node in module.inlined_graph.nodes()]
    assert [kind for kind in kinds if "neuron" in kind] == ["neuron::forward_v2_1"]


# What is scripted in this process lives in one compilation unit of PyTorch's, which keeps the
# constants of frozen graphs until the process ends; a module that was loaded has its own.
KEPT_BY_PYTORCH = {name for name in SURVIVES if "freeze" in name or "frozen" in name}
KEPT_BY_PYTORCH -= {"save and freeze"}
KEPT_BY_PYTORCH |= {"optimize_for_inference"}


@pytest.mark.parametrize("name", SURVIVES)
def test_unloads_when_dropped(name):
    gc.collect()
    before = list(fake_bridge.loaded)
    module = SURVIVES[name]()
    module(X, X)
    assert len(fake_bridge.loaded) > len(before)
    del module
    gc.collect()
    assert len(fake_bridge.loaded) - len(before) == int(name in KEPT_BY_PYTORCH)


def test_state_dict_and_attributes():
    module = script()
    assert module.state_dict() == {}
    module.num_workers = 2
    assert module.num_workers == 2 and list(module.parameters()) == []


def test_files(tmp_path):
    script().save(tmp_path / "model.pt")
    module = torch.jit.load(tmp_path / "model.pt", map_location="cpu")
    assert torch.equal(module(X, X), 2 * X)
    with zipfile.ZipFile(tmp_path / "model.pt") as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("conftest.py"))
        code = archive.read(name).decode()
    assert "  model : __torch__.torch.classes.neuron.Model\n" in code
    assert "ops.neuron.forward_v2_1(" in code


def test_what_the_model_tells():
    loaded = model("double", [VECTOR, VECTOR], [VECTOR, VECTOR])
    assert loaded.input_names() == ["in0", "in1"] and loaded.output_names() == ["out0", "out1"]
    expected = neff("double", [VECTOR, VECTOR], [VECTOR, VECTOR])
    assert bytes(loaded.neff().numpy()) == expected == bytes(fake_bridge.loaded[-1].neff)
    assert bytes(loaded.metaneff().numpy()) == b"meta" == bytes(fake_bridge.loaded[-1].metaneff)


def test_bytes_are_not_text():
    loaded = torch.classes.neuron.Model(neff("nothing", [], []) + b"\0\xff\xfe\0", b"\x80\0")
    assert bytes(loaded.neff().numpy())[-4:] == b"\0\xff\xfe\0"
    assert bytes(loaded.metaneff().numpy()) == b"\x80\0"


def test_tensors_and_options_are_shared_and_saved():
    text = torch.frombuffer(bytearray(neff("add", [VECTOR] * 2, [VECTOR])), dtype=torch.uint8)
    meta = torch.zeros(0, dtype=torch.uint8)
    module = Add()
    module.model = torch.ops.neuron._model_from_tensors(text, meta, '{"a": 1}')
    assert module.model.neff().data_ptr() == text.data_ptr()
    twin = copy.deepcopy(torch.jit.script(module))
    assert twin.model.neff().data_ptr() == text.data_ptr()
    loaded = saved(twin)
    assert loaded.model.options() == fake_bridge.loaded[-1].options == '{"a": 1}'
    assert torch.equal(loaded.model.neff(), text) and loaded.model.metaneff().shape == (0,)


def test_files_must_be_bytes():
    message = r"neff must be a one-dimensional uint8 tensor, got float32\[3\]"
    with pytest.raises(RuntimeError, match=message):
        torch.ops.neuron._model_from_tensors(X, X)


def test_a_state_from_the_future_is_refused():
    loaded = model("nothing", [], [])
    version, *rest = loaded._get_method("__getstate__")()
    assert version == 1
    with pytest.raises(RuntimeError, match="reads models of version 1, got one saved as version 2"):
        loaded._get_method("__setstate__")((2, *rest))


def test_errors_at_load_come_through():
    message = "Could not load the model status=4 message=Allocation Failure"
    with pytest.raises(RuntimeError, match=f"^{message}$"):
        model("add", [], [], refuse=message)


def test_errors_in_torchscript_are_runtime_errors_with_the_message():
    module = saved(script())
    with pytest.raises(RuntimeError, match="TorchScript interpreter") as caught:
        module(X, X.double())
    assert "input 1 ('in1') was compiled for float32[3], got float64[3]" in str(caught.value)


class Twice(torch.nn.Module):
    """Calls a model that counts; one of the results is not used."""

    def __init__(self) -> None:
        super().__init__()
        self.model = model("count", [], [("int64", [])])

    def forward(self):
        torch.ops.neuron.forward_v2_1([], self.model)
        first = torch.ops.neuron.forward_v2_1([], self.model)
        return first, torch.ops.neuron.forward_v2_1([], self.model)


@pytest.mark.parametrize("freeze", [False, True])
def test_calls_are_neither_merged_nor_dropped_nor_folded(freeze):
    module = torch.jit.script(Twice())
    if freeze:
        module = torch.jit.optimize_for_inference(torch.jit.freeze(module.eval()))
    assert [[int(t) for t in module()] for _ in range(3)] == [[2, 3], [5, 6], [8, 9]]


def test_copies_share_a_load_and_deep_copies_do_not():
    before = len(fake_bridge.loaded)
    module = script()
    shallow = copy.copy(module)
    assert len(fake_bridge.loaded) == before + 1
    deep = copy.deepcopy(module)
    assert len(fake_bridge.loaded) == before + 2
    del module, deep
    assert len(fake_bridge.loaded) == before + 1
    assert torch.equal(shallow(X, X), 2 * X)


def test_a_load_without_the_library_names_the_unknown_type(tmp_path):
    script().save(tmp_path / "model.pt")
    code = "import sys, torch; torch.jit.load(sys.argv[1])"
    done = run_python(code, str(tmp_path / "model.pt"))
    assert done.returncode != 0
    assert "Unknown type name '__torch__.torch.classes.neuron.Model'" in done.stderr
