"""An installation, by a wheel or editable, has Python serve the documented names from its start."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from scripts.startup_file import STARTUP_FILE, STARTUP_LINE

ROOT = Path(__file__).parents[2]
BUILT = ["hlo_frontend", "libneuronxla", "neff", "neuronxcc", "runtime", "scripts", "torch_neuronx"]
BUILD = "import sys; from setuptools import build_meta as b; print(getattr(b, sys.argv[1])('dist'))"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy, since building leaves files in the tree."""
    folder = tmp_path_factory.mktemp("checkout")
    skipped = shutil.ignore_patterns("__pycache__", "*.so", "build")
    for name in BUILT:
        shutil.copytree(ROOT / name, folder / name, ignore=skipped)
    for name in ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, folder)
    (folder / "dist").mkdir()
    return folder


@pytest.fixture(scope="module", params=["build_wheel", "build_editable"])
def installed(request, checkout, tmp_path_factory):
    """The Python of a fresh environment that has the project and nothing else."""
    done = subprocess.run(
        [sys.executable, "-c", BUILD, request.param], cwd=checkout, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True, with_pip=False)
    [packages] = folder.glob("lib/python3*/site-packages")
    # What an installer does with a wheel whose files are all Python's.
    with zipfile.ZipFile(checkout / "dist" / done.stdout.splitlines()[-1]) as wheel:
        wheel.extractall(packages)
    return folder / "bin" / "python"


def run(interpreter: Path, code: str, *path: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    done = subprocess.run(
        [interpreter, "-c", code], cwd="/", env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_the_startup_file_is_beside_the_packages(installed):
    [file] = installed.parents[1].glob(f"lib/python3*/site-packages/{STARTUP_FILE}")
    assert file.read_text() == STARTUP_LINE
    assert STARTUP_LINE.count("\n") == 1


def test_the_names_are_served_from_the_start(installed, tmp_path):
    for name in ("torch", "torch_neuron"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
    code = "import torch.neuron, torch_neuron; print(torch.neuron is torch_neuron)"
    assert run(installed, code, tmp_path) == "True"


def test_without_packages_behind_them_the_names_are_missing(installed):
    code = "from importlib.util import find_spec as f; print(f('torch'), f('tensorflow'))"
    assert run(installed, code) == "None None"


def test_an_older_checkout_on_the_path_is_left_alone(installed, tmp_path):
    (tmp_path / "hlo_frontend").mkdir()
    (tmp_path / "hlo_frontend" / "__init__.py").write_text("")
    assert run(installed, "print('runs')", tmp_path) == "runs"
