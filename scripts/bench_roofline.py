"""What the machine can do at most, and what a model needs at least.

python -m scripts.bench_roofline machine         peaks, as JSON
python -m scripts.bench_roofline MODEL BATCH     operations and bytes of a call, as JSON
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from scripts.bench_worker import hurry

GIGA = 1e9


def _best(call: Callable[[], object], runs: int = 12) -> float:
    """The least seconds of a call: other work on the machine only ever adds to them."""
    call()
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return min(taken)


def _dot_peak(dtype: torch.dtype) -> float:
    """The best rate of PyTorch's own matrix multiplications, operations a second."""
    rates = []
    for rows, inner, columns in ((1024, 1024, 1024), (512, 2048, 2048), (2048, 2048, 2048)):
        a, b = torch.randn(rows, inner).to(dtype), torch.randn(inner, columns).to(dtype)
        rates.append(2 * rows * inner * columns / _best(lambda a=a, b=b: a @ b))
    return max(rates)


def machine() -> dict[str, Any]:
    """Peaks of this machine with the threads that PyTorch uses, and its name."""
    torch.ones(1 << 20).sum()  # PyTorch's threads are there
    hurry()
    large = torch.ones(1 << 27)  # 512 MiB: far larger than any cache
    with open("/proc/cpuinfo") as lines:
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor(),
        "threads": torch.get_num_threads(),
        "cpus": os.cpu_count(),
        "f32": _dot_peak(torch.float32) / GIGA,
        "bf16": _dot_peak(torch.bfloat16) / GIGA,
        "bandwidth": large.nbytes / _best(large.sum, 6) / GIGA,
    }


def work(name: str, batch: int) -> dict[str, float]:
    """Operations of a call in units of 1e9, bytes of weights it reads, and of inputs and outputs.

    A table of which a call looks up some rows is not counted.
    """
    from hlo_frontend.capture import Input, capture
    from hlo_frontend.hlo.types import Shape
    from hlo_frontend.inspect.graph import graph_of_module, total
    from scripts.bench_models import MODELS

    captured = capture(*MODELS[name].build(batch))
    entry, block = captured.module.entry, graph_of_module(captured.module).entry
    read = {"weights": 0, "inputs": 0}
    for i, users in zip(entry.instructions, block.users(), strict=True):
        if i.opcode == "parameter" and any(block.nodes[u].op != "gather" for u in users):
            given = isinstance(captured.parameters[i["number"]], Input)
            read["inputs" if given else "weights"] += i.shape.bytes
    written = sum(Shape(o.dtype, o.dims).bytes for o in captured.outputs)
    return {
        "gflop": total(n.cost for n in block.nodes).flops / GIGA,
        "weights": read["weights"],
        "moved": read["inputs"] + written,
    }


def least_seconds(work: dict[str, float], peaks: dict[str, Any], bf16: bool) -> float:
    """The time in which no program can be faster: operations at the peak, or weights read once.

    In bf16 weights take half as many bytes.
    """
    rate = peaks["bf16" if bf16 else "f32"]
    bytes_read = work["weights"] / (2 if bf16 else 1) + work["moved"]
    return max(work["gflop"] / rate, bytes_read / GIGA / peaks["bandwidth"])


def main(arguments: list[str]) -> int:
    if arguments == ["machine"]:
        print(json.dumps(machine()))
    else:
        print(json.dumps(work(arguments[0], int(arguments[1]))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
