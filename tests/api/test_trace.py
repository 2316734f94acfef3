"""`torch_neuronx.trace` as its users call it."""

from __future__ import annotations

import copy
import io
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

import torch_neuronx
from hlo_frontend.errors import CaptureError, UnsupportedOperatorError
from hlo_frontend.hlo.proto import read_module
from neff.container import read_neff
from neff.errors import OptionError

ROOT = Path(__file__).parents[2]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.layer(x))


@pytest.fixture(scope="module")
def net() -> Net:
    torch.manual_seed(0)
    return Net().eval()


@pytest.fixture(scope="module")
def traced(net: Net) -> torch.jit.ScriptModule:
    return torch_neuronx.trace(net, torch.rand(2, 8))


def assert_same(model: Any, expected: Any, *inputs: torch.Tensor) -> None:
    torch.testing.assert_close(model(*inputs), expected(*inputs).detach(), rtol=1e-5, atol=1e-6)


def fused_nodes(model: torch.jit.ScriptModule) -> list[str]:
    return [n.kind() for n in model.inlined_graph.nodes() if n.kind().startswith("neuron::")]


def test_result_is_a_script_module_with_one_fused_operator(net, traced):
    assert isinstance(traced, torch.jit.ScriptModule)
    assert fused_nodes(traced) == ["neuron::forward_v2_1"]
    kinds = {n.kind() for n in traced.inlined_graph.nodes()}
    assert not any(kind.startswith("aten::") for kind in kinds)
    assert_same(traced, net, torch.rand(2, 8))
    assert not traced(torch.rand(2, 8)).requires_grad


def test_tracing_under_the_documents_other_name(net):
    assert_same(torch.neuronx.trace(net, torch.rand(2, 8)), net, torch.rand(2, 8))


@pytest.mark.parametrize("examples", [torch.rand(2, 8), (torch.rand(2, 8),), [torch.rand(2, 8)]])
def test_examples_may_be_a_tensor_a_tuple_or_a_list(net, examples):
    assert_same(torch_neuronx.trace(net, examples), net, torch.rand(2, 8))


def test_methods_and_functions(net):
    x = torch.rand(2, 8)
    assert_same(torch_neuronx.trace(net.forward, x), net, x)
    assert_same(torch_neuronx.trace(lambda a: net(a) + 1, x), lambda a: net(a) + 1, x)


class Pair(NamedTuple):
    first: torch.Tensor
    second: torch.Tensor


STRUCTURES = {
    "tuple": lambda x: (x, x + 1),
    "one in a tuple": lambda x: (x * 2,),
    "list": lambda x: [x, x - 1],
    "dict": lambda x: {"a": x, "b": x * 3},
    "nested": lambda x: ((x, [x + 1, x + 2]), {"c": x * 2}),
    "named tuple": lambda x: Pair(x + 1, x),
    "same twice": lambda x: (x + 1, x + 1),
    "input through": lambda x: (x, x * 2),
    "constant": lambda x: (torch.arange(3), x + 1),
}


def plain(value: Any) -> Any:
    """Named tuples as tuples, as TorchScript returns them."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value] if isinstance(value, list) else tuple(map(plain, value))
    return value


@pytest.mark.parametrize("function", STRUCTURES.values(), ids=STRUCTURES)
def test_outputs_nest_as_the_callable_returned_them(function):
    x = torch.rand(3)
    expected = plain(function(x))
    made = torch_neuronx.trace(function, x)(x)
    assert type(made) is type(expected)
    torch.testing.assert_close(made, expected)


def test_inputs_may_nest_and_go_unused():
    def function(pair, table, unused):
        return pair[0] + table["b"]

    inputs = (
        (torch.rand(2), torch.rand(3)),
        {"a": torch.rand(1), "b": torch.rand(2)},
        torch.rand(5),
    )
    traced = torch_neuronx.trace(function, inputs)
    torch.testing.assert_close(traced(*inputs), function(*inputs))


def test_one_tensor_given_twice_is_two_inputs():
    x = torch.rand(3)
    traced = torch_neuronx.trace(torch.sub, (x, x))
    assert_same(traced, torch.sub, torch.rand(3), torch.rand(3))


def test_arguments_have_the_names_of_the_callable():
    def scaled(image, factor):
        return image * factor

    inputs = torch.rand(3), torch.rand(3)
    traced = torch_neuronx.trace(scaled, inputs)
    torch.testing.assert_close(traced(image=inputs[0], factor=inputs[1]), scaled(*inputs))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            (torch.rand(3, 8),),
            r"input 0 \('x'\) was compiled for float32\[2, 8\], got float32\[3, 8\]",
        ),
        ((torch.rand(2, 8).double(),), r"compiled for float32\[2, 8\], got float64\[2, 8\]"),
    ],
)
def test_wrong_inputs_are_refused_by_name(traced, given, message):
    with pytest.raises((RuntimeError, ValueError), match=message):
        traced(*given)


def test_survives_save_load_freeze_copy_and_a_parent(net, traced, tmp_path):
    x = torch.rand(2, 8)
    torch.jit.save(traced, tmp_path / "net.pt")
    loaded = torch.jit.load(tmp_path / "net.pt")
    file = io.BytesIO()
    loaded.save(str(tmp_path / "again.pt"))
    torch.jit.save(loaded, file)
    file.seek(0)

    class Parent(nn.Module):
        def __init__(self, child: torch.jit.ScriptModule) -> None:
            super().__init__()
            self.child = child

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.child(x) + 1

    for model in (
        loaded,
        torch.jit.load(file),
        torch.jit.freeze(loaded.eval()),
        copy.deepcopy(traced),
    ):
        assert_same(model, net, x)
        assert fused_nodes(model) == ["neuron::forward_v2_1"]
    parent = torch.jit.script(Parent(traced))
    torch.testing.assert_close(parent(x), net(x).detach() + 1)
    assert dict(traced.state_dict()) == {}


def test_takes_what_clients_do_to_modules(traced, net):
    traced.num_workers = 2
    x = torch.rand(2, 8)
    with torch.inference_mode():
        assert_same(traced.eval().to("cpu"), net, x)
    assert traced(x).numpy().shape == (2, 4)


def test_many_threads(net, traced):
    inputs = [torch.rand(2, 8) for _ in range(64)]
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(traced, inputs))
    for x, result in zip(inputs, results, strict=True):
        torch.testing.assert_close(result, net(x).detach(), rtol=1e-5, atol=1e-6)


def test_the_interpreter_is_free_while_a_model_runs():
    model = torch_neuronx.trace(lambda x: torch.linalg.multi_dot([x] * 24), torch.rand(512, 512))
    x, done, ticks = torch.eye(512), threading.Event(), 0

    def run() -> None:
        for _ in range(8):
            model(x)
        done.set()

    thread = threading.Thread(target=run)
    thread.start()
    while not done.wait(0.0005):
        ticks += 1
    thread.join()
    assert ticks > 5


def test_calls_repeat_to_the_bit(net, traced):
    x = torch.rand(2, 8)
    assert torch.equal(traced(x), traced(x))


def test_work_directory_holds_what_was_made(net, tmp_path):
    workdir = tmp_path / "deep" / "work"
    torch_neuronx.trace(
        net, torch.rand(2, 8), compiler_workdir=str(workdir), compiler_args="--target trn1"
    )
    files = {p.name for p in workdir.iterdir()}
    assert {"graph.hlo", "graph.neff", "metaneff.pb", "command.txt", "log-neuron-cc.txt"} <= files
    assert read_module((workdir / "graph.hlo").read_bytes()).entry.instructions
    assert read_neff((workdir / "graph.neff").read_bytes()).program.target == "trn1"
    assert "--target trn1" in (workdir / "command.txt").read_text()
    assert "fuse finished after" in (workdir / "log-neuron-cc.txt").read_text()
    assert (workdir / "00-lower.txt").read_text().startswith("program")
    assert not [name for name in files if name.startswith(".")]


def test_equal_models_compile_to_equal_bytes(net, tmp_path):
    x = torch.rand(2, 8)
    for name in "ab":
        torch_neuronx.trace(net, x, compiler_workdir=str(tmp_path / name))
    first, second = ((tmp_path / name / "graph.neff").read_bytes() for name in "ab")
    assert first == second


def test_work_directory_that_cannot_be_written_is_refused_before_any_work(net, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        OSError, match="compiler_workdir must be a directory that can be written to"
    ):
        torch_neuronx.trace(net, torch.rand(2, 8), compiler_workdir=str(tmp_path / "file"))


def test_a_full_disk_leaves_no_half_written_artefact(net, tmp_path):
    """A file size limit stands for the full disk: a write fails part of the way."""
    script = f"""
import resource, signal, torch, torch_neuronx
torch_neuronx.trace(torch.neg, torch.ones(1))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    model = torch.nn.Linear(300, 300)
    torch_neuronx.trace(model, torch.rand(1, 300), compiler_workdir={str(tmp_path)!r})
except OSError as error:
    print(type(error).__name__, error.errno)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "OSError 27", done.stderr
    assert "graph.neff" not in os.listdir(tmp_path)
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


def test_ctrl_c_while_compiling_leaves_nothing(tmp_path):
    script = f"""
import torch, torch_neuronx, _thread, threading, logging
class Interrupt(logging.Handler):
    def emit(self, record):
        if "fuse" in record.getMessage():
            raise KeyboardInterrupt
logging.getLogger("Neuron").setLevel(logging.INFO)
logging.getLogger("Neuron").addHandler(Interrupt())
try:
    torch_neuronx.trace(torch.nn.Linear(3, 3), torch.rand(1, 3), compiler_workdir={str(tmp_path)!r})
except KeyboardInterrupt:
    logging.getLogger("Neuron").handlers.clear()
    print("interrupted", threading.active_count())
    print(torch_neuronx.trace(torch.neg, torch.ones(1))(torch.ones(1)).item())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.split() == ["interrupted", "1", "-1.0"], done.stderr
    assert "graph.neff" not in os.listdir(tmp_path)
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


def test_weights_beside_the_neff(net, tmp_path):
    x = torch.rand(2, 8)
    traced = torch_neuronx.trace(
        net, x, inline_weights_to_neff=False, compiler_workdir=str(tmp_path)
    )
    assert_same(traced, net, x)
    assert '"layer->weight"' in traced.weights._c.code or "layer->weight" in str(
        [name for name, _ in traced.weights.named_parameters()]
    )
    assert not read_neff((tmp_path / "graph.neff").read_bytes()).program.weights
    with torch.no_grad():
        for parameter in traced.parameters():
            parameter.zero_()
    assert not traced(x).any()
    assert net(x).any(), "the model's own weights must not change"


def test_state_stays_on_the_core():
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("total", torch.zeros(2))

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            total = self.total + x
            return total * 10, total

    model, one = Counter(), torch.ones(2)
    traced = torch_neuronx.trace(model, one, input_output_aliases={model.total: 1})
    assert [traced(one)[0][0].item() for _ in range(3)] == [10.0, 20.0, 30.0]
    assert not model.total.any()
    fresh = copy.deepcopy(traced)
    assert fresh(one)[0][0].item() == 10.0


def test_results_belong_to_the_caller():
    """Large results are handed over without a copy: writing to them must reach nothing else."""
    size = 1 << 16

    class Everything(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(size))
            self.register_buffer("total", torch.zeros(size))

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            total = self.total + x
            return self.weight, x * 2, x * 2, total, total, x

    model, x = Everything(), torch.ones(size)
    traced = torch_neuronx.trace(model, x, input_output_aliases={model.total: 3})
    first = traced(x)
    assert [v[0].item() for v in first] == [1, 2, 2, 1, 1]
    for value in first:
        value.zero_()
    assert x[0] == 1 and model.weight[0] == 1
    assert [v[0].item() for v in traced(x)] == [1, 2, 2, 2, 1]


def test_auto_cast_rounds_operands_and_accumulates_in_f32(net):
    x = torch.rand(2, 8)
    made = torch_neuronx.trace(net, x, compiler_args=["--auto-cast", "matmult"])(x)
    weight, rounded = net.layer.weight.bfloat16().float(), x.bfloat16().float()
    expected = torch.tanh(rounded @ weight.T + net.layer.bias).detach()
    torch.testing.assert_close(made, expected, rtol=1e-6, atol=1e-6)
    assert not torch.allclose(made, net(x), rtol=1e-5, atol=1e-6)


def test_positional_keywords_warn_and_are_taken_in_order(net, tmp_path):
    with pytest.warns(UserWarning, match="compiler_workdir should be given by keyword"):
        torch_neuronx.trace(net, torch.rand(2, 8), None, str(tmp_path))
    assert (tmp_path / "graph.neff").exists()
    with pytest.raises(TypeError, match="takes at most 8 arguments, got 9"):
        torch_neuronx.trace(net, torch.rand(2, 8), *[None] * 7)


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"compiler_args": "--auto-kast none"}, OptionError, "try: --auto-cast"),
        (
            {"compiler_args": ["--auto-cast", "some"]},
            OptionError,
            "must be one of none, matmult, all",
        ),
        ({"partitioner_config": object()}, TypeError, "must be a PartitionerConfig, got object"),
        ({"cpu_backend": True}, ValueError, "must be combined with --target"),
    ],
)
def test_bad_keywords_are_refused(net, keywords, error, message):
    with pytest.raises(error, match=message):
        torch_neuronx.trace(net, torch.rand(2, 8), **keywords)


def test_cpu_backend_with_a_target(net):
    x = torch.rand(2, 8)
    assert_same(
        torch_neuronx.trace(net, x, cpu_backend=True, compiler_args="--target trn1"), net, x
    )


class Empty(nn.Module):
    def forward(self) -> None:
        return None


@pytest.mark.parametrize(
    ("function", "examples", "error", "message"),
    [
        (
            torch.add,
            (torch.ones(1), 1),
            TypeError,
            r"example_inputs\[1\]: expected a torch.Tensor, got int",
        ),
        (torch.add, "x", TypeError, "got str"),
        (lambda x: None, torch.ones(1), CaptureError, "expected a torch.Tensor, got NoneType"),
        (lambda x: (), torch.ones(1), CaptureError, "must return at least one tensor"),
        (nn.Module(), torch.ones(1), NotImplementedError, "missing the required"),
        (Empty(), (), CaptureError, "got NoneType"),
        (3, torch.ones(1), TypeError, "func must be callable, got int"),
        (lambda x: x.nonzero(), torch.ones(3), UnsupportedOperatorError, "aten::nonzero"),
        (
            lambda x: x if x.sum() > 0 else -x,
            torch.ones(3),
            UnsupportedOperatorError,
            "test_trace.py",
        ),
    ],
)
def test_what_cannot_be_traced_is_refused(function, examples, error, message):
    with pytest.raises(error, match=message):
        torch_neuronx.trace(function, examples)


def test_a_model_in_training_mode_warns():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.0))
    with pytest.warns(UserWarning, match="is in training mode and has Dropout"):
        torch_neuronx.trace(model, torch.ones(1, 2))


@pytest.mark.parametrize(
    "x", [torch.zeros(0, 3), torch.tensor(2.5), torch.zeros(0)], ids=["0x3", "0-d", "empty"]
)
def test_zero_size_and_scalar_tensors(x):
    function = lambda v: (v * 2 + 1, v.sum())  # noqa: E731
    torch.testing.assert_close(torch_neuronx.trace(function, x)(x), function(x))


def test_nan_and_infinite_constants():
    fill = torch.tensor([float("nan"), float("inf"), -float("inf"), -0.0])
    traced = torch_neuronx.trace(lambda x: x + fill, torch.zeros(4))
    torch.testing.assert_close(traced(torch.zeros(4)), fill, equal_nan=True)


def test_an_empty_module_passes_its_input_through():
    x = torch.rand(3)
    assert torch.equal(torch_neuronx.trace(nn.Sequential(), x)(x), x)


def test_tracing_holds_no_second_copy_of_the_weights():
    script = """
import threading, torch, torch_neuronx
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
model = torch.nn.Sequential(*(torch.nn.Linear(2600, 2600) for _ in range(8))).eval()
weights = sum(p.nbytes for p in model.parameters())
torch_neuronx.trace(torch.neg, torch.ones(1))
before = peak = resident()
done = threading.Event()
def watch():
    global peak
    while not done.wait(0.002):
        peak = max(peak, resident())
watcher = threading.Thread(target=watch)
watcher.start()
torch_neuronx.trace(model, torch.rand(1, 2600))
done.set()
watcher.join()
print((peak - before) / weights)
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert 0.9 < float(done.stdout) < 2.2  # below one, the NEFF would not hold the weights


def test_nan_is_the_maximum_and_where_it_is():
    x = torch.tensor([[1.0, float("nan"), 3.0], [5.0, 2.0, 1.0]])
    function = lambda a: (*a.max(1), *a.min(0), a.argmax())  # noqa: E731
    torch.testing.assert_close(torch_neuronx.trace(function, x)(x), function(x), equal_nan=True)


def test_models_without_inputs_or_weights():
    traced = torch_neuronx.trace(lambda: torch.arange(4) * 2, ())
    assert traced().tolist() == [0, 2, 4, 6]


def test_loading_imports_neither_torch_xla_nor_jax_nor_the_compiler(traced, tmp_path):
    torch.jit.save(traced, tmp_path / "net.pt")
    script = f"""
import sys, torch, torch_neuronx
assert not {{"jax", "torch_xla", "tensorflow", "transformers"}} & set(sys.modules)
torch.jit.load({str(tmp_path / "net.pt")!r})(torch.rand(2, 8))
never = [m for m in sys.modules if m.split(".")[0] in ("jax", "torch_xla", "tensorflow")]
never += [m for m in sys.modules if m.startswith(("neff.passes", "neff.pipeline", "neff.compile"))]
never += [m for m in sys.modules if m.startswith("hlo_frontend.capture")]
print(never)
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_loading_without_the_package_says_what_torch_says(traced, tmp_path):
    torch.jit.save(traced, tmp_path / "net.pt")
    script = f"import torch; torch.jit.load({str(tmp_path / 'net.pt')!r})"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert "Unknown type name '__torch__.torch.classes.neuron.Model'" in done.stderr


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_8_bit_floats_are_weights_inputs_and_outputs(dtype, tmp_path):
    torch.manual_seed(0)
    weight = torch.randn(8, 8).to(dtype)

    def model(x):
        return x.float() @ weight.float(), x.reshape(8, 4)

    x = torch.randn(4, 8).to(dtype)
    torch.jit.save(torch_neuronx.trace(model, x, compiler_args="--target=trn3"), tmp_path / "f8.pt")
    product, moved = torch.jit.load(tmp_path / "f8.pt")(x)
    torch.testing.assert_close(product, model(x)[0])
    assert moved.dtype is dtype
    assert torch.equal(moved.view(torch.uint8), x.view(torch.uint8).reshape(8, 4))
