"""What capture does to a process: imports, environment, output, memory; equal in each process."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import torch

from hlo_frontend.capture import capture
from hlo_frontend.hlo.proto import write_module

ROOT = Path(__file__).parents[2]


def run_python(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a program in a fresh interpreter from the repository root."""
    env = {k: v for k, v in os.environ.items() if k not in ("PJRT_DEVICE", "PT_XLA_DEBUG_FILE")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**env, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_import_loads_no_framework() -> None:
    run_python(
        "import sys, hlo_frontend, hlo_frontend.hlo.proto, hlo_frontend.errors\n"
        "assert not {'torch', 'torch_xla', 'jax', 'tensorflow'} & set(sys.modules)\n"
        "import hlo_frontend.capture\n"
        "assert not {'torch_xla', 'jax', 'tensorflow'} & set(sys.modules)\n"
    )


QUIET = """
import logging, os, sys, torch
from hlo_frontend.capture import capture
from hlo_frontend.errors import CaptureError
capture(torch.nn.Linear(2, 3), torch.ones(1, 2))
try: capture(lambda x: torch.linalg.qr(x), torch.ones(2, 2))
except CaptureError: pass
else: raise SystemExit('no error')
assert logging.getLogger().handlers == []
assert os.environ['PJRT_DEVICE'] == 'CPU'
assert not {'jax', 'tensorflow'} & set(sys.modules)
"""


def test_capture_prints_nothing_and_leaves_logging_alone() -> None:
    done = run_python(QUIET)
    assert (done.stdout, done.stderr) == ("", "")


def hash_of_layer() -> str:
    """A hash of the captured module of a layer with fixed sizes."""
    model = torch.nn.TransformerEncoderLayer(8, 2, 16).eval()
    module = capture(model, torch.ones(2, 5, 8)).module
    return hashlib.sha256(write_module(module)).hexdigest()


def test_module_is_the_same_in_every_process() -> None:
    capture(torch.nn.Linear(3, 3), torch.ones(1, 3))
    program = "from tests.capture.test_process import hash_of_layer; print(hash_of_layer())"
    assert run_python(program, PYTHONHASHSEED="1").stdout.strip() == hash_of_layer()


MEMORY = """
import resource, torch
from torch import nn
from hlo_frontend.capture import capture
capture(nn.Linear(4, 4), torch.ones(1, 4))
model = nn.utils.skip_init(nn.Linear, 7200, 7200)
for parameter in model.parameters():
    nn.init.constant_(parameter, 0.5)
size = sum(p.numel() * 4 for p in model.parameters())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
captured = capture(model, torch.ones(1, 7200))
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
assert size > 200e6 and len(captured.parameters) == 3
assert after - before < 0.3 * size, (after - before) / size
"""


def test_no_second_copy_of_the_weights() -> None:
    run_python(MEMORY)
