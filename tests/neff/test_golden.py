"""A NEFF of every format version ever released loads, runs, and gives the numbers it gave.

A file is made once, when its format is new, and never again:
`python -m tests.neff.test_golden` writes the file of the current format if there is none.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neff.container import FORMAT
from runtime.model import load
from tests.runtime.models import core

FOLDER = Path(__file__).parent / "golden"


@pytest.mark.parametrize("version", range(1, FORMAT + 1))
def test_golden_file_loads_and_runs(version):
    model = load((FOLDER / f"format-{version}.neff").read_bytes(), [core()])
    with np.load(FOLDER / f"format-{version}.npz", allow_pickle=False) as values:
        given = [values[name] for name, _, _ in model.inputs]
        expected = [values[name] for name, _, _ in model.outputs]
    results = model.execute([memoryview(np.ascontiguousarray(v)).cast("B") for v in given])
    for result, value in zip(results, expected, strict=True):
        made = result.view(value.dtype).reshape(value.shape)
        np.testing.assert_allclose(made, value, rtol=1e-5, atol=1e-6)


def make() -> None:
    """Write the file of the current format, with inputs, and outputs as PyTorch computes them."""
    import tempfile

    import torch
    from torch import nn

    import torch_neuronx

    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(36, 5), nn.LayerNorm(5), nn.Softmax(-1),
    ).eval()  # fmt: skip
    x = torch.randn(2, 2, 8, 8)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        torch_neuronx.trace(model, x, compiler_workdir=folder)
        neff = (Path(folder) / "graph.neff").read_bytes()
        values = {"input": x.numpy(), "output0": model(x).numpy()}
    path = FOLDER / f"format-{FORMAT}.neff"
    if path.exists():
        raise FileExistsError(f"{path} is golden: a new format gets a new version")
    path.write_bytes(neff)
    np.savez(path.with_suffix(".npz"), **values)


if __name__ == "__main__":
    make()
