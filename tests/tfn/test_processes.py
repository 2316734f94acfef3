"""Traced models in new processes, under both Kerases, and beside PyTorch."""

import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.tfn.judged import normal, traced
from tests.tfn.process import ROOT, run

DOCUMENT = ROOT / "../shared/spec/documents/tensorflow_neuron_trace.rst"
LEGACY = {"TF_USE_LEGACY_KERAS": "1"}
# Whoever runs this knows nothing of Neuron: only TensorFlow is imported.
LOAD = """
import sys, numpy as np, tensorflow as tf
for folder in sys.argv[1:]:
    kept = np.load(folder + "/kept.npz")
    model = tf.keras.models.load_model(folder)
    assert isinstance(model, tf.keras.Model), type(model)
    operators = {n.op for n in model.aws_neuron_function.graph.as_graph_def().node}
    assert "NeuronOp" in operators, operators
    given = tf.constant(kept["given"])
    wanted, bound = kept["wanted"], 1e-3 * np.abs(kept["wanted"]).max()
    for got in (model(given).numpy(), model.predict(given, verbose=0)):
        assert np.abs(got - wanted).max() <= bound
    (got,) = tf.saved_model.load(folder).signatures["serving_default"](given).values()
    assert np.abs(got - wanted).max() <= bound
assert "hlo_frontend.graphdef" not in sys.modules  # nothing was compiled
print("loaded", len(sys.argv[1:]))
"""


def _models():
    L = tf.keras.layers
    image, line = tf.keras.Input((16, 16, 3)), tf.keras.Input((6, 4))
    hidden = L.BatchNormalization()(L.Conv2D(4, 3, activation="relu")(image))
    yield tf.keras.Model(image, L.Dense(5)(L.GlobalAveragePooling2D()(hidden))), (2, 16, 16, 3)
    yield tf.keras.Model(line, L.LSTM(5)(line)), (2, 6, 4)
    yield tf.keras.Model(line, L.GRU(5, unroll=True)(line)), (2, 6, 4)
    yield tf.keras.Model(line, L.MultiHeadAttention(2, 3)(line, line)), (2, 6, 4)


def test_a_new_process_loads_what_was_saved(tmp_path):
    folders = []
    for number, (model, shape) in enumerate(_models()):
        given = normal(*shape)
        folders.append(tmp_path / str(number))
        traced(model, given).save(folders[-1])
        np.savez(folders[-1] / "kept.npz", given=given, wanted=model(given))
    assert run(LOAD, *folders) == "loaded 4\n"


def _examples():
    """The programs in the document, as they stand."""
    text = Path(DOCUMENT).read_text()
    blocks = re.findall(r"\.\. code:: python\n\n((?:    .*\n|\n)+)", text)
    found = [re.sub(r"^    ", "", block, flags=re.MULTILINE) for block in blocks]
    assert len(found) == 2
    return found


KEEP = """
import numpy as np
shown = model_neuron(example_inputs)
np.testing.assert_allclose(shown, model(example_inputs), rtol=1e-3)
operators = [n.op for n in model_neuron.aws_neuron_function.graph.as_graph_def().node]
assert isinstance(model_neuron, tf.keras.Model)
"""
FIRST = """
assert model_neuron.on_neuron_ratio == 1
assert sorted(operators) == ["IdentityN", "NeuronOp", "Placeholder"], operators
np.testing.assert_allclose(model_neuron_reloaded(example_inputs), shown)
np.savez(model_dir + "/kept.npz", given=example_inputs, wanted=shown)
"""
SECOND = """
assert operators.count("NeuronOp") == 2 and "MatMul" not in operators, operators
assert 0 < model_neuron.on_neuron_ratio < 1
model_neuron.save("model_neuron")
np.savez("model_neuron/kept.npz", given=example_inputs, wanted=shown)
"""


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("keras", ["legacy", "3"])
def test_the_examples_of_the_document(number, keras, tmp_path):
    program, environment = _examples()[number], LEGACY
    if keras == "3":  # which knows a shape only as a tuple
        program, environment = program.replace("Input(3)", "Input([3])"), {}
    run(program + KEEP + (FIRST, SECOND)[number], folder=tmp_path, **environment)
    assert run(LOAD, "model_neuron", folder=tmp_path, **environment) == "loaded 1\n"


BOTH = """
import torch, numpy as np
def trace_with_torch():
    import torch_neuronx
    layer = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU()).eval()
    given = torch.ones(2, 4)
    made = torch_neuronx.trace(layer, given)
    np.testing.assert_allclose(made(given).detach(), layer(given).detach(), rtol=1e-5)
    return lambda: made(given)
def trace_with_tensorflow():
    import tensorflow as tf, tensorflow.neuron as tfn
    weight = tf.random.normal([4, 3])
    given = tf.ones([2, 4])
    made = tfn.trace(lambda x: tf.nn.relu(x @ weight), given)
    np.testing.assert_allclose(made(given), tf.nn.relu(given @ weight), rtol=1e-5)
    return lambda: made(given)
import sys
order = [trace_with_torch, trace_with_tensorflow]
if sys.argv[1] == "tensorflow":
    order.reverse()
calls = [trace() for trace in order]
calls += [trace() for trace in order]  # and once more, with both in the process
for call in calls:
    call()
print("both")
"""


@pytest.mark.parametrize("first", ["torch", "tensorflow"])
def test_both_frameworks_in_one_process(first):
    assert run(BOTH, first).splitlines()[-1] == "both"


def test_the_documented_name_is_the_package():
    program = """
import tensorflow as tf
import tensorflow.neuron as tfn
import tensorflow_neuron
assert tfn is tensorflow_neuron is tf.neuron
from tensorflow.neuron import saved_model
assert saved_model is tensorflow_neuron.saved_model
print(tfn.__version__)
"""
    assert re.fullmatch(r"2\.\d+\.\d+\.2\.32\.0\+emulator\n", run(program))


def test_importing_keras_first():
    program = """
import keras, tensorflow as tf
import tensorflow.neuron as tfn
assert hasattr(keras.models.load_model, "reads_traced_models")
assert tf.keras.models.load_model is keras.models.load_model
print("ok")
"""
    assert run(program) == "ok\n"
