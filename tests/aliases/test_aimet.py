"""AIMET's import names, where AIMET is not installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = """
from hlo_frontend import aliases
aliases.install()
from aimet_torch.model_preparer import prepare_model
import aimet_torch.model_preparer
import hlo_frontend.model_preparer
print(prepare_model is hlo_frontend.model_preparer.prepare_model)
print(aimet_torch.model_preparer is hlo_frontend.model_preparer)
from hlo_frontend.model_preparer import modules
from aimet_torch.nn.modules import custom
from aimet_torch import elementwise_ops
from aimet_torch.v1.nn.modules.custom import Add, Concat, CustomSiLU
from aimet_torch._base.nn.modules.custom import DynamicConv2d, MatMul, Multiply
print(custom is elementwise_ops is modules, Add is modules.Add, MatMul is modules.MatMul)
import pickle
print(pickle.loads(pickle.dumps(Concat(1))).axis)
"""


def run(code: str, *path: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (*path, ROOT)))}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd="/", env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_names_are_those_of_the_emulator():
    assert run(CODE).split("\n")[:4] == ["True", "True", "True True True", "1"]


@pytest.mark.parametrize("submodule", ["model_preparer", "elementwise_ops"])
def test_a_real_aimet_wins(submodule, tmp_path):
    (tmp_path / "aimet_torch").mkdir()
    (tmp_path / "aimet_torch/__init__.py").write_text("")
    (tmp_path / f"aimet_torch/{submodule}.py").write_text("prepare_model = 'real'")
    code = (
        "from hlo_frontend import aliases; aliases.install()\n"
        f"from aimet_torch.{submodule} import prepare_model; print(prepare_model)"
    )
    assert run(code, tmp_path) == "real\n"
