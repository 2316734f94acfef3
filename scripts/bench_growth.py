"""How the time to build, load and call a BERT grows with its depth and with the batch.

python -m scripts.bench_growth LAYERS BATCH    one point, in a process of its own: JSON
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

ROOT = Path(__file__).parents[1]
DEPTHS, BATCHES = (2, 4, 8, 12, 24, 48), (1, 2, 4, 8, 16, 32, 64)
WIDTH = {"hidden_size": 384, "num_attention_heads": 6, "intermediate_size": 1536}
TOKENS, LAYERS = 128, 12  # of the points of the other series


def point(layers: int, batch: int) -> dict[str, float]:
    """Seconds to capture, compile, load and call."""
    import torch

    import torch_neuronx
    from scripts.bench_models import encoder
    from scripts.bench_worker import timed
    from tests.models.measure import recorded

    module, inputs = encoder(TOKENS, num_hidden_layers=layers, **WIDTH)(batch)
    with torch.no_grad():
        torch_neuronx.trace(torch.neg, torch.ones(1))
        with recorded() as records:
            traced = torch_neuronx.trace(module.eval(), inputs)
        call = statistics.median(timed(lambda: traced(*inputs), 2.0))
    stages = {r.name: r.seconds for r in records}
    capture, load = stages.pop("capture"), stages.pop("load")
    return {"capture": capture, "compile": sum(stages.values()), "load": load, "call": call}


def main(given: argparse.Namespace, console: Console) -> None:
    """`scripts/bench --growth`."""
    from scripts.bench_peers import keep, kept

    results = kept(given.json)
    series = {
        "depth": [(n, 1) for n in DEPTHS],
        "batch": [(LAYERS, n) for n in BATCHES],
    }
    for name, points in series.items():
        made = results.setdefault("growth", {}).setdefault(name, {})
        for layers, batch in points:
            with console.status(f"{layers} layers, batch {batch}"):
                made[str(layers if name == "depth" else batch)] = _asked(layers, batch)
            keep(given.json, results)
    console.print(f"growth: {sum(map(len, series.values()))} points")


def _asked(layers: int, batch: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "scripts.bench_growth", str(layers), str(batch)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    print(json.dumps(point(*map(int, sys.argv[1:]))))
