"""Branches and loops: what is compiled as such, and what no segment may have part of."""

import pytest
import tensorflow as tf

import tensorflow_neuron as tfn
from hlo_frontend.graphdef.graph import TensorType, typed
from hlo_frontend.graphdef.partition import partition
from tests.tfn.judged import assert_equal, normal, operators, traced
from tests.tfn.process import run

X = normal(3, 3)
WEIGHT = tf.Variable(normal(3, 3, seed=1))


def _cases(index, x):
    return tf.switch_case(index, [lambda: x, lambda: x * 2, lambda: x @ WEIGHT])


@pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids=["callable", "function"])
def test_a_choice_among_several(wrap):
    made = traced(wrap(_cases), (tf.constant(1), X))
    assert operators(made) == ["NeuronOp"]
    for index in (0, 2, 7, -1):
        assert_equal(_cases(tf.constant(index), X), made(tf.constant(index), X))


def _broken_off(x):
    total = tf.zeros([3])
    for row in tf.range(3):
        for scale in tf.range(3):
            if tf.reduce_sum(total) > 2.0:
                break
            total += tf.abs(x[row]) * tf.cast(scale, tf.float32)
        if row == 1:
            continue
        total *= 1.5
    return total


def test_loops_that_are_left_early():
    assert operators(traced(_broken_off, X)) == ["NeuronOp"]


def test_what_a_loop_does_is_why_it_stays(caplog):
    def run(x):
        def step(n, a):
            return n + 1, a * tf.random.uniform([])

        return tf.while_loop(lambda n, _: n < 3, step, [0, x])

    assert operators(tfn.trace(run, X)) == ["While"]
    assert "left to TensorFlow: While\n  calls RandomUniform: draws random numbers" in caplog.text


def _branches(graph):
    """A condition of TensorFlow 1, as a graph."""
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [3, 3], name="x")
        no, yes = tf.raw_ops.Switch(data=x, pred=tf.reduce_sum(x) > 0)
        either, _ = tf.raw_ops.Merge(inputs=[tf.nn.relu(no @ no), yes @ yes])
        return tf.identity(either @ either, name="y")


def test_no_segment_has_nodes_of_two_branches():
    graph = tf.Graph()
    _branches(graph)
    kind = TensorType(tf.float32, (3, 3))
    found = partition(typed(graph.as_graph_def(), ["x:0"], ["y:0"], [kind]), set())
    assert [sorted(n.op for n in s.nodes if n.op != "Identity") for s in found] == [["MatMul"]]
    assert all(t in ("y:0", "MatMul_2:0") for s in found for t in s.outputs)


OLD = """
import sys, tensorflow as tf
v1 = tf.compat.v1
v1.disable_eager_execution(), v1.disable_control_flow_v2()
(v1.enable_resource_variables if sys.argv[2] == "resources" else v1.disable_resource_variables)()
with tf.Graph().as_default(), v1.Session() as session:
    x = v1.placeholder(tf.float32, [3, 3])
    w = v1.get_variable("w", [3, 3], initializer=v1.random_normal_initializer(seed=1))
    y = v1.cond(tf.reduce_sum(x) > 0, lambda: x @ w, lambda: tf.nn.relu(-x) @ w) @ w
    session.run(v1.global_variables_initializer())
    v1.saved_model.simple_save(session, sys.argv[1], {"x": x}, {"y": y})
"""


def test_a_model_of_tensorflow_1_with_branches(tmp_path):
    run(OLD, tmp_path / "old", "resources")
    ratio = tfn.saved_model.compile(tmp_path / "old", tmp_path / "new")["OnNeuronRatio"]
    assert 0 < ratio < 1
    old, new = (
        tf.saved_model.load(str(tmp_path / name)).signatures["serving_default"]
        for name in ("old", "new")
    )
    for x in (tf.abs(X), -tf.abs(X)):
        assert_equal(old(x=x)["y"], new(x=x)["y"])


def test_a_model_of_tensorflow_1_with_reference_variables(tmp_path):
    run(OLD, tmp_path / "old", "references")
    with pytest.raises(TypeError, match=r"must be resources, got reference variables .*: w"):
        tfn.saved_model.compile(tmp_path / "old", tmp_path / "new")
    assert not (tmp_path / "new").exists()
