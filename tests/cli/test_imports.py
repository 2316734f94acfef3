"""What the tools import, and what importing them changes for others: nothing."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.cli.models import SINE, proto

ROOT = Path(__file__).parents[2]
FRAMEWORKS = ("torch", "torch_xla", "jax", "jaxlib", "tensorflow")


def python(code: str, *words: str, **environment: str) -> str:
    run = subprocess.run(
        [sys.executable, "-c", code, *words],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


LOADED = "print(*{m.split('.')[0] for m in sys.modules})"


@pytest.mark.parametrize("words", ["--help", "compile --help", "--version"])
def test_help_loads_nothing_large(words):
    code = "import sys; from neuronxcc.driver.CommandDriver import main; main(sys.argv[1:])\n"
    loaded = set(python(code + LOADED, *words.split()).split())
    assert loaded.isdisjoint({*FRAMEWORKS, "numpy", "google"})


def test_help_is_there_at_once():
    """In seconds of the processor's time: what the machine does beside does not count."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "neuronxcc", "--help"], cwd=ROOT, check=True, capture_output=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


@pytest.mark.parametrize("data", [proto(), SINE.encode()], ids=["proto", "text"])
@pytest.mark.parametrize(
    "module", ["neuronxcc.driver.CommandDriver", "libneuronxla.neuron_cc_wrapper"]
)
def test_compiling_loads_no_framework(module, data, tmp_path):
    (tmp_path / "model").write_bytes(data)
    code = f"import os, sys; os.chdir(sys.argv[1])\nfrom {module} import main\n" + (
        "assert main('compile model --framework=XLA --target=inf2'.split()) == 0\n" + LOADED
    )
    loaded = set(python(code, str(tmp_path), NEURON_COMPILE_CACHE_URL="cache").split())
    assert loaded.isdisjoint(FRAMEWORKS)
    assert "numpy" in loaded


def test_torch_xla_keeps_its_device():
    """torch_xla asks `libneuronxla` for a Neuron plugin when it is imported: there is none."""
    import jax
    import torch

    from hlo_frontend.capture.xla import extension

    extension()  # as a trace does, so that this process keeps what it has
    import torch_xla

    assert find_spec("libneuronxla") is not None
    assert torch_xla._found_libneuronxla is False
    assert torch_xla.runtime.device_type() == "CPU"
    assert (torch.ones(2, device=torch_xla.device()) + 1).cpu().sum().item() == 4
    assert jax.default_backend() == "cpu"


def test_jax_finds_no_plugin_of_ours():
    assert not [e for e in entry_points(group="jax_plugins") if "neuron" in e.value]
    spec = find_spec("jax_plugins")
    places = spec.submodule_search_locations if spec else ()
    assert not any(str(place).startswith(str(ROOT)) for place in places or ())
