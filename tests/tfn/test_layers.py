"""Every layer of tf.keras.layers computes on Neuron what it computes without, loaded or not."""

import pytest

from tests.tfn.layers import ALIASES, LAYERS, NO_FORWARD, cases, has, layer_class
from tests.tfn.models import EXAMPLES, MODELS, models

KERASES = ("3", "legacy")
RATIOS = {"neuron": 1, "cpu": 0, "nothing": 0}
CASES = [
    pytest.param(keras, name, id=f"{keras}-{name}") for keras in KERASES for name in cases(keras)
]


@pytest.mark.parametrize(("keras", "name"), CASES)
def test_layer(survey, keras, name):
    entry, seen = LAYERS[cases(keras)[name][0]], survey["cases"][name]
    wanted = entry.place(keras)
    if wanted == "refused":
        assert seen["error"].startswith("ResourceError: tensorflow.neuron.trace: Found unhandled")
        assert "hash tables, and variables that the function changes" in seen["error"]
        assert name not in survey["loaded"]
        return
    assert seen["error"] is None
    assert seen["place"] == wanted
    assert seen["ratio"] == RATIOS.get(wanted, seen["ratio"])
    assert 0 <= seen["ratio"] <= 1
    assert any("left to TensorFlow" in line for line in seen["log"]) == (wanted in ("cpu", "both"))
    assert survey["loaded"][name] == []


@pytest.mark.parametrize(("keras", "name"), [(k, name) for k in KERASES for name in models(k)])
def test_model(survey, keras, name):
    seen = survey["cases"][name]
    assert seen["error"] is None
    assert seen["operators"] == list(MODELS[name].operators)
    assert (seen["ratio"] == 1) == (seen["operators"] == ["NeuronOp"])
    assert 0.5 < seen["ratio"] <= 1
    assert survey["loaded"][name] == []


@pytest.mark.parametrize("keras", KERASES)
def test_the_examples_of_the_document(survey, keras):
    whole, chosen = (survey["cases"][name] for name in EXAMPLES)
    assert whole["error"] is chosen["error"] is None
    assert (whole["operators"], whole["ratio"]) == (["NeuronOp"], 1)
    assert chosen["operators"].count("NeuronOp") == 2
    assert "MatMul" not in chosen["operators"]
    assert 0 < chosen["ratio"] < 1
    assert [survey["loaded"][name] for name in EXAMPLES] == [[], []]


@pytest.mark.parametrize("keras", KERASES)
def test_every_layer_is_in_the_table(survey, keras):
    without = {name for names in NO_FORWARD.values() for name in names}
    tested = {layer_class(name) for name in LAYERS}
    assert not tested & without
    known = {name for name in (*tested, *without, *ALIASES) if has(keras, name)}
    assert set(survey["classes"]) == known
    assert survey["aliases"] == list(ALIASES)


@pytest.mark.parametrize("keras", KERASES)
def test_the_survey_is_of_that_keras(survey, keras):
    assert survey["keras"] == keras
