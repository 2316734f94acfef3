"""What it takes to build and to load each model: seconds and memory, each in a fresh process.

python -m scripts.bench_stages build MODEL BATCH FILE    trace, save: JSON
python -m scripts.bench_stages load FILE                 load it again: JSON
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console

ROOT = Path(__file__).parents[1]


def build(name: str, batch: int, file: str) -> dict[str, Any]:
    """Trace a model and save it: seconds of each stage, and how much the process grew at most."""
    import torch

    import torch_neuronx
    from scripts.bench_models import MODELS
    from tests.models.measure import recorded

    module, inputs = MODELS[name].build(batch)
    with torch.no_grad():
        torch_neuronx.trace(torch.neg, torch.ones(1))  # torch_xla and jax are imported
        _reset_peak()
        before = _memory("VmRSS")
        with recorded() as records:
            traced = torch_neuronx.trace(module, inputs)
        peak = _memory("VmHWM") - before
    torch.jit.save(traced, file)
    stages = {r.name: r.seconds for r in records}
    capture, load = stages.pop("capture"), stages.pop("load")
    weights = sum(t.nbytes for t in (*module.parameters(), *module.buffers()))
    return {
        "capture": capture,
        "compile": sum(stages.values()),
        "load": load,
        "weights": weights,
        "peak": peak,
        "instructions": records[-1].instructions,
    }


def load(file: str) -> dict[str, Any]:
    """Load a saved model as a program does that does nothing else: what that imports counts."""
    import torch

    import torch_neuronx  # noqa: F401 - registers what the file refers to

    with torch.no_grad():
        _reset_peak()
        before = _memory("VmRSS")
        start = time.perf_counter()
        loaded = torch.jit.load(file)
        seconds = time.perf_counter() - start
        peak = _memory("VmHWM") - before
    del loaded
    return {"load": seconds, "peak": peak}


def _memory(field: str) -> int:
    """Bytes of this process, by the name of /proc/self/status."""
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _asked(environment: dict[str, str], *what: object) -> dict[str, Any]:
    command = [sys.executable, "-m", "scripts.bench_stages", *map(str, what)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT, env=environment
    )
    return json.loads(done.stdout.splitlines()[-1])


def measure(name: str, batch: int) -> dict[str, Any]:
    """A build, a load of what it saved with nothing cached, and the median of three more."""
    with tempfile.TemporaryDirectory(prefix="neuron-bench-") as folder:
        file = f"{folder}/model.pt"
        anew = {**os.environ, "NEURON_EMULATOR_EXECUTABLE_CACHE": "0"}
        made = _asked(anew, "build", name, batch, file)
        made["first load"] = _asked(anew, "load", file)["load"]
        _asked(dict(os.environ), "load", file)
        loads = [_asked(dict(os.environ), "load", file) for _ in range(3)]
        again = sorted(loads, key=lambda made: made["load"])[1]
        return {**made, "second load": again["load"], "load peak": again["peak"]}


def main(given: argparse.Namespace, console: Console) -> None:
    """`scripts/bench --stages`: the models chosen, each at its first batch."""
    from scripts.bench_peers import cases, keep, kept

    results = kept(given.json)
    for name, batch in cases(given.models, given.batches or (1,)):
        with console.status(f"{name}, batch {batch}"):
            made = measure(name, batch)
        results.setdefault("stages", {})[f"{name}/{batch}"] = made
        keep(given.json, results)
        seconds = ("capture", "compile", "load", "first load", "second load")
        console.print(f"{name}/{batch}: " + ", ".join(f"{s} {made[s]:.2f} s" for s in seconds))


if __name__ == "__main__":
    action, *rest = sys.argv[1:]
    if action == "build":
        print(json.dumps(build(rest[0], int(rest[1]), rest[2])))
    else:
        print(json.dumps(load(rest[0])))
