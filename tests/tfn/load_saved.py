"""Loads what a survey saved, and compares: run as a program that imports TensorFlow alone.

What it says of each case, nothing where all is well, goes to `FOLDER/loaded.json`.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

FAILURES = (
    *(AssertionError, AttributeError, KeyError, OSError, RuntimeError, TypeError, ValueError),
    tf.errors.OpError,
)
FOLDER = Path(sys.argv[1])
CASES = json.loads((FOLDER / "found.json").read_text())["cases"]
SAVED = [name for name, seen in CASES.items() if seen["error"] is None]


def kept(name):
    """The tensors that went in and came out."""
    with np.load(FOLDER / f"{name}.npz") as arrays:
        roles = {role: [k for k in arrays if k.startswith(role)] for role in ("given", "wanted")}
        return [[arrays[f"{r}{n}"] for n in range(len(keys))] for r, keys in roles.items()]


def judge(function, name):
    given, wanted = kept(name)
    outputs = tf.nest.flatten(function(*map(tf.constant, given)))
    for one, other in zip(wanted, outputs, strict=True):
        one, other = one.astype(np.float64), other.numpy().astype(np.float64)
        assert one.shape == other.shape, (one.shape, other.shape)
        assert np.max(np.abs(one - other), initial=0) <= 1e-3 * np.max(np.abs(one), initial=0)


def of_keras(name):
    """What `model.save` wrote."""
    model = tf.keras.models.load_model(FOLDER / "model.save" / name)
    assert isinstance(model, tf.keras.Model), type(model)
    kinds = {node.op for node in model.aws_neuron_function.graph.as_graph_def().node}
    assert ("NeuronOp" in kinds) == (CASES[name]["place"] in ("neuron", "both")), kinds
    by_position = CASES[name]["by_position"]

    def run(*given):
        return model(*given) if by_position or len(given) == 1 else model(list(given))

    judge(run, name)


def of_tensorflow(name):
    """What `tf.saved_model.save` wrote of a model."""
    loaded = tf.saved_model.load(str(FOLDER / "saved_model.save" / name))
    judge(loaded.aws_neuron_function, name)
    serve = loaded.signatures["serving_default"]
    names = list(serve.structured_input_signature[1])
    given, _ = kept(name)
    assert len(names) == len(given)
    serve(**dict(zip(sorted(names), map(tf.constant, given), strict=True)))


def of_functions(name):
    judge(FUNCTIONS[SAVED.index(name)], name)


FUNCTIONS = tf.saved_model.load(str(FOLDER / "functions")).functions
found = {name: [] for name in SAVED}
for load in (of_keras, of_functions, of_tensorflow):
    for name in SAVED:
        if load is of_tensorflow and not (FOLDER / "saved_model.save" / name).exists():
            continue
        try:
            load(name)
        except FAILURES as error:  # of this case alone: the test of the case shows it
            found[name].append(f"{load.__name__}: {type(error).__name__}: {error}")
assert "hlo_frontend.graphdef" not in sys.modules  # nothing was compiled
(FOLDER / "loaded.json").write_text(json.dumps(found))
