"""Benchmarks: each figure in a fresh process, medians, and ratios of interleaved pairs."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from runtime.settings import setting
from scripts import bench_growth, bench_peers, bench_report, bench_stages, bench_tensorflow
from scripts.bench_document import Rows

DOCUMENT = Path(__file__).parents[1] / "docs" / "bench.md"
PAGE = os.sysconf("SC_PAGE_SIZE")


def import_time() -> Rows:
    """Paired, interleaved: a process that imports torch, one that imports torch_neuronx."""
    seconds: dict[str, list[float]] = {"torch": [], "torch_neuronx": []}
    for _ in range(6):
        for name, taken in seconds.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", f"import {name}"], check=True)
            taken.append(time.perf_counter() - start)
    medians = {name: statistics.median(taken[1:]) for name, taken in seconds.items()}
    pairs = zip(seconds["torch_neuronx"][1:], seconds["torch"][1:], strict=True)
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    heavy = "[m for m in ('jax', 'torch_xla', 'tensorflow') if m in sys.modules]"
    command = [sys.executable, "-c", f"import sys, torch_neuronx; print({heavy})"]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return [
        ("import torch", f"{medians['torch']:.2f} s", ""),
        ("import torch_neuronx", f"{medians['torch_neuronx']:.2f} s", ""),
        ("ratio of the two", f"{ratio:.2f}", "≤ 1.3"),
        ("jax, torch_xla, tensorflow loaded by it", loaded, "[]"),
    ]


def bert_base() -> Rows:
    """BERT-base, 128 tokens, random weights: the stages of a trace, and a load of the result."""
    import logging
    import tempfile

    import torch
    from transformers import BertConfig, BertModel

    import torch_neuronx

    records = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.__dict__["record"])  # type: ignore[method-assign]
    logging.getLogger("Neuron").setLevel(logging.INFO)
    logging.getLogger("Neuron").addHandler(handler)
    torch.manual_seed(0)
    model = BertModel(BertConfig()).eval()
    inputs = torch.randint(0, 30000, (1, 128)), torch.ones(1, 128, dtype=torch.int64)
    torch_neuronx.trace(torch.neg, torch.ones(1))  # torch_xla and jax are imported
    records.clear()
    traced = torch_neuronx.trace(model, inputs)
    seconds = {r.name: r.seconds for r in records}
    with tempfile.TemporaryDirectory(prefix="neuron-bench-") as folder:
        torch.jit.save(traced, f"{folder}/bert.pt")
        del traced
        start = time.perf_counter()
        loaded = torch.jit.load(f"{folder}/bert.pt")
        load = time.perf_counter() - start
    built = sum(s for name, s in seconds.items() if name != "load")
    ours, eager = _interleaved(lambda: loaded(*inputs), lambda: model(*inputs), 11)
    return [
        ("BERT-base s128: capture", f"{seconds['capture']:.2f} s", ""),
        ("BERT-base s128: capture and compile", f"{built:.2f} s", "< 10 s"),
        ("BERT-base s128: torch.jit.load", f"{load:.2f} s", "< 3 s"),
        ("BERT-base s128: call", f"{ours * 1e3:.1f} ms", ""),
        ("BERT-base s128: PyTorch eager", f"{eager * 1e3:.1f} ms", ""),
    ]


def _interleaved(a: Callable[[], object], b: Callable[[], object], runs: int) -> tuple[float, ...]:
    """Median seconds of two callables that take turns."""
    import torch

    taken: tuple[list[float], list[float]] = ([], [])
    with torch.inference_mode():
        for _ in range(runs):
            for call, times in zip((a, b), taken, strict=True):
                start = time.perf_counter()
                call()
                times.append(time.perf_counter() - start)
    return tuple(statistics.median(times[1:]) for times in taken)


def small_call() -> Rows:
    """A model that adds two vectors of three numbers: nothing but overhead."""
    import torch

    import torch_neuronx

    x, y = torch.rand(3), torch.rand(3)
    model = torch_neuronx.trace(torch.add, (x, y))
    rounds = []
    for _ in range(15):
        start = time.perf_counter()
        for _ in range(2000):
            model(x, y)
        rounds.append((time.perf_counter() - start) / 2000)
    return [
        ("call that adds two 3-vectors", f"{statistics.median(rounds) * 1e6:.0f} µs", "< 60 µs")
    ]


def call_overhead() -> Rows:
    """A call of a model, and what it was made into called by itself, in turn."""
    import torch

    import torch_neuronx
    from runtime.model import loaded_models

    x, y = torch.rand(3), torch.rand(3)
    model = torch_neuronx.trace(torch.add, (x, y))
    (loaded,) = loaded_models()
    arrays = [x.numpy(), y.numpy()]

    def calls(repeat: int = 1000) -> None:
        for _ in range(repeat):
            model(x, y)

    def compiled(repeat: int = 1000) -> None:
        for _ in range(repeat):
            loaded.ready.start(arrays, ())

    whole, own = _interleaved(calls, compiled, 15)  # of a thousand
    return [
        ("the same, what it was made into by itself", f"{own * 1e3:.0f} µs", ""),
        ("the same, overhead", f"{(whole - own) * 1e3:.0f} µs", "< 40 µs"),
    ]


def input_copies() -> Rows:
    """Growth of the process in a call with a large input and a small output, by alignment."""
    import torch

    import torch_neuronx

    size = 1 << 26
    whole = torch.ones(size + 16)
    model = torch_neuronx.trace(lambda x: x[:4] + 1, torch.ones(size))
    rows = []
    for name, x in (("aligned", whole[:size]), ("not aligned", whole[1 : size + 1])):
        copied = [_growth(lambda x=x: model(x)) / x.nbytes for _ in range(3)]
        what = f"copies of an input of {x.nbytes >> 20} MiB, {name}"
        rows.append((what, f"{max(copied):.2f}", "≤ 1"))
    return rows


def cores_together() -> Rows:
    """Throughput of two cores against one that has both CPUs; a batch in chunks against calls."""
    import torch

    import torch_neuronx

    torch.manual_seed(0)
    layers = [torch.nn.Linear(1024, 1024) for _ in range(8)]
    net = torch.nn.Sequential(*layers).eval()
    x = torch.rand(64, 1024)
    one, two = torch_neuronx.trace(net, x), torch_neuronx.trace(net, x)
    torch_neuronx.set_neuron_cores(one, 0, 1)
    torch_neuronx.set_multicore(two)
    alone, together = _interleaved(
        lambda: [one(x) for _ in range(40)], lambda: _in_two_threads(two, x, 20), 15
    )
    single = torch_neuronx.trace(net, x[:1])
    spread = torch_neuronx.dynamic_batch(torch_neuronx.trace(net, x[:1]))
    torch_neuronx.set_neuron_cores(single, 0, 1)
    rows = x[:8].split(1)
    ratios = []
    for count in (1, 2):
        torch_neuronx.set_neuron_cores(spread, 0, count)
        serial, chunked = _interleaved(
            lambda: [single(row) for row in rows for _ in range(10)],
            lambda: [spread(x[:8]) for _ in range(10)],
            25,
        )
        ratios.append(chunked / serial)
    return [
        ("two cores, against one with both CPUs", f"{alone / together:.2f} ×", "≥ 0.95 ×"),
        ("batch of 8 in chunks of 1, against 8 calls", f"{ratios[0]:.2f} ×", "≤ 1.1 ×"),
        ("the same on two cores", f"{ratios[1]:.2f} ×", "less"),
    ]


def _in_two_threads(call: Callable[..., object], x: object, repeat: int) -> None:
    def run() -> None:
        for _ in range(repeat):
            call(x)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def tracing_memory() -> Rows:
    """Growth of the process while a model of 300 MB is traced, against the size of its weights."""
    import torch

    import torch_neuronx

    layers = [torch.nn.Linear(3500, 3500) for _ in range(6)]
    model = torch.nn.Sequential(*layers).eval()
    weights = sum(p.nbytes for p in model.parameters())
    torch_neuronx.trace(torch.neg, torch.ones(1))  # torch_xla and jax are imported
    grown = _growth(lambda: torch_neuronx.trace(model, torch.rand(1, 3500)))
    return [
        (
            f"peak memory of tracing, over the process before, {weights / 1e6:.0f} MB of weights",
            f"{grown / weights:.2f} × the weights",
            "< 2.2 ×",
        )
    ]


def _growth(call: Callable[[], object]) -> int:
    """Bytes by which the process grows at most while a call runs."""
    resident = Path("/proc/self/statm")
    before = peak = int(resident.read_text().split()[1])
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, int(resident.read_text().split()[1]))

    watcher = threading.Thread(target=watch)
    watcher.start()
    call()
    done.set()
    watcher.join()
    return (peak - before) * PAGE


def compile_scaling() -> Rows:
    """The Python passes on chains of elementwise instructions."""
    from hlo_frontend.hlo.module import HloComputation, HloInstruction, HloModule, attributes
    from hlo_frontend.hlo.types import Shape
    from neff.compile import compile_module

    def chain(count: int) -> HloModule:
        shape = Shape("f32", (64,))
        made = [
            HloInstruction(f"p{n}", "parameter", shape, attrs=attributes(number=n)) for n in (0, 1)
        ]
        for n in range(count):
            op = ("add", "multiply", "tanh", "subtract", "maximum")[n % 5]
            near, far = len(made) - 1, max(0, len(made) - 1 - n * 7 % 50)
            operands = (near,) if op == "tanh" else (near, far)
            made.append(HloInstruction(f"i{n}", op, shape, operands))
        return HloModule("chain", (HloComputation("main", tuple(made), len(made) - 1),), "main")

    def seconds(module: HloModule) -> float:
        start = time.perf_counter()
        compile_module(module)
        return time.perf_counter() - start

    small, large = chain(20_000), chain(40_000)
    times = [(seconds(small), seconds(large)) for _ in range(4)][1:]
    ratio = statistics.median(b / a for a, b in times)
    median = statistics.median(a for a, _ in times)
    return [
        ("compile 20,000 instructions", f"{median:.2f} s", "< 20 s"),
        ("compile 40,000, against 20,000", f"{ratio:.2f} ×", "≤ 2.3 ×"),
    ]


def partition_time() -> Rows:
    """The partitioner on graphs of many operators, cut in many places."""
    import torch

    from hlo_frontend.partition import assemble, partition, trace_graph

    def seconds(count: int) -> float:
        def program(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            kept = [x, y]
            for n in range(count):
                kept = [kept[1], torch.add(kept[0], kept[1]) if n % 3 else torch.sin(kept[1])]
            return kept[1]

        traced = trace_graph(program, (torch.rand(4), torch.rand(4)))
        sides = [site.index % 100 != 0 for site in traced.sites]
        start = time.perf_counter()
        assemble(partition(traced, sides), {}, "{}")
        return time.perf_counter() - start

    times = [(seconds(5_000), seconds(10_000)) for _ in range(4)][1:]
    ratio = statistics.median(b / a for a, b in times)
    median = statistics.median(b for _, b in times)
    return [
        ("partition 10,000 operators", f"{median:.2f} s", "< 5 s"),
        ("partition 10,000, against 5,000", f"{ratio:.2f} ×", "≤ 2.3 ×"),
    ]


def partition_calls() -> Rows:
    """Calls of a model in 21 parts, 11 of them on Neuron, in one part, and from a plain trace."""
    import torch

    import torch_neuronx

    class Net(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for _ in range(10):
                x = torch.erf(torch.sin(x) + 1)
            return torch.sin(x)

    x = torch.rand(16, 16)
    plain = torch_neuronx.trace(Net(), x)
    one = torch_neuronx.trace(Net(), x, partitioner_config=torch_neuronx.PartitionerConfig())
    cut = torch_neuronx.PartitionerConfig(ops_to_partition={"aten::erf"})
    parts = torch_neuronx.trace(Net(), x, partitioner_config=cut)

    def calls(model: torch.nn.Module) -> Callable[[], object]:
        return lambda: [model(x) for _ in range(100)]

    whole, many = (t / 100 for t in _interleaved(calls(one), calls(parts), 15))
    single, partitioned = _interleaved(calls(plain), calls(one), 15)
    return [
        ("20 borders, against none", f"{(many - whole) * 1e6:.0f} µs more", "≤ 600 µs"),
        ("one segment, against a plain trace", f"{partitioned / single:.2f} ×", "about 1"),
    ]


BENCHMARKS: dict[str, Callable[[], Rows]] = {
    f.__name__: f
    for f in (
        import_time,
        small_call,
        call_overhead,
        input_copies,
        cores_together,
        bert_base,
        tracing_memory,
        compile_scaling,
        partition_time,
        partition_calls,
    )
}


def promises(write: bool) -> None:
    """Every benchmark of this file, as a table; `write` keeps it in docs/bench.md."""
    console, rows = Console(), []
    for name in BENCHMARKS:
        with console.status(name.replace("_", " ")):
            command = [sys.executable, "-m", "scripts.bench", "--only", name]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        rows += json.loads(done.stdout.splitlines()[-1])
    table = Table("what", "figure", "goal")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    if write:
        DOCUMENT.write_text(markdown(rows))


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--write", action="store_true", help="keep the results in docs/")
    parser.add_argument("--only", choices=BENCHMARKS, help="one figure, in this process, as JSON")
    parser.add_argument("--peers", action="store_true", help="our speed against that of others")
    parser.add_argument("--stages", action="store_true", help="time and memory to build and load")
    parser.add_argument("--growth", action="store_true", help="over depth and batch of BERT")
    parser.add_argument("--tensorflow", action="store_true", help="what tensorflow.neuron promises")
    parser.add_argument("--show", action="store_true", help="what was measured before")
    default = Path(setting("XDG_CACHE_HOME") or Path.home() / ".cache")
    default = default / "neuron-emulator" / "bench.json"
    parser.add_argument("--json", type=Path, default=default, help="results so far (%(default)s)")
    bench_peers.add_arguments(parser)
    given = parser.parse_args()
    if given.only:
        print(json.dumps(BENCHMARKS[given.only]()))
        return 0
    if given.tensorflow:
        bench_tensorflow.main(given.write, Console())
        return 0
    parts = {"peers": bench_peers.main, "stages": bench_stages.main, "growth": bench_growth.main}
    asked = [name for name in parts if getattr(given, name)]
    console = Console()
    for name in asked:
        parts[name](given, console)
    if not asked and not given.show:
        promises(given.write)
    else:
        bench_report.main(given, console)
    return 0


def markdown(rows: Rows) -> str:
    lines = [
        "# Benchmarks",
        "",
        f"Made by `scripts/bench --write` on {platform.machine()} with {os.cpu_count()} CPUs, "
        f"Python {platform.python_version()}. Medians; ratios are of runs that took turns.",
        "",
        "| what | figure | goal |",
        "|---|---|---|",
    ]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows), ""])


if __name__ == "__main__":
    sys.exit(main())
