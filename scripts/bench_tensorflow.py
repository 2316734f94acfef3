"""What tensorflow.neuron promises about time: each figure in a fresh process.

python -m scripts.bench_tensorflow NAME     one of the figures: JSON
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from scripts.bench_document import Rows, replaced

DOCUMENT = Path(__file__).parents[1] / "docs" / "tensorflow.md"
BEGIN = "<!-- made by scripts/bench --tensorflow --write: begin -->"


def _in_turn(calls: Mapping[str, Callable[[], object]], rounds: int, each: int) -> dict[str, float]:
    """Median seconds of a call of each, in rounds in which they take turns, but the first."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            for _ in range(each):
                call()
            taken[name].append((time.perf_counter() - start) / each)
    return {name: statistics.median(times[1:]) for name, times in taken.items()}


def _operator_call(function: Any, given: Any) -> Callable[[], object]:
    """A call of the one NeuronOp of a traced function by itself."""
    import tensorflow as tf
    from tensorflow.python.eager import context, execute

    (node,) = [n for n in function.graph.as_graph_def().node if n.op == "NeuronOp"]
    lists: dict[str, Callable[[Any], Any]] = {
        "shape": lambda v: list(map(tf.TensorShape, v)),
        "type": lambda v: list(map(tf.as_dtype, v)),
    }
    attributes: list[Any] = []
    for name, value in node.attr.items():
        if not name.startswith("_"):
            kinds = [field.name for field, _ in value.list.ListFields()]
            made = lists.get(kinds[0], list)(getattr(value.list, kinds[0])) if kinds else value.s
            attributes += [name, made]
    count = len(function.outputs)
    return lambda: execute.execute(
        b"NeuronOp", count, [given], tuple(attributes), context.context()
    )


def operator() -> Rows:
    """A product of 4×3 by 3×5: nothing but overhead, which is told apart by taking turns."""
    import numpy as np
    import tensorflow as tf

    import tensorflow_neuron as tfn
    from runtime.model import loaded_models

    given, weight = tf.ones([4, 3]), tf.ones([3, 5])

    def product(x: tf.Tensor) -> tf.Tensor:
        return tf.nn.relu(x @ weight)

    model = tfn.trace(product, given)
    model(given)
    (loaded,) = loaded_models()
    ready, arrays = loaded.ready, [np.ones((4, 3), np.float32)]
    function, plain = model.aws_neuron_function, tf.function(product).get_concrete_function(given)
    seconds = _in_turn(
        {
            "executable": lambda: ready.start(arrays, ()).wait(),
            "operator": _operator_call(function, given),
            "plain": lambda: plain(given),
            "function": lambda: function(given),
            "model": lambda: model(given),
        },
        rounds=15,
        each=300,
    )
    return [
        ("the executable", _micro(seconds["executable"]), ""),
        (
            "a call of `NeuronOp`, beyond it",
            _micro(seconds["operator"] - seconds["executable"]),
            "< 300 µs",
        ),
        ("a call of the original `tf.function`", _micro(seconds["plain"]), ""),
        (
            "a call of the traced function, beyond that",
            _micro(seconds["function"] - seconds["plain"]),
            "< 300 µs",
        ),
        ("a call of the traced `keras.Model`", _micro(seconds["model"]), ""),
    ]


def _micro(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} µs"


def resnet50() -> Rows:
    """ResNet50 of keras.applications with random weights: tracing, and calls in turn with XLA's."""
    import numpy as np
    import tensorflow as tf

    import tensorflow_neuron as tfn

    tfn.trace(tf.negative, tf.ones([1]))(tf.ones([1]))  # all that is needed is imported
    tf.random.set_seed(0)
    model = tf.keras.applications.ResNet50(weights=None)
    image = tf.random.uniform([1, 224, 224, 3])
    start = time.perf_counter()
    traced = tfn.trace(model, image)
    taken = time.perf_counter() - start
    compiled = tf.function(lambda x: model(x, training=False), jit_compile=True)
    if not np.allclose(traced(image), compiled(image), rtol=1e-3, atol=1e-6):
        raise ValueError("bench: the two must compute the same")
    times: list[tuple[float, float]] = []
    for _ in range(25):
        times.append((_seconds(traced, image), _seconds(compiled, image)))
    ours, theirs = (statistics.median(t) for t in zip(*times[1:], strict=True))
    ratio = statistics.median(a / b for a, b in times[1:])
    return [
        ("tracing ResNet50", f"{taken:.1f} s", "< 20 s"),
        ("a call of ResNet50, traced", f"{ours * 1e3:.1f} ms", ""),
        ("the same under `tf.function(jit_compile=True)`", f"{theirs * 1e3:.1f} ms", ""),
        ("ratio of the two, paired", f"{ratio:.2f}", "≤ 1.00"),
    ]


def _seconds(model: Callable[[Any], Any], given: Any) -> float:
    start = time.perf_counter()
    model(given).numpy()
    return time.perf_counter() - start


def chain(count: int) -> Any:
    """A graph of so many nodes, each of which reads two that came before."""
    import tensorflow as tf

    from hlo_frontend.graphdef.graph import TensorType, typed

    made = tf.compat.v1.GraphDef()
    made.versions.producer = tf.compat.v1.Graph().as_graph_def().versions.producer
    given = made.node.add(name="n0", op="Placeholder")
    given.attr["dtype"].type = tf.float32.as_datatype_enum
    for n in range(1, count):
        op = ("AddV2", "Mul", "Maximum", "Sub", "Minimum")[n % 5]
        node = made.node.add(name=f"n{n}", op=op, input=[f"n{n - 1}", f"n{max(0, n - 7)}"])
        node.attr["T"].type = tf.float32.as_datatype_enum
    return typed(made, ["n0"], [f"n{count - 1}:0"], [TensorType(tf.float32, (8,))])


def segmentation() -> Rows:
    """Cutting graphs of which every hundredth node stays outside, and putting them together."""
    from hlo_frontend.graphdef.assemble import Compiled, assemble
    from hlo_frontend.graphdef.partition import partition

    def seconds(graph: Any) -> float:
        outside = {node.name for node in graph.nodes[50::100]}
        gc.collect()
        gc.disable()  # as timeit does: when it comes depends on what was measured before
        start = time.perf_counter()
        segments = partition(graph, outside)
        assemble(graph, [Compiled(s, b"", (1, 1, 1, 10), False) for s in segments])
        taken = time.perf_counter() - start
        gc.enable()
        return taken

    sizes = (1_000, 2_000, 4_000, 8_000, 16_000)
    graphs = {size: chain(size) for size in sizes}
    times: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(4):
        for size, graph in graphs.items():
            times[size].append(seconds(graph))
    medians = {size: statistics.median(t[1:]) for size, t in times.items()}
    per_node = {size: median / size for size, median in medians.items()}
    rows = [(f"segmentation of {n:,} nodes", f"{s:.2f} s", "") for n, s in medians.items()]
    ratio = per_node[sizes[-1]] / per_node[sizes[0]]
    return [*rows, ("a node of 16,000, against one of 1,000", f"{ratio:.2f} ×", "≤ 1.5 ×")]


FIGURES: dict[str, Callable[[], Rows]] = {f.__name__: f for f in (operator, resnet50, segmentation)}


def main(write: bool, console: Console) -> None:
    """`scripts/bench --tensorflow`: a table; `write` keeps it in docs/tensorflow.md."""
    rows: Rows = []
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    for name in FIGURES:
        with console.status(name):
            command = [sys.executable, "-m", "scripts.bench_tensorflow", name]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=quiet)
        rows += [
            (what, figure, goal) for what, figure, goal in json.loads(done.stdout.splitlines()[-1])
        ]
    table = Table("what", "figure", "goal")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    if write:
        DOCUMENT.write_text(written(DOCUMENT.read_text(), rows))


def written(text: str, rows: Rows) -> str:
    """The document with these figures. Raises ValueError where it has no place for them."""
    lines = ["", "| what | figure | goal |", "|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return replaced(text, BEGIN, "\n".join([*lines, "", ""]), DOCUMENT)


if __name__ == "__main__":
    print(json.dumps(FIGURES[sys.argv[1]]()))
