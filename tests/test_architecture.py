"""Imports run one way, as the data flows: read from the sources, not from what happens to load."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FRAMEWORKS = {"torch", "torch_xla", "jax", "jaxlib", "tensorflow"}
PACKAGES = {
    *("hlo_frontend", "libneuronxla", "neff", "neuronxcc", "runtime"),
    *("tensorflow_neuron", "torch_neuron", "torch_neuronx"),
}

# For each part of the tree: what of the project it may import, and which frameworks.
MAY_IMPORT: dict[str, tuple[tuple[str, ...], set[str]]] = {
    "hlo_frontend/hlo": (("hlo_frontend.hlo",), set()),
    "hlo_frontend/capture": (("hlo_frontend",), {"torch", "torch_xla"}),
    "hlo_frontend/partition": (
        ("hlo_frontend.capture", "hlo_frontend.errors", "hlo_frontend.partition"),
        {"torch"},
    ),
    "hlo_frontend/graphdef": (
        ("hlo_frontend.errors", "hlo_frontend.graphdef", "hlo_frontend.hlo"),
        {"tensorflow"},
    ),
    "hlo_frontend/inspect": (("hlo_frontend.hlo", "hlo_frontend.inspect"), set()),
    "hlo_frontend/model_preparer": (
        ("hlo_frontend.model_preparer", "hlo_frontend.restore"),
        {"torch"},
    ),
    "neff": (
        ("hlo_frontend.files", "hlo_frontend.hlo", "hlo_frontend.inspect", "neff"),
        set(),
    ),
    "runtime": (
        (
            "hlo_frontend.hlo",
            "neff.container",
            "neff.errors",
            "neff.printing",
            "neff.program",
            "neff.targets",
            "neff.undisturbed",
            "runtime",
        ),
        {"jax", "jaxlib", "torch"},
    ),
    "neuronxcc": (("hlo_frontend", "neff", "neuronxcc", "runtime.settings"), set()),
    "libneuronxla": (
        ("hlo_frontend", "libneuronxla", "neff", "neuronxcc", "runtime.settings"),
        set(),
    ),
    "torch_neuron": (
        ("hlo_frontend", "neff", "runtime", "torch_neuron", "torch_neuronx"),
        {"torch"},
    ),
    "tensorflow_neuron": (
        ("hlo_frontend", "neff", "runtime", "tensorflow_neuron"),
        {"tensorflow"},
    ),
    "torch_neuronx": (
        ("hlo_frontend", "neff", "neuronxcc", "runtime", "torch_neuronx"),
        {"torch"},
    ),
}


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def sources() -> list[tuple[str, Path]]:
    return [(part, path) for part in MAY_IMPORT for path in sorted((ROOT / part).rglob("*.py"))]


@pytest.mark.parametrize(
    ("part", "path"),
    sources(),
    ids=lambda v: str(v.relative_to(ROOT)) if isinstance(v, Path) else "",
)
def test_imports_run_one_way(part, path):
    own, frameworks = MAY_IMPORT[part]
    for name in imported(path):
        top = name.split(".")[0]
        if top in PACKAGES:
            assert name.startswith(own), f"{path.relative_to(ROOT)} must not import {name}"
        if top in FRAMEWORKS:
            assert top in frameworks, f"{path.relative_to(ROOT)} must not import {name}"


def test_every_package_is_held_to_a_rule():
    packages = {p.parent.name for p in ROOT.glob("*/__init__.py")} - {"tests"}
    assert packages == PACKAGES == {part.split("/")[0] for part in MAY_IMPORT}


def test_only_the_settings_read_the_environment():
    """torch_xla, which reads its own while it is imported, is told where it runs."""
    told = {ROOT / "hlo_frontend" / "capture" / "xla.py"}
    readers = {
        path
        for _, path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "environb")
    }
    assert readers - told == {ROOT / "runtime" / "settings.py"}


@pytest.mark.parametrize("module", ["runtime.settings", "runtime.core", "runtime.ls"])
def test_cores_can_be_asked_for_and_shown_without_a_framework(module):
    heavy = {*FRAMEWORKS, "numpy"}
    code = f"import sys, {module}; print([m for m in {sorted(heavy)} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
