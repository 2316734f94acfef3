"""NEURON_CC_FLAGS: the flags for tracing, and those that go to the compiler."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.compiler.xla.service import hlo_pb2

import tensorflow_neuron as tfn
from hlo_frontend.graphdef import freeze
from hlo_frontend.hlo.proto import read_module
from hlo_frontend.hlo.proto_shape import read_literal
from hlo_frontend.hlo.schema import MESSAGES
from neff.container import read_neff
from neff.errors import OptionError
from tensorflow_neuron import build
from tensorflow_neuron.flags import FP32_CASTS, Flags, parse_flags
from tests.tfn.judged import WHOLE, assert_equal, nodes_of, normal, operators, traced
from tests.xla_judge import run_hlo

X, W = normal(4, 3), normal(3, 5, seed=1)


def _run(x):
    return tf.nn.relu(x @ W)


def _operator(model):
    (node,) = [n for n in nodes_of(model) if n.op == "NeuronOp"]
    return node


@pytest.fixture
def flags(monkeypatch):
    return lambda text: monkeypatch.setenv("NEURON_CC_FLAGS", text)


def test_workdir(flags, tmp_path):
    flags(f"--workdir '{tmp_path / 'made here'}' --optlevel=1")
    model = traced(_run, X)
    folder = tmp_path / "made here"
    name = _operator(model).name
    assert {p.name for p in folder.iterdir()} == {
        *("graph_def_shaped.pb", "graph_def_fused.pb", "graph_def_fused_optimized.pb", name)
    }
    assert {p.name for p in (folder / name).iterdir()} == {
        *("hlo_module.pb", "hlo_module.neff", "hlo_snapshot_opt.pb"),
        *("neuron_cc_xla_command.log", "neuron_cc_xla.stderr.log"),
    }
    neff = (folder / name / "hlo_module.neff").read_bytes()
    assert neff == _operator(model).attr["executable"].s
    module = read_module((folder / name / "hlo_module.pb").read_bytes())
    assert any(i.opcode == "dot" for i in module.entry.instructions)
    assert "--optlevel=1" in (folder / name / "neuron_cc_xla_command.log").read_text()
    fused = tf.compat.v1.GraphDef.FromString((folder / "graph_def_fused.pb").read_bytes())
    assert {n.op for n in fused.node} == WHOLE


def _snapshot(folder, model):
    data = (folder / _operator(model).name / "hlo_snapshot_opt.pb").read_bytes()
    return hlo_pb2.HloSnapshot.FromString(data)


def _array(literal):
    proto = MESSAGES["LiteralProto"].FromString(literal.SerializeToString())
    return read_literal(proto).numpy()


@pytest.mark.parametrize("flag", ["", "--extract-weights"])
def test_a_snapshot_holds_what_goes_through_a_segment(flags, tmp_path, flag):
    flags(f"--workdir {tmp_path} {flag}")
    weight = tf.Variable(normal(3, 50, seed=3))
    model = traced(tf.function(lambda x: (tf.nn.relu(x @ weight), x + 1)), X)
    made = _snapshot(tmp_path, model)
    module = read_module(made.hlo.hlo_module.SerializeToString())
    arguments = [_array(a) for a in made.arguments]
    assert len(arguments) == len(module.entry.parameters) == 2
    results = run_hlo(made.hlo.hlo_module.SerializeToString(), arguments)
    kept = [_array(r) for r in made.result.tuple_literals]
    for one, other in zip(results, kept, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    assert any(np.array_equal(k, X + 1) for k in kept)


def test_a_snapshot_of_types_alone_has_no_values(flags, tmp_path):
    flags(f"--workdir {tmp_path}")
    made = _snapshot(tmp_path, tfn.trace(_run, tf.TensorSpec([4, 3])))
    assert not made.arguments
    assert made.hlo.hlo_module.computations


def test_a_workdir_that_cannot_be_made(flags, tmp_path):
    (tmp_path / "file").touch()
    flags(f"--workdir {tmp_path / 'file' / 'folder'}")
    with pytest.raises(OSError, match="file"):
        tfn.trace(_run, X)


@pytest.mark.parametrize("batch", [1, 3, 4, 5, 9])
def test_dynamic_batch_size(flags, batch):
    flags("--dynamic-batch-size")
    model = tfn.trace(_run, X)
    given = normal(batch, 3, seed=batch)
    assert_equal(_run(given), model(given))
    assert model.aws_neuron_function.outputs[0].shape.as_list() == [None, 5]


def test_dynamic_batch_size_of_what_has_inputs_without_a_batch(flags):
    flags("--dynamic-batch-size")

    def run(x, y):
        return x @ y

    model = tfn.trace(run, (X, normal(3, 3, seed=1)))
    x, y = normal(7, 3, seed=2), normal(3, 3, seed=3)
    assert_equal(run(x, y), model(x, y))  # `y` has its compiled shape: it goes whole to each part


def test_dynamic_batch_size_keeps_the_other_dimensions(flags):
    flags("--dynamic-batch-size")
    model = tfn.trace(lambda a, b: a + b, (X, X))
    with pytest.raises(tf.errors.InvalidArgumentError, match="dimension 0 alone may differ"):
        model(normal(4, 2), normal(4, 2))
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="Inconsistent client batch sizes: 5 and 6"
    ):
        model(normal(5, 3), normal(6, 3))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: (x * 2, tf.reduce_sum(x)), r"Output #1 has no batch in dimension 0, .* \[\]"),
        (lambda x: tf.reduce_sum(x, 0), r"Inconsistent NEFF batch sizes: \[3, 4\]"),
        (lambda x: tf.reshape(x, [-1]), r"Inconsistent NEFF batch sizes: \[4, 12\]"),
    ],
)
def test_dynamic_batch_size_of_outputs_without_the_batch(flags, function, message):
    flags("--dynamic-batch-size")
    x = normal(4, 3)
    model = traced(function, x)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        model(normal(9, 3))


def test_dynamic_batch_size_of_inputs_with_two_batches(flags):
    flags("--dynamic-batch-size")
    model = traced(lambda x, y: (x * 2, y * 2), (normal(4, 3), normal(8, 3)))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"NEFF batch sizes: \[4, 8\]"):
        model(normal(9, 3), normal(9, 3))


def test_dynamic_batch_size_is_saved(flags, tmp_path):
    flags("--dynamic-batch-size")
    tfn.trace(_run, X).save(tmp_path / "model")
    given = normal(6, 3, seed=6)
    assert_equal(_run(given), tf.keras.models.load_model(tmp_path / "model")(given))


def _encoder():
    given = tf.keras.Input((6,), dtype="int32", batch_size=2)
    hidden = tf.keras.layers.Embedding(9, 4)(given)
    hidden = tf.keras.layers.MultiHeadAttention(2, 3)(hidden, hidden)
    return tf.keras.Model(given, tf.keras.layers.Dense(3)(hidden))


@pytest.mark.parametrize(
    ("flag", "target"), [("--extract-weights", "inf2"), ("--extract-weights trn1.2xlarge", "trn1")]
)
def test_extract_weights(flags, tmp_path, flag, target):
    flags(flag)
    original = _encoder()
    words = tf.constant(np.random.default_rng(0).integers(0, 9, (2, 6)), tf.int32)
    model = traced(original, words)
    assert operators(model) == ["NeuronOp", *["ReadVariableOp"] * len(original.weights)]
    assert len(model._ordered_weights) == len(original.weights)
    neff = read_neff(_operator(model).attr["executable"].s)
    assert sum(w.shape.bytes for w in neff.program.weights.values()) < 64
    assert neff.program.target == target
    assert model.on_neuron_ratio == 1
    model.save(tmp_path / "model")
    assert_equal(original(words), tf.keras.models.load_model(tmp_path / "model")(words))


def test_a_model_beyond_what_a_protocol_buffer_holds(flags, tmp_path, monkeypatch):
    """With a limit that is small enough to be reached here."""
    monkeypatch.setattr(freeze, "LIMIT", 4000)
    model = tf.keras.Sequential([tf.keras.Input((3,)), tf.keras.layers.Dense(4000)])
    flags(f"--workdir {tmp_path / 'work'}")
    with pytest.raises(
        freeze.TooLargeError,
        match=r"weights must be smaller than 2 GB, got 64000 bytes .*\n  try: .*--extract-weights",
    ):
        tfn.trace(model, X)
    assert not (tmp_path / "work").exists()
    flags("--extract-weights inf2.xlarge")
    traced(model, X).save(tmp_path / "model")
    assert (tmp_path / "model" / "saved_model.pb").stat().st_size < 40_000  # without the weights
    assert_equal(model(X), tf.keras.models.load_model(tmp_path / "model")(X))


def test_a_compiled_model_beyond_what_a_protocol_buffer_holds(monkeypatch):
    weight = normal(3, 400)
    monkeypatch.setattr(freeze, "LIMIT", 4000)
    with pytest.raises(freeze.TooLargeError, match="the compiled model must be smaller than 2 GB"):
        tfn.trace(lambda x: x @ weight, X)


@pytest.mark.parametrize("most", [4000, 1 << 32])
def test_extracted_weights_have_a_limit(flags, monkeypatch, most):
    monkeypatch.setattr(build, "MOST_EXTRACTED", most)
    flags("--extract-weights")
    model = tf.keras.Sequential([tf.keras.Input((3,)), tf.keras.layers.Dense(400)])
    if most > 6400:
        traced(model, X)
        return
    with pytest.raises(ValueError, match="total model size including weights is 6400 bytes"):
        tfn.trace(model, X)


def test_extract_weights_does_not_combine():
    for other in ("--dynamic-batch-size", "--neuroncore-pipeline-cores=2"):
        with pytest.raises(OptionError, match="does not work in combination with"):
            parse_flags(f"--extract-weights {other}")


def test_pipeline_cores(flags):
    flags("--neuroncore-pipeline-cores=2")
    model = traced(_run, X)
    assert list(_operator(model).attr["model_config"].list.i)[:2] == [2, 2]
    flags("--neuroncore-pipeline-cores 64")
    too_many = tfn.trace(_run, X)
    with pytest.raises(tf.errors.ResourceExhaustedError, match="enough NeuronCores"):
        too_many(X)


def test_fp32_cast(flags):
    flags("--fp32-cast=all")
    rough = tfn.trace(_run, X)
    difference = np.abs(rough(X) - _run(X)).max()
    assert 1e-4 < difference < 0.1  # bfloat16


def test_the_compilers_flags(flags):
    flags("--auto-cast=all --auto-cast-type bf16 --verbose=error")
    assert np.abs(tfn.trace(_run, X)(X) - _run(X)).max() > 1e-4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("--nonsense", "unknown compiler option '--nonsense'"),
        ("--workdir", "--workdir needs a value"),
        ("--extract-weights=t2.micro", "must be one of inf1.xlarge, .* got 't2.micro'"),
        ("--neuroncore-pipeline-cores=none", "number of NeuronCores from 1 to"),
        ("--fp32-cast=some", "must be one of all, all-fp16, .* got 'some'"),
        ("--dynamic-batch-size=4", "unknown compiler option '--dynamic-batch-size"),
        ("--workdir 'a", "quotes must be in pairs"),
    ],
)
def test_flags_that_nobody_knows(text, message):
    with pytest.raises(OptionError, match=message):
        parse_flags(text)


def test_flags():
    assert parse_flags("") == Flags()
    assert parse_flags("--extract-weights").extract_weights
    assert parse_flags("--extract-weights -O1").options.optlevel == "1"
    assert parse_flags("--fp32-cast matmult").options.auto_cast == "matmult"
    assert parse_flags("--dynamic-batch-size -O1").options.optlevel == "1"


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("--extract-weights", "inf2"),
        ("--extract-weights --target trn1", "trn1"),
        ("--extract-weights inf1.2xlarge", "inf1"),
        ("--extract-weights=trn1.32xlarge -O1", "trn1"),
        ("--target=inf2 --extract-weights inf2.8xlarge", "inf2"),
    ],
)
def test_an_instance_type_is_a_target(text, target):
    flags = parse_flags(text)
    assert flags.extract_weights
    assert flags.options.target == target


def test_an_instance_type_beside_another_target():
    with pytest.raises(OptionError, match="for trn1 and --target=inf2 must name one kind"):
        parse_flags("--extract-weights trn1.2xlarge --target inf2")


@pytest.mark.parametrize("name", sorted(FP32_CASTS))
@pytest.mark.parametrize("flag", ["--fp32-cast {}", "--fp32-cast={}"])
def test_casts(name, flag):
    where, _, kind = name.partition("-")
    options = parse_flags(flag.format(name)).options
    assert (options.auto_cast, options.auto_cast_type) == (where, kind or "bf16")


def test_a_flag_that_nobody_knows_ends_the_trace(flags):
    flags("--nonsense")
    with pytest.raises(OptionError, match="nonsense"):
        tfn.trace(_run, X)
