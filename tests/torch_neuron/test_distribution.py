"""`torch-neuron` is a distribution of its own, of the same version as what it needs."""

from __future__ import annotations

import tomllib
from pathlib import Path

import torch_neuron
import torch_neuronx

ROOT = Path(__file__).parents[2]


def test_the_companion_has_every_package_and_the_version_of_the_project():
    project = tomllib.loads((ROOT / "companions/torch-neuron/pyproject.toml").read_text())
    folders = [path.parent.relative_to(ROOT) for path in ROOT.glob("torch_neuron/**/__init__.py")]
    names = sorted(".".join(folder.parts) for folder in folders)
    assert project["tool"]["setuptools"]["packages"] == names
    assert torch_neuron.__version__ == torch_neuronx.__version__
    assert project["project"]["dependencies"] == [f"torch-neuronx=={torch_neuronx.__version__}"]


def test_the_project_itself_has_it_not():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found = project["tool"]["setuptools"]["packages"]["find"]["include"]
    assert not any(name.split(".")[0] == "torch_neuron" for name in found)
