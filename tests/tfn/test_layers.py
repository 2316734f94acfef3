"""Every layer of tf.keras.layers computes on Neuron what it computes without."""

import numpy as np
import pytest
import tensorflow as tf

from tests.tfn.judged import WHOLE, nodes_of, traced
from tests.tfn.layers import AUGMENTATIONS, ELSEWHERE, LAYERS, Ints


def _input(spec):
    rng = np.random.default_rng(0)
    if isinstance(spec, Ints):
        return tf.constant(rng.integers(0, spec.below, spec.shape), tf.int32)
    return tf.constant(rng.standard_normal(spec), tf.float32)


def _model(name, arguments, inputs):
    layer = getattr(tf.keras.layers, name)(**arguments)
    given = [tf.keras.Input(t.shape[1:], batch_size=t.shape[0], dtype=t.dtype) for t in inputs]
    made = layer(given) if name in LAYERS and LAYERS[name].listed else layer(*given)
    model = tf.keras.Model(given, made)
    rng = np.random.default_rng(1)
    model.set_weights(
        [
            np.abs(rng.standard_normal(w.shape)) + 0.1 if w.dtype.kind == "f" else w
            for w in model.get_weights()
        ]
    )
    return model


def _where(model):
    operators = {node.op for node in nodes_of(model)}
    if operators == WHOLE:
        return "neuron"
    if "NeuronOp" in operators:
        return "both"
    return "nothing" if operators <= {"Placeholder", "Identity"} else "cpu"


CASES = [
    pytest.param(name, arguments, id=f"{name}-{number}")
    for name, layer in LAYERS.items()
    for number, arguments in enumerate(layer.arguments)
]


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_layer(name, arguments):
    case = LAYERS[name]
    inputs = [_input(spec) for spec in case.inputs]
    made = traced(_model(name, arguments, inputs), inputs)
    assert _where(made) == case.where
    assert made.on_neuron_ratio == {"neuron": 1, "nothing": 0}.get(case.where, made.on_neuron_ratio)
    assert 0 <= made.on_neuron_ratio <= 1


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_augmentations_do_nothing_in_inference(name):
    arguments = {"factor": 0.2} if name in NEED_FACTOR else NEED.get(name, {})
    layer = getattr(tf.keras.layers, name)(**arguments)
    image = tf.constant(np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)), tf.float32)
    traced(lambda x: layer(x, training=False), image)


NEED_FACTOR = {
    *("RandomBrightness", "RandomColorDegeneration", "RandomContrast", "RandomHue"),
    *("RandomRotation", "RandomSaturation", "RandomSharpness"),
}
NEED = {
    "RandomPosterization": {"factor": 4},
    "RandomTranslation": {"height_factor": 0.2, "width_factor": 0.2},
    "RandomZoom": {"height_factor": 0.2},
}


def test_every_layer_is_in_the_table():
    known = {*LAYERS, *AUGMENTATIONS, *(name for names in ELSEWHERE.values() for name in names)}
    there = {name for name in dir(tf.keras.layers) if name[0].isupper()}
    assert there == known


L = tf.keras.layers
WRAPPED = {
    "Bidirectional": lambda: L.Bidirectional(L.LSTM(3)),
    "GRUCell": lambda: L.RNN(L.GRUCell(3)),
    "LSTMCell": lambda: L.RNN(L.LSTMCell(3), return_sequences=True),
    "Lambda": lambda: L.Lambda(lambda x: x * 2),
    "Pipeline": lambda: L.Pipeline([L.Rescaling(2.0), L.Rescaling(3.0)]),
    "SimpleRNNCell": lambda: L.RNN(L.SimpleRNNCell(3)),
    "SpectralNormalization": lambda: L.SpectralNormalization(L.Dense(3)),
    "StackedRNNCells": lambda: L.RNN(L.StackedRNNCells([L.LSTMCell(3), L.LSTMCell(2)])),
    "TimeDistributed": lambda: L.TimeDistributed(L.Dense(3)),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_wrappers(name):
    given = tf.keras.Input((6, 4), batch_size=2)
    model = tf.keras.Model(given, WRAPPED[name]()(given))
    assert _where(traced(model, _input((2, 6, 4)))) == "neuron"


def test_layers_with_text_are_left_to_tensorflow(caplog):
    text = tf.constant([["a b", "c"], ["d", "e f"]])
    hashing = L.Hashing(num_bins=7)
    made = traced(lambda words: hashing(words), text)
    assert _where(made) == "cpu"
    assert made.on_neuron_ratio == 0
    assert "0.00% of operators compiled to neuron" in caplog.text
