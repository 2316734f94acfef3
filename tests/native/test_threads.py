"""The class under many threads, and at the end of the process."""

import io
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from tests.native import fake_bridge
from tests.native.conftest import VECTOR, Add, model, run_python

X = torch.tensor([1.0, 2.0, 3.0])


def saved() -> bytes:
    """A saved model that adds."""
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(Add()), buffer)
    return buffer.getvalue()


def test_many_threads_on_one_model():
    module = torch.jit.load(io.BytesIO(saved()))

    def work(seed: int) -> bool:
        x = torch.full((3,), float(seed))
        return all(torch.equal(module(x, x), 2 * x) for _ in range(50))

    with ThreadPoolExecutor(64) as pool:
        assert all(pool.map(work, range(128)))


def test_threads_load_and_drop_models_at_once():
    data = saved()

    def work(_: int) -> bool:
        module = torch.jit.load(io.BytesIO(data))
        return torch.equal(module(X, X), 2 * X)

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(work, range(64)))


def test_other_threads_run_while_a_model_does():
    waiting, other = model("wait", [VECTOR], [VECTOR]), torch.jit.script(Add())
    with ThreadPoolExecutor(16) as pool:
        calls = [pool.submit(torch.ops.neuron.forward_v2_1, [X], waiting) for _ in range(16)]
        for _ in calls:
            assert fake_bridge.entered.acquire(timeout=30)  # all sixteen are inside execute
        assert torch.equal(other(X, X), 2 * X)
        fake_bridge.released.set()
        assert all(torch.equal(call.result(timeout=30), X) for call in calls)


class Fork(torch.nn.Module):
    """Calls a model from threads that Python has not seen."""

    def __init__(self) -> None:
        super().__init__()
        self.model = model("sleep", [VECTOR], [VECTOR])

    def run(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ops.neuron.forward_v2_1([x], self.model)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        started = [torch.jit.fork(self.run, x) for _ in range(8)]
        return [torch.jit.wait(one) for one in started]


def test_torchscripts_own_threads():
    results = torch.jit.script(Fork())(X)
    assert len(results) == 8 and all(torch.equal(result, X) for result in results)


class StartAndLeave(Fork):
    """Lets calls run on behind the caller's back."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(2):
            torch.jit.fork(self.run_on, x)
        return self.run(x)

    def run_on(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(1000):
            x = self.run(x)
        return x


PROLOGUE = """
import ctypes, os, sys, threading, torch
from runtime import library
library.ensure_loaded()
ctypes.CDLL(str(library.library_path())).neuron_set_bridge(b"tests.native.fake_bridge")
from tests.native.conftest import Add, model
x = torch.ones(3)
module = torch.jit.script(Add())
big = model("double", [("float32", [100000])], [("float32", [100000])])
kept = torch.ops.neuron.forward_v2_1([torch.ones(100000)], big)
"""
EXITS = {
    "with models and results alive": "print(module(x, x).sum())",
    "with TorchScript's threads calling": """
from tests.native.test_threads import StartAndLeave
print(torch.jit.script(StartAndLeave())(x).sum() + 3)
""",
    "after a fork": """
child = os.fork()
if child == 0:
    print(module(x, x).sum(), flush=True)
    del module, kept, big
    sys.exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""",
}


@pytest.mark.parametrize("code", EXITS.values(), ids=EXITS.keys())
def test_the_process_ends_cleanly(code):
    done = run_python(PROLOGUE + code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "tensor(6.)\n", "")
