"""The operator NeuronOp: its attributes, its errors, and TensorFlow's plugins."""

import subprocess
import sys

import pytest
import tensorflow as tf
from tensorflow.python.eager import wrap_function
from tensorflow.python.framework import op_def_registry

import tensorflow_neuron as tfn
from hlo_frontend.graphdef.support import ALLOWLIST, _kernels, is_stateful
from tensorflow_neuron import plugin
from tests.tfn.judged import nodes_of, normal

X, W = normal(2, 3), normal(3, 4, seed=1)


def _run(x):
    return tf.nn.relu(x @ W)


def test_the_published_schema():
    known = op_def_registry.get("NeuronOp")
    assert {a.name: a.type for a in known.attr} == {
        "graph_def": "string",
        "input_names": "list(string)",
        "input_dtypes": "list(type)",
        "input_shapes": "list(shape)",
        "output_names": "list(string)",
        "output_dtypes": "list(type)",
        "output_shapes": "list(shape)",
        "executable": "string",
        "input_batch_axis": "list(int)",
        "output_batch_axis": "list(int)",
        "model_config": "list(int)",
    }
    assert known.is_stateful
    assert [known.input_arg[0].name, known.output_arg[0].name] == [
        "input_tensors",
        "output_tensors",
    ]


def test_what_a_node_holds():
    (node,) = [n for n in nodes_of(tfn.trace(_run, X)) if n.op == "NeuronOp"]
    assert list(node.attr["input_names"].list.s) == [b"input0"]
    assert list(node.attr["model_config"].list.i) == [1, 1, 64, 10]
    inner = tf.compat.v1.GraphDef.FromString(node.attr["graph_def"].s)
    assert {n.op for n in inner.node} >= {"Placeholder", "MatMul", "Relu"}


def test_large_constants_are_only_in_the_neff():
    weight = normal(100, 100)
    (node,) = [
        n
        for n in nodes_of(tfn.trace(lambda x: x @ weight, normal(2, 100)))
        if n.attr["graph_def"].s
    ]
    assert len(node.attr["graph_def"].s) < 5000


def _changed(change):
    """A traced function whose NeuronOp was changed."""
    function = tfn.trace(_run, X).aws_neuron_function
    graph_def = function.graph.as_graph_def()
    for node in graph_def.node:
        if node.op == "NeuronOp":
            change(node.attr)
    names = [[t.name for t in tensors] for tensors in (function.inputs, function.outputs)]
    return wrap_function.function_from_graph_def(graph_def, *names)


def _set(name, value):
    def change(attr):
        if isinstance(value, bytes):
            attr[name].s = value
        else:
            attr[name].list.i[:] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda attr: attr["input_names"].list.s.append(b"more"), "Invalid size found in attr"),
        (_set("model_config", [1]), "Invalid model_config found on NodeDef"),
        (_set("model_config", [1, 1, 5000, 10]), "Invalid model_config found on NodeDef"),
        (_set("executable", b""), "must hold a NEFF, got nothing"),
        (_set("executable", b"no neff"), "nrt_load status=2"),
        (_set("executable", bytes(2000)), "nrt_load status=(2|10)"),
    ],
)
def test_attributes_that_are_wrong(change, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        _changed(change)(X)


def test_the_allowlist_can_be_compiled():
    assert len(ALLOWLIST) == 75
    assert [op for op in ALLOWLIST if is_stateful(op) or not _kernels(op)] == []


def test_a_plugin_of_tensorflow(tmp_path, monkeypatch):
    monkeypatch.setattr(plugin, "plugin_path", lambda: tmp_path / "tensorflow-plugins" / "a.so")
    path = plugin.install()
    program = (
        f"import sys; sys.path[:0] = {[p for p in sys.path if 'site-packages' in p]}\n"
        "from tensorflow.python.framework import load_library, op_def_registry\n"
        "assert op_def_registry.get('NeuronOp') is None\n"
        f"load_library.load_library({str(path.parent)!r})\n"  # what TensorFlow does with plugins
        f"load_library.load_pluggable_device_library({str(path.parent)!r})\n"
        "assert op_def_registry.get('NeuronOp') is not None\n"
        "print('registered')"
    )
    done = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True)
    assert done.stdout == "registered\n", done.stderr
    assert plugin.remove() == path
    assert not path.exists()


def test_the_plugins_command(capsys):
    assert plugin.main(["path"]) == 0
    assert capsys.readouterr().out.endswith("libaws_neuron_plugin.so\n")
    assert plugin.main([]) == 2
