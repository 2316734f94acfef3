"""What else tensorflow.neuron offers: analysis, several cores, SavedModels compiled whole."""

import pytest
import tensorflow as tf

import tensorflow_neuron as tfn
from tensorflow_neuron import multicore
from tests.tfn.judged import assert_equal, nodes_of, normal, operators

X = normal(2, 3)
W = normal(3, 3, seed=1)


def _run(x):
    return {"out": tf.nn.relu(x @ W)}


def test_analyze_model(capsys):
    found = tfn.analyze_model(lambda x: tf.strings.length(tf.strings.as_string(x @ W)), X)
    assert found == {
        "percent_supported": 100 / 3,
        "supported_count": 1,
        "total_count": 3,
        "supported_operators": {"MatMul"},
        "unsupported_operators": ["AsString", "StringLength"],
        "operators": ["AsString", "MatMul", "StringLength"],
        "operator_count": {"MatMul": 1, "AsString": 1, "StringLength": 1},
    }
    assert "33.33% of all operations (1 of 3) are supported" in capsys.readouterr().out


def test_analysis_says_what_a_trace_then_does():
    assert tfn.analyze_model(_run, X)["percent_supported"] == 100
    assert tfn.trace(_run, X).on_neuron_ratio == 1


def test_auto_multicore(tmp_path):
    made = tfn.trace(_run, X)
    several = tfn.auto_multicore(made, X, num_cores=2)
    (node,) = [n for n in nodes_of(several) if n.op == "NeuronOp"]
    assert node.attr["_automatic_multicore"].i == 2
    for _ in range(3):
        assert_equal(_run(X), several(X))
    assert several.on_neuron_ratio == made.on_neuron_ratio
    several.save(tmp_path / "several")
    assert_equal(_run(X), tf.keras.models.load_model(tmp_path / "several")(X))


def test_auto_multicore_needs_a_traced_model():
    with pytest.raises(ValueError, match="Invalid model is not AwsNeuronModel"):
        tfn.auto_multicore(tf.keras.Sequential(), X, 2)


@pytest.mark.parametrize(
    ("cores", "kind", "message"),
    [
        (0, tf.errors.InvalidArgumentError, "auto multicore replication, 0, is below 1"),
        (99, tf.errors.ResourceExhaustedError, "allocate enough NeuronCores .* got 99"),
    ],
)
def test_cores_that_are_not_there(cores, kind, message):
    several = tfn.auto_multicore(tfn.trace(_run, X), X, num_cores=cores)
    with pytest.raises(kind, match=message):
        several(X)


def test_the_command_for_several_cores(tmp_path, capsys):
    tfn.trace(_run, X).save(tmp_path / "one")
    words = [str(tmp_path / "one"), "--num_cores", "2", "--new_model_dir", str(tmp_path / "two")]
    assert multicore.main(words) == 0
    loaded = tf.keras.models.load_model(tmp_path / "two")
    (node,) = [n for n in nodes_of(loaded) if n.op == "NeuronOp"]
    assert node.attr["_automatic_multicore"].i == 2
    assert_equal(_run(X), loaded(X))
    with pytest.raises(SystemExit):
        multicore.main([*words[:2], "0", *words[3:]])
    assert "--num_cores must be at least 1, got 0" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--extract-weights", "--dynamic-batch-size"])
def test_several_cores_with_flags(flag, tmp_path, monkeypatch):
    monkeypatch.setenv("NEURON_CC_FLAGS", flag)
    model = tf.keras.Sequential([tf.keras.Input((3,)), tf.keras.layers.Dense(4)])
    made = tfn.auto_multicore(tfn.trace(model, X), X, num_cores=2)
    assert_equal(model(X), made(X))
    made.save(tmp_path / "one")
    words = [str(tmp_path / "one"), "--num_cores", "1", "--new_model_dir", str(tmp_path / "two")]
    assert multicore.main(words) == 0
    given = normal(5, 3) if flag == "--dynamic-batch-size" else X
    assert_equal(model(given), tf.keras.models.load_model(tmp_path / "two")(given))


def _saved(folder, **signatures):
    module = tf.Module()
    module.run = tf.function(_run)
    made = {n: module.run.get_concrete_function(s) for n, s in signatures.items()}
    tf.saved_model.save(module, folder, signatures=made)
    return folder


ANY = tf.TensorSpec([None, 3], name="x")


def test_saved_model_compile(tmp_path, caplog):
    old, new = _saved(tmp_path / "old", serving_default=ANY), tmp_path / "new"
    assert tfn.saved_model.compile(old, new, model_feed_dict={"x": X}) == {"OnNeuronRatio": 1.0}
    assert "tensorflow.neuron.trace is preferred" in caplog.text
    loaded = tf.saved_model.load(new)
    assert_equal(_run(X), dict(loaded.signatures["serving_default"](x=X)))
    assert operators(loaded) == ["NeuronOp"]


def test_saved_model_compile_without_examples(tmp_path):
    old, new = _saved(tmp_path / "old", mine=ANY), tmp_path / "new"
    tfn.saved_model.compile(old, new)
    assert tf.saved_model.load(new).aws_neuron_function.inputs[0].shape == [1, 3]


def test_saved_model_compile_of_what_it_cannot_choose(tmp_path):
    old = _saved(tmp_path / "old", one=ANY, two=ANY)
    with pytest.raises(NotImplementedError, match=r"one signature, .* got \['one', 'two'\]"):
        tfn.saved_model.compile(old, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_saved_model_compile_needs_the_inputs(tmp_path):
    old = _saved(tmp_path / "old", one=ANY)
    with pytest.raises(ValueError, match=r"model_feed_dict must have \['x'\], got \['y'\]"):
        tfn.saved_model.compile(old, tmp_path / "new", model_feed_dict={"y": X})
    unknown = _saved(tmp_path / "unknown", one=tf.TensorSpec([None, None], name="x"))
    with pytest.raises(ValueError, match="input 'x' must have known dimensions"):
        tfn.saved_model.compile(unknown, tmp_path / "new")
