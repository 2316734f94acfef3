"""Traces every layer and model of the tables, compares, saves: a program for either Keras.

    python -m tests.tfn.survey FOLDER

What it finds is in `FOLDER/found.json`; the models are in folders beside it, by what saved them
and by case; `functions` is one SavedModel with the function of every model.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

import tensorflow_neuron as tfn
from tests.tfn.judged import WHOLE, assert_equal, call, nodes_of, operators
from tests.tfn.layers import ALIASES, LAYERS, Ints, Pixels, Words, cases, has, layer_class
from tests.tfn.models import document, models

KERAS = "3" if tf.keras.Model.__module__.startswith("keras.") else "legacy"
FAILURES = (
    *(AssertionError, AttributeError, KeyError, OSError, RuntimeError, TypeError, ValueError),
    tf.errors.OpError,
)
MOST_TWICE = 1 << 20  # bytes of a model's graph: larger ones are saved in one way


def input_of(spec: Any) -> tf.Tensor:
    """The tensor that an entry of the table asks for."""
    rng = np.random.default_rng(0)
    if isinstance(spec, Words):
        return tf.constant(spec.rows)
    if isinstance(spec, Ints):
        return tf.constant(rng.integers(0, spec.below, spec.shape), tf.int32)
    if isinstance(spec, Pixels):
        return tf.constant(rng.uniform(0, 255, spec.shape), tf.float32)
    return tf.constant(rng.standard_normal(spec), tf.float32)


def layer_model(name: str, arguments: dict[str, Any]) -> tuple[Any, Any]:
    """A model of one layer, and what it is called with."""
    entry, layers = LAYERS[name], tf.keras.layers
    own = getattr(layers, layer_class(name))
    layer = own(**arguments) if entry.make is None else entry.make(layers)
    tensors = [input_of(spec) for spec in entry.inputs]
    if entry.call:
        return (lambda *given: layer(*given, **entry.call)), tuple(tensors)
    given = [tf.keras.Input(t.shape[1:], batch_size=t.shape[0], dtype=t.dtype) for t in tensors]
    made = layer(entry.pack(given)) if entry.pack else layer(*given)
    model = tf.keras.Model(given, made)
    rng = np.random.default_rng(1)
    if entry.place(KERAS) != "refused":  # which may hold words
        model.set_weights(
            [
                np.abs(rng.standard_normal(w.shape)) + 0.1 if w.dtype.kind == "f" else w
                for w in model.get_weights()
            ]
        )
    return model, tensors if len(tensors) > 1 else tensors[0]


def place(model: Any) -> str:
    """Where a traced model runs, in the words of the table."""
    kinds = {node.op for node in nodes_of(model)}
    if kinds == WHOLE:
        return "neuron"
    if "NeuronOp" in kinds:
        return "both"
    return "nothing" if kinds <= {"Placeholder", "Identity", "IdentityN"} else "cpu"


class _Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@dataclass(frozen=True)
class Traced:
    """A function, its traced model, and what both are called with."""

    function: Any
    model: Any
    inputs: Any


def traced(function: Any, inputs: Any) -> Traced:
    return Traced(function, tfn.trace(function, inputs), inputs)


def example(program: str) -> Traced:
    """What a program of the document traces, where it may write."""
    if KERAS == "3":  # which knows a shape only as a tuple
        program = program.replace("Input(3)", "Input([3])")
    names: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        exec(program, names)
    made = Traced(names["model"], names["model_neuron"], names["example_inputs"])
    again = names.get("model_neuron_reloaded", made.model)
    assert isinstance(again, tf.keras.Model)
    assert_equal(made.model(made.inputs), again(made.inputs))
    return made


def examine(
    make: Callable[[], Traced], folder: Path, name: str, functions: list[Any]
) -> dict[str, Any]:
    """Trace, compare, save; what was seen, with the error if there was one."""
    lines = _Lines()
    logging.getLogger("Neuron").addHandler(lines)
    seen: dict[str, Any] = {"log": lines.lines, "error": None}
    try:
        made = make()
        model, inputs = made.model, made.inputs
        wanted = call(made.function, inputs)
        seen |= {"place": place(model), "ratio": model.on_neuron_ratio}
        seen["by_position"] = isinstance(inputs, tuple)
        seen["operators"] = operators(model)
        assert_equal(wanted, call(model, inputs))
        model.save(folder / "model.save" / name)
        if (
            name not in cases(KERAS)
            and model.aws_neuron_function.graph.as_graph_def().ByteSize() < MOST_TWICE
        ):
            tf.saved_model.save(model, str(folder / "saved_model.save" / name))
        functions.append(model.aws_neuron_function)
        arrays = {
            f"{role}{n}": np.asarray(t).astype("S") if t.dtype == tf.string else t.numpy()
            for role, tensors in (("given", inputs), ("wanted", wanted))
            for n, t in enumerate(tf.nest.flatten(tensors))
        }
        np.savez(folder / f"{name}.npz", **arrays)
    except FAILURES as error:  # of this case alone: the test of the case shows it
        seen["error"] = f"{type(error).__name__}: {error}"
    finally:
        logging.getLogger("Neuron").removeHandler(lines)
    return seen


def main(folder: Path) -> None:
    layers, module = tf.keras.layers, tf.Module()
    module.functions = []
    found: dict[str, Any] = {"keras": KERAS, "cases": {}}
    found["classes"] = [name for name in dir(layers) if name[0].isupper()]
    found["aliases"] = [
        one
        for one, name in ALIASES.items()
        if has(KERAS, name) and getattr(layers, one) is getattr(layers, name)
    ]
    makers: dict[str, Callable[[], Traced]] = {
        **{name: lambda e=entry: traced(*layer_model(*e)) for name, entry in cases(KERAS).items()},
        **{name: lambda m=model: traced(*m.make()) for name, model in models(KERAS).items()},
        **{name: lambda p=program: example(p) for name, program in document().items()},
    }
    for name, make in makers.items():
        found["cases"][name] = examine(make, folder, name, module.functions)
    tf.saved_model.save(module, str(folder / "functions"))
    (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
