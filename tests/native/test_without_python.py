"""A libtorch program that has no Python of its own loads and runs saved models."""

import os
from pathlib import Path

import pytest
import torch

from tests.native.conftest import FAKE, VECTOR, Add, model
from tests.native.program import build_program, run_program

X = torch.tensor([1.0, 2.0, 3.0])


class Failing(torch.nn.Module):
    """A model whose execution fails."""

    def __init__(self) -> None:
        super().__init__()
        self.model = model("fail", [VECTOR], [VECTOR], error="ValueError")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ops.neuron.forward_v2_1([x], self.model)


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    return build_program(tmp_path_factory.mktemp("program"))


@pytest.fixture
def files(tmp_path) -> tuple[Path, Path]:
    """A saved model that adds, and its inputs."""
    torch.jit.save(torch.jit.script(Add()), tmp_path / "model.pt")
    torch.save([X, X / 2], tmp_path / "inputs.pt")
    return tmp_path / "model.pt", tmp_path / "inputs.pt"


@pytest.mark.parametrize("threads", ["0", "8"])
def test_runs(program, files, threads):
    done = run_program(program, *files, threads, NEURON_TEST_BRIDGE=FAKE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[3]: 1.5 3 4.5\n", "")


def test_errors_come_through(program, files):
    torch.jit.save(torch.jit.script(Failing()), files[0])
    torch.save([X], files[1])
    done = run_program(program, *files, NEURON_TEST_BRIDGE=FAKE)
    assert done.returncode == 1 and "the message" in done.stderr


def test_a_missing_runtime_is_named(program, files):
    done = run_program(program, *files, NEURON_TEST_BRIDGE="no_such_module")
    assert done.returncode == 1
    assert "ModuleNotFoundError: No module named 'no_such_module'" in done.stderr


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("NEURON_EMULATOR_PYTHON", "got no executable at /nowhere"),
        ("NEURON_EMULATOR_LIBPYTHON", "libpython must be loadable, got /nowhere"),
    ],
)
def test_a_wrong_environment_is_named(program, files, variable, message):
    done = run_program(program, *files, NEURON_TEST_BRIDGE=FAKE, **{variable: "/nowhere"})
    assert done.returncode == 1 and message in done.stderr
    assert f"try: {variable}=/" in done.stderr


def test_exit_handlers_of_python_run(program, files, tmp_path):
    (tmp_path / "noisy_bridge.py").write_text(
        "import atexit\n"
        "atexit.register(print, 'handler')\n"
        f"from {FAKE} import load\n"
        "print('imported')\n"
    )
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    done = run_program(program, *files, NEURON_TEST_BRIDGE="noisy_bridge", PYTHONPATH=path)
    assert done.returncode == 0 and done.stderr == ""
    assert sorted(done.stdout.splitlines()) == ["[3]: 1.5 3 4.5", "handler", "imported"]
