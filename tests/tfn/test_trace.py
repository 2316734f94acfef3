"""What may be traced, how it is called, what comes back."""

import threading

import numpy as np
import pytest
import tensorflow as tf

import tensorflow_neuron as tfn
from tests.tfn.judged import WHOLE, assert_equal, nodes_of, normal, operators, traced
from tests.tfn.models import loop

K = tf.keras
L = tf.keras.layers


def _dense_model():
    given = L.Input((3,))
    return K.Model(inputs=[given], outputs=[L.Dense(3)(given)])


def test_a_model_that_is_all_on_neuron():
    made = traced(_dense_model(), tf.random.uniform([1, 3]))
    assert isinstance(made, K.Model)
    assert made.on_neuron_ratio == 1.0
    assert {node.op for node in nodes_of(made)} == WHOLE
    assert made.trainable_variables == made.variables == []


def _multiply(x, y):
    return tf.nn.relu(x @ y)


X, Y = normal(3, 3), normal(3, 3, seed=1)
CALLABLES = {
    "a callable": _multiply,
    "a tf.function": tf.function(_multiply),
    "a concrete function": tf.function(_multiply).get_concrete_function(X, Y),
    "a method": type("Owner", (), {"run": lambda self, x, y: x @ y})().run,
    "a lambda": lambda x, y: x - y,
}


@pytest.mark.parametrize("kind", CALLABLES)
def test_what_may_be_traced(kind):
    made = traced(CALLABLES[kind], (X, Y))
    assert operators(made) == ["NeuronOp"]
    assert_equal(made([X, Y]), made(X, Y))  # the inputs may nest in another way


def _nested(x, y):
    return {"sum": x + y, "more": [x - y, (x @ y, tf.nn.relu(x))]}


def test_inputs_and_outputs_nest():
    made = traced(_nested, (X, Y))
    assert type(made(X, Y)["more"][1]) is tuple
    traced(lambda pair: pair[0] - pair[1], [X, Y])
    traced(lambda x: (x @ x, [x]), (X,))
    traced(lambda given: given["p"] - given["q"][0], {"q": [Y], "p": X})


def test_a_dict_is_given_by_keyword():
    made = tfn.trace(lambda b, a: a - 2 * b, {"a": X, "b": Y})
    assert_equal(X - 2 * Y, made({"b": Y, "a": X}))
    assert_equal(X - 2 * Y, made.signature()(a=X, b=Y)["output_1"])


def test_a_dict_that_a_function_takes_whole():
    made = tfn.trace(lambda features: features["a"] - 2 * features["b"], {"a": X, "b": Y})
    assert_equal(X - 2 * Y, made({"b": Y, "a": X}))


def test_a_model_with_named_inputs():
    named = {name: L.Input((3,), name=name) for name in ("left", "right")}
    made = L.Subtract()([named["left"], named["right"]])
    traced(K.Model(named, made), {"left": X, "right": Y})


@pytest.mark.parametrize("whole", [False, True])
def test_a_dict_for_a_concrete_function(whole):
    spec = tf.TensorSpec([3, 3])
    if whole:
        given = {"a": spec, "b": spec}
        function = tf.function(lambda d: d["a"] - 2 * d["b"]).get_concrete_function(given)
    else:
        function = tf.function(lambda b, a: a - 2 * b).get_concrete_function(spec, spec)
    made = tfn.trace(function, {"a": X, "b": Y})
    assert_equal(X - 2 * Y, made({"b": Y, "a": X}))


def test_a_traced_model_within_a_function():
    inner = tfn.trace(_multiply, (X, Y))
    assert tfn.trace(inner, (X, Y)).on_neuron_ratio == 1.0
    made = traced(lambda x: inner(x, Y) @ x, X)
    assert (operators(made), made.on_neuron_ratio) == (["NeuronOp", "NeuronOp"], 1.0)


def test_arrays_are_tensors():
    made = tfn.trace(_multiply, (X.numpy(), Y.numpy()))
    assert_equal(_multiply(X, Y), made(X.numpy(), Y.numpy()))


def _on_cpu(x):
    """Twice `x`, by an operator that no compiler has."""
    made = tf.numpy_function(lambda value: value * 2, [x], tf.float32)
    made.set_shape(x.shape)
    return made


def test_an_operator_in_the_middle_that_no_compiler_has():
    def run(x):
        first = tf.nn.relu(x @ x)
        return _on_cpu(first) @ first + first

    made = traced(run, X)
    assert operators(made) == ["NeuronOp", "NeuronOp", "PyFunc"]
    assert 0.5 < made.on_neuron_ratio < 1


def test_loops_and_conditions():
    assert operators(traced(loop, X)) == ["NeuronOp"]
    assert_equal(loop(-X), tfn.trace(loop, X)(-X))


def test_the_user_chooses():
    given = L.Input((3,))
    hidden = L.Reshape([1, 3])(L.Dense(3)(given))
    model = K.Model(inputs=[given], outputs=[L.Dense(2)(hidden)])
    seen = []

    def choose(node):
        seen.append(node)
        return node.op == "MatMul"

    made = traced(model, tf.random.uniform([1, 3]), subgraph_builder_function=choose)
    calls = [node for node in nodes_of(made) if node.op == "NeuronOp"]
    assert [len(node.input) for node in calls] == [2, 2]  # the weights stay outside
    assert 0 < made.on_neuron_ratio < 1
    names = [node.name for node in seen]
    assert len(names) == len(set(names))
    assert {type(node).__name__ for node in seen} == {"NodeDef"}
    assert any("dense" in node.name and node.op == "MatMul" for node in seen)


def test_the_user_chooses_all_or_nothing(caplog):
    chosen = traced(_multiply, (X, Y), subgraph_builder_function=lambda node: True)
    assert operators(chosen) == ["NeuronOp"]
    left = traced(_multiply, (X, Y), subgraph_builder_function=lambda node: False)
    assert left.on_neuron_ratio == 0
    assert "Your traced model has 0.00% of operators compiled to neuron" in caplog.text


def test_what_the_user_chooses_and_no_compiler_has_stays_on_the_cpu(caplog):
    made = traced(lambda x: _on_cpu(x @ x) @ x, X, subgraph_builder_function=lambda node: True)
    assert operators(made) == ["NeuronOp", "NeuronOp", "PyFunc"]
    assert "left to TensorFlow: PyFunc" in caplog.text
    assert "PyFunc" in caplog.text


def test_a_choice_that_raises_is_the_users_error():
    def choose(node):
        raise KeyError(node.op)

    with pytest.raises(KeyError):
        tfn.trace(_multiply, (X, Y), subgraph_builder_function=choose)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.int32, tf.int64, tf.uint8, tf.bool])
def test_element_types(dtype):
    def run(x):
        return x if dtype == tf.bool else x + x, tf.cast(x, tf.float32) @ X

    traced(run, tf.cast(X * 3, dtype))


def test_predict_and_data_sets():
    model = _dense_model()
    inputs = normal(6, 3)
    made = tfn.trace(model, inputs[:2])
    wanted = model(inputs)
    assert_equal(wanted.numpy(), made.predict(inputs, batch_size=2, verbose=0))
    data = tf.data.Dataset.from_tensor_slices(inputs).batch(2).map(made.aws_neuron_function)
    assert_equal(wanted, tf.concat(list(data), 0))


def test_inside_another_function_and_a_session():
    made = tfn.trace(_multiply, (X, Y))
    assert_equal(_multiply(X, Y) + 1, tf.function(lambda x, y: made(x, y) + 1)(X, Y))
    graph_def = made.aws_neuron_function.graph.as_graph_def()
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.import_graph_def(graph_def, name="")
        outputs = made.aws_neuron_function.outputs[0].name
        feed = {"input_1:0": X.numpy(), "input_2:0": Y.numpy()}
        got = session.run(outputs, feed)
    assert_equal(_multiply(X, Y).numpy(), got)


def test_threads():
    made = tfn.trace(_multiply, (X, Y))
    failures = []

    def run(scale):
        for _ in range(20):
            if not np.allclose(made(X * scale, Y), _multiply(X * scale, Y), atol=1e-4):
                failures.append(scale)

    threads = [threading.Thread(target=run, args=(float(n),)) for n in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_gradients_are_refused():
    made = tfn.trace(_multiply, (X, Y))
    with tf.GradientTape() as tape:
        tape.watch(X)
        with pytest.raises(NotImplementedError, match="a traced model is for inference"):
            made(X, Y)
        assert_equal(_multiply(X, Y), made(tf.stop_gradient(X), Y))


def test_no_inputs(caplog):
    def run():
        return tf.constant(1.0)

    assert tfn.trace(run, ()) is run
    assert "does not seem to have any input; returning an uncompiled callable" in caplog.text


def test_string_tensors_are_left_to_tensorflow():
    made = traced(lambda text, x: (tf.strings.length(text), x @ x), (tf.constant(["ab"]), X))
    assert operators(made) == ["NeuronOp", "StringLength"]


def test_hash_tables_are_refused():
    keys, values = tf.constant([1, 2]), tf.constant([10, 20])
    table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(keys, values), default_value=-1
    )
    with pytest.raises(TypeError, match=r"Found unhandled resource tensors: .*; hash tables"):
        tfn.trace(tf.function(table.lookup), tf.constant([1, 3]))


def test_variables_that_change_what_is_computed_are_refused():
    state = tf.Variable(0.0)

    def run(x):
        return x + state.assign_add(1.0)

    with pytest.raises(TypeError, match="variables that the function changes, cannot be traced"):
        tfn.trace(run, X)


def test_state_that_the_outputs_need_is_refused():
    given = L.Input((4, 3), batch_size=2)
    with pytest.raises(TypeError, match=r"Found unhandled resource tensors: .*lstm"):
        tfn.trace(K.Model(given, L.LSTM(3, stateful=True)(given)), normal(2, 4, 3))
    weight = tf.Variable(X)

    def run(x):
        weight.assign(2 * weight)
        return x @ weight

    with pytest.raises(TypeError, match="Found unhandled resource tensors: Variable"):
        tfn.trace(run, X)


def test_state_that_the_outputs_do_not_need_is_left_out():
    calls, layer = tf.Variable(0), L.BatchNormalization()

    def run(x):
        calls.assign_add(1)
        return layer(x, training=True)

    run(X)
    assert operators(traced(run, X)) == ["NeuronOp"]
    assert calls == 2  # the trace counted nothing


def test_what_waits_for_effects_waits():
    seen = []

    def run(x):
        with tf.control_dependencies([tf.numpy_function(lambda v: seen.append(v), [x], [])]):
            weight = tf.constant(Y.numpy())
        with tf.control_dependencies([x]):
            one = tf.constant([1.0, 2.0, 3.0])
        return x @ weight + one * 2

    made = tfn.trace(run, X)
    assert operators(made) == ["NeuronOp", "PyFunc"]
    del seen[:]
    assert_equal(X @ Y + tf.constant([2.0, 4.0, 6.0]), made(X))
    assert len(seen) == 1


@pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids=["model", "function"])
def test_a_recurrent_layer_in_a_function_keeps_its_shapes(wrap):
    given = L.Input((5, 4), batch_size=2)
    model = K.Model(given, L.GRU(3, return_sequences=True)(given))
    assert operators(traced(wrap(model), normal(2, 5, 4))) == ["NeuronOp"]


def test_what_is_left_out_is_logged_with_its_reason(caplog):
    def run(text, x):
        drawn = tf.random.stateless_uniform([3, 3], tf.cast(x[0, :2], tf.int32))
        return tf.strings.length(text), drawn @ x, tf.unique(x[0])[0]

    traced(run, (tf.constant(["ab"]), X))
    assert "left to TensorFlow: StringLength\n  text" in caplog.text
    assert "\n  draws random numbers" in caplog.text
    assert "left to TensorFlow: Unique" in caplog.text


@pytest.mark.parametrize(
    ("function", "given", "kind"),
    [
        (lambda x: None, X, "NoneType"),
        (lambda x: [], X, "nothing"),
        (tf.sparse.from_dense, X, "SparseTensor"),
        (tf.sparse.to_dense, tf.sparse.from_dense(X), "SparseTensor"),
        (lambda x: x.to_tensor(), tf.ragged.constant([[1.0], [2.0, 3.0]]), "RaggedTensor"),
        (lambda x: x, "text", "str"),
    ],
)
def test_what_neither_goes_in_nor_out(function, given, kind):
    with pytest.raises(TypeError, match=f"must be tensors, got {kind}"):
        tfn.trace(function, given)


def test_a_trace_that_fails_leaves_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("NEURON_CC_FLAGS", f"--workdir {tmp_path / 'made'}")

    def choose(node):
        raise RuntimeError("no choice")

    with pytest.raises(RuntimeError, match="no choice"):
        tfn.trace(_multiply, (X, Y), subgraph_builder_function=choose)
    with pytest.raises(TypeError, match="must be tensors"):
        tfn.trace(lambda x: None, X)
    assert not (tmp_path / "made").exists()


def test_unknown_dimensions_are_refused():
    with pytest.raises(ValueError, match=r"every dimension .* must be known, got \(None, 3\)"):
        tfn.trace(_multiply, (tf.TensorSpec([None, 3]), tf.TensorSpec([3, 3])))


def test_what_is_no_tensor_is_refused():
    with pytest.raises(TypeError, match="example_inputs must be tensors, got NoneType"):
        tfn.trace(lambda x: x, [None])


def test_other_numbers_of_inputs_are_refused():
    made = tfn.trace(_multiply, (X, Y))
    with pytest.raises(ValueError, match=r"traced with 2 inputs \(input_1, input_2\), got 1"):
        made(X)


def test_other_shapes_are_refused():
    made = tfn.trace(_dense_model(), normal(1, 3))
    with pytest.raises(
        tf.errors.InvalidArgumentError,
        match=r"compiled for the shape \[1,3\], got \[2,3\]; try: NEURON_CC_FLAGS=--dynamic-batch",
    ):
        made(normal(2, 3))


@pytest.mark.parametrize("shape", [(5, 3), (2, 4), (2, 3, 1)])
def test_other_shapes_are_refused_inside_functions_too(shape):
    made = tfn.trace(_dense_model(), normal(2, 3))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"compiled for the shape \[2,3\]"):
        tf.function(lambda x: made(x), autograph=False)(normal(*shape))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"compiled for the shape \[2,3\]"):
        made.predict(normal(*shape).numpy(), verbose=0)


def test_other_element_types_are_refused():
    made = tfn.trace(_dense_model(), normal(2, 3))
    with pytest.raises(ValueError, match="requested dtype float32 for Tensor with dtype int32"):
        made(tf.ones([2, 3], tf.int32))


def test_any_batch_in_functions_and_predictions(monkeypatch):
    monkeypatch.setenv("NEURON_CC_FLAGS", "--dynamic-batch-size")
    model = _dense_model()
    made = tfn.trace(model, normal(2, 3))
    x = normal(5, 3)
    assert_equal(model(x), tf.function(lambda x: made(x), autograph=False)(x))
    assert_equal(model(x).numpy(), made.predict(x.numpy(), verbose=0))
    data = tf.data.Dataset.from_tensor_slices(x).batch(3).map(made)
    assert_equal(model(x), tf.concat(list(data), 0))


def test_a_shape_that_is_not_the_examples_follows_the_function():
    """A concrete function of any batch is compiled for the example's."""
    function = tf.function(lambda x: tf.reshape(x, [tf.shape(x)[0], -1]) @ X)
    concrete = function.get_concrete_function(tf.TensorSpec([None, 1, 3]))
    assert operators(traced(concrete, normal(4, 1, 3))) == ["NeuronOp"]


def test_a_trace_is_saved_with_any_inputs_and_outputs(tmp_path):
    given = {"words": tf.constant([[1, 2]]), "scale": tf.constant([0.5])}

    def run(words, scale):
        return {"sum": [tf.cast(words, tf.float32) * scale, words + 1]}

    made = tfn.trace(run, given)
    made.save(tmp_path / "one")
    tf.saved_model.save(made, str(tmp_path / "two"))
    for folder in ("one", "two"):
        loaded = K.models.load_model(tmp_path / folder)
        assert_equal(run(**given), loaded(given))
        served = tf.saved_model.load(str(tmp_path / folder)).signatures["serving_default"](**given)
        assert_equal(run(**given)["sum"], [served["output_1"], served["output_2"]])


def test_keras_saves_a_traced_model_as_one(tmp_path):
    model = _dense_model()
    made = tfn.trace(model, normal(1, 3))
    K.models.save_model(made, tmp_path / "traced")
    K.models.save_model(model, tmp_path / "model.keras")
    for name in ("traced", "model.keras"):
        assert_equal(model(normal(1, 3)), K.models.load_model(tmp_path / name)(normal(1, 3)))
    with pytest.raises(FileExistsError, match=r"nothing must be there, got .*traced"):
        made.save(tmp_path / "traced", overwrite=False)


def test_what_is_left_out_though_it_could_be_compiled_is_logged(caplog):
    traced(lambda x: (x @ x, 0.0 * tf.random.normal([3])), X)
    assert "RandomStandardNormal\n  depends on no input of the function" in caplog.text
    counted = tf.function(lambda x: tf.unique_with_counts(tf.sin(x[0]))[2])
    traced(lambda x: tf.reduce_sum(counted(x)) + tf.cast(x @ x, tf.int32), X)
    assert "StridedSlice\n  would not be worth a call to Neuron" in caplog.text


def test_weights_beyond_the_limit_of_a_graph(monkeypatch):
    def too_large(*arguments, **keywords):
        raise ValueError("Cannot create a tensor proto whose content is larger than 2GB.")

    from hlo_frontend.graphdef import freeze

    monkeypatch.setattr(freeze.convert_to_constants, "convert_variables_to_constants_v2", too_large)
    monkeypatch.setattr(freeze, "LIMIT", 10)
    with pytest.raises(
        ValueError, match=r"smaller than 2 GB, got 48 bytes .*\n.*--extract-weights"
    ):
        tfn.trace(_dense_model(), normal(1, 3))
