"""A name is served from the package behind it, and only where nothing else has the name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hlo_frontend.aliases import ALIASES, EMPTY_PACKAGES

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "torch/__init__.py": "",
    "tensorflow/__init__.py": "",
    "torch_neuron/__init__.py": "from torch_neuron import graph\nruns = [1]",
    "torch_neuron/graph.py": "runs = [1]",
    "torch_neuron/late/__init__.py": "runs = [1]",
    "torch_neuron/late/deep.py": "runs = [1]",
    "tensorflow_neuron/__init__.py": "",
}


@pytest.fixture
def packages(tmp_path):
    for name, text in PACKAGES.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    return tmp_path


def python(
    code: str, path: Path, start: str = "from hlo_frontend import aliases; aliases.install()"
):
    """What `code` prints in a process that has the packages in `path` and no others installed."""
    alone = path / "alone"  # without the packages that lie beside it
    if not alone.exists():
        alone.mkdir()
        (alone / "hlo_frontend").symlink_to(ROOT / "hlo_frontend")
    environment = {
        **os.environ,
        "PYTHONPATH": f"{path}{os.pathsep}{alone}",
        "PYTHONPYCACHEPREFIX": str(path / "bytecode"),
        "PYTHONDONTWRITEBYTECODE": "",
    }
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"{start}\n{code}"],
        cwd=path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    "code",
    [
        "import torch.neuron, torch_neuron; print(torch.neuron is torch_neuron)",
        "import torch_neuron, torch.neuron; print(torch.neuron is torch_neuron)",
        "from torch import neuron; import torch_neuron; print(neuron is torch_neuron)",
        "import tensorflow.neuron as n, tensorflow_neuron as t; print(n is t)",
        "import torch.neuron.graph as g, torch_neuron.graph as r; print(g is r)",
        "from torch.neuron.late import deep; import torch_neuron.late.deep as r; print(deep is r)",
        "import torch.neuron as n; print(n.__name__ == n.__spec__.name == 'torch_neuron')",
        "import torch.neuron as n; print(n.__spec__.loader is n.__loader__)",
        "import importlib, torch.neuron as n; n.runs = 2; print(importlib.reload(n).runs == [1])",
        "from importlib.util import find_spec as f; print(f('torch.neuron') is not None)",
        "import torch.neuron as n; from importlib.util import find_spec as f\n"
        "print(f('torch.neuron.late.deep') is not None and f('torch.neuron.none') is None)",
    ],
)
def test_an_alias_is_the_module_itself(code, packages):
    assert python(code, packages) == ["True"]


def test_finding_a_name_does_not_import_what_is_behind_it(packages):
    code = "import sys; from importlib.util import find_spec\nfind_spec('torch.neuron')\n"
    assert python(code + "print('torch_neuron' in sys.modules)", packages) == ["False"]


@pytest.mark.parametrize(
    ("name", "removed"),
    [
        ("torch.neuron", "torch_neuron"),
        ("torch.neuron", "torch"),
        ("tensorflow.neuron", "tensorflow_neuron"),
        ("tensorflow.neuron", "tensorflow"),
        ("aimet_torch.v2", None),
        ("torch.neuron.none", None),
        ("torch.none", None),
    ],
)
def test_a_name_without_a_package_behind_it_is_missing(name, removed, packages):
    if removed:
        (packages / removed).rename(packages / "elsewhere")
    code = (
        f"try: import {name}\nexcept ModuleNotFoundError as error: print(error.name == {name!r}"
        f" or error.name == {name.split('.')[0]!r})"
    )
    assert python(code, packages) == ["True"]


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("torch.neuron", {"torch/neuron.py": "real = True"}),
        ("torch.neuron", {"torch/neuron/__init__.py": "real = True"}),
        ("tensorflow.neuron", {"tensorflow/neuron/__init__.py": "real = True"}),
        ("aimet_torch", {"aimet_torch/__init__.py": "real = True"}),
        (
            "aimet_torch.model_preparer",
            {"aimet_torch/__init__.py": "", "aimet_torch/model_preparer.py": "real = True"},
        ),
    ],
)
def test_an_installed_package_wins(name, files, packages):
    for file, text in files.items():
        (packages / file).parent.mkdir(exist_ok=True)
        (packages / file).write_text(text)
    code = f"import importlib; print(importlib.import_module({name!r}).real)"
    assert python(code, packages) == ["True"]


def test_an_installed_package_is_not_extended(packages):
    (packages / "aimet_torch").mkdir()
    (packages / "aimet_torch/__init__.py").write_text("")
    code = "import aimet_torch\nfrom importlib.util import find_spec\n"
    names = [name for name in ALIASES if name.count(".") == 1 and name.startswith("aimet")]
    assert names
    for name in names:
        assert python(f"{code}print(find_spec({name!r}))", packages) == ["None"]


def test_beneath_an_installed_package_nothing_of_ours_is_found(packages):
    (packages / "torch/neuron").mkdir()
    (packages / "torch/neuron/__init__.py").write_text("")
    code = "import torch_neuron.graph, torch.neuron\nfrom importlib.util import find_spec\n"
    assert python(f"{code}print(find_spec('torch.neuron.graph'))", packages) == ["None"]


def test_a_second_installation_does_nothing(packages):
    code = "before = list(sys.meta_path); aliases.install(); print(before == sys.meta_path)"
    assert python("import sys\n" + code, packages) == ["True"]


def test_every_package_in_between_is_listed():
    frameworks = {"torch", "tensorflow"}
    for alias in ALIASES:
        parts = alias.split(".")
        between = {".".join(parts[:end]) for end in range(1, len(parts))}
        assert between - frameworks <= EMPTY_PACKAGES.keys()


def test_installing_takes_less_than_a_millisecond_and_imports_nothing(packages):
    start = "import sys, time; before, clock = set(sys.modules), time.perf_counter()"
    code = (
        "from hlo_frontend import aliases; aliases.install(); spent = time.perf_counter() - clock\n"
        "print(sorted(set(sys.modules) - before)); print(spent * 1000)"
    )
    python(code, packages, start)  # writes the bytecode, as installers do
    runs = [python(code, packages, start) for _ in range(5)]
    own = ["hlo_frontend", "hlo_frontend.after_import", "hlo_frontend.aliases"]
    assert all(loaded == str(own) for loaded, _ in runs)
    assert min(float(spent) for _, spent in runs) < 1
