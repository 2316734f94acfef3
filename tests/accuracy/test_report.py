"""Reports: the layer that a cast spoils is named, and the numbers are those of numpy."""

from __future__ import annotations

import json
import math

import ml_dtypes
import numpy as np
import pytest
import torch
from torch import nn

import torch_neuronx
from neff.errors import OptionError
from tests.accuracy import models
from torch_neuronx.accuracy import AccuracyReport, LayerError, SettingReport
from torch_neuronx.accuracy.settings import DEFAULT_SETTINGS, bits_of, label, options_of
from torch_neuronx.accuracy.table import elided

NONE = "--auto-cast=none"
MATMULT = "--auto-cast=matmult --auto-cast-type=bf16"
ALL = "--auto-cast=all --auto-cast-type=bf16"
REFUSED = "--auto-cast=most"


def layer(setting: SettingReport, name: str) -> LayerError:
    return next(y for y in setting.layers if y.layer == name)


@pytest.fixture(scope="module")
def spoiled() -> AccuracyReport:
    model, inputs = models.spoiled()
    return torch_neuronx.accuracy_report(model, inputs, [ALL, REFUSED, NONE, MATMULT])


def test_settings_keep_their_order(spoiled):
    assert [s.setting for s in spoiled.settings] == [ALL, REFUSED, NONE, MATMULT]
    assert [s.label for s in spoiled.settings] == ["all bf16", "most", "none", "matmult bf16"]
    assert [s.bits for s in spoiled.settings] == [16, 32, 32, 16]


def test_by_default_every_cast_is_compared_with_every_type():
    assert [label(s) for s in DEFAULT_SETTINGS] == [
        "none",
        *("matmult bf16", "matmult fp16", "matmult tf32", "matmult fp8_e4m3"),
        *("all bf16", "all fp16", "all tf32", "all fp8_e4m3"),
    ]
    bits = [bits_of(options_of("--target=trn2", s)) for s in DEFAULT_SETTINGS]
    assert bits == [32, 16, 16, 19, 8, 16, 16, 19, 8]
    assert label("--auto-cast=all -O1") == "all -O1"
    assert label("") == "default options"


def test_a_refused_setting_says_why_and_the_others_run(spoiled):
    refused = spoiled.settings[1]
    assert "--auto-cast must be one of none, matmult, all, got 'most'" in refused.refusal
    assert (refused.outputs, refused.layers, refused.error) == ((), (), math.inf)
    assert all(s.outputs for s in spoiled.settings if s is not refused)


def test_the_first_drift_is_the_line_that_loses_the_bits(spoiled):
    drift = spoiled.settings[0].first_drift
    assert drift is not None
    assert (drift.layer, drift.operator) == ("2", "aten__sub")
    assert drift.source.endswith(f"models.py:{models.CANCEL_LINE}")
    assert " = f32[4,32] subtract(%" in drift.text
    assert drift.incoming <= spoiled.tolerance < drift.error.relative


def test_the_layer_that_loses_the_bits_is_the_worst(spoiled):
    worst = spoiled.settings[0].worst_layers()[0]
    assert worst.layer == "2"
    assert worst.own.relative > 0.5 > 0.01 > worst.incoming
    assert worst.origin is not None
    assert worst.origin.text == worst.drift.text == spoiled.settings[0].first_drift.text
    assert [y.layer for y in spoiled.settings[0].layers] == ["0", "1", "2", "3"]


def test_layers_after_it_are_off_but_not_by_themselves(spoiled):
    after = layer(spoiled.settings[0], "3")
    assert after.error.relative > 0.5 and after.incoming > 0.5
    assert after.own.relative < 0.01
    assert after.drift is None


def test_without_casts_no_layer_is_off(spoiled):
    none = spoiled.settings[2]
    assert none.first_drift is None
    assert {(y.error.relative, y.own.relative, y.origin) for y in none.layers} == {(0.0, 0.0, None)}
    assert none.outputs[0].error.relative < 1e-4  # folding may change the order of sums


def test_the_recommendation_is_the_cast_within_the_tolerance(spoiled):
    assert [s.label for s in spoiled.within()] == ["matmult bf16", "none"]
    assert spoiled.recommendation().startswith(f"{MATMULT} (largest output error ")
    assert spoiled.recommendation().endswith("in the fewest bits. Also within it: none.")


def test_where_no_cast_will_do_the_worst_layer_is_named():
    model, inputs = models.spoiled()
    report = torch_neuronx.accuracy_report(model, inputs, [NONE, ALL], tolerance=1e-3)
    sentence = report.recommendation()
    assert sentence.startswith("No cast stays within 0.001 of fp32. The nearest is all bf16, with ")
    assert "the layer 2 (" in sentence and f"models.py:{models.CANCEL_LINE}) is off by" in sentence


def rounded(array: np.ndarray) -> np.ndarray:
    return array.astype(ml_dtypes.bfloat16).astype(np.float64)


def linear(module: nn.Module, x: np.ndarray, cast: bool) -> np.ndarray:
    weight, bias = (p.detach().numpy() for p in (module.weight, module.bias))
    x = x.astype(np.float32)
    if cast:
        return rounded(x) @ rounded(weight).T + bias
    return x.astype(np.float64) @ weight.astype(np.float64).T + bias


def test_errors_are_those_of_rounding_in_numpy():
    model, inputs = models.perceptron()
    x = inputs.numpy()
    hidden = [np.maximum(linear(model[0], x, cast), 0) for cast in (False, True)]
    results = [linear(model[2], h, cast) for h, cast in zip(hidden, (False, True), strict=True)]
    alone = linear(model[2], hidden[0], True)

    (report,) = torch_neuronx.accuracy_report(model, inputs, [MATMULT]).settings
    error = np.abs(results[1] - results[0])
    norm = np.linalg.norm
    output = report.outputs[0].error
    assert output.max_abs == pytest.approx(error.max(), rel=1e-3)
    assert output.mean_abs == pytest.approx(error.mean(), rel=1e-3)
    relative = norm(results[1] - results[0]) / norm(results[0])
    assert output.relative == pytest.approx(relative, rel=1e-3)
    cosine = (results[1] * results[0]).sum() / norm(results[1]) / norm(results[0])
    assert output.cosine == pytest.approx(cosine, abs=1e-7)
    agree = (results[1].argmax(-1) == results[0].argmax(-1)).mean()
    assert report.outputs[0].argmax_agreement == agree

    last = layer(report, "2")
    assert last.error.max_abs == pytest.approx(error.max(), rel=1e-3)
    assert last.own.max_abs == pytest.approx(np.abs(alone - results[0]).max(), rel=1e-3)
    assert last.own.relative == pytest.approx(norm(alone - results[0]) / norm(results[0]), rel=1e-3)
    entering = norm(hidden[1] - hidden[0]) / norm(hidden[0])
    assert last.incoming == pytest.approx(entering, rel=1e-3)


@pytest.mark.parametrize("setting", [MATMULT, ALL, "--auto-cast=all --auto-cast-type=tf32"])
def test_the_ill_conditioned_layer_of_a_transformer_is_the_worst(setting):
    model, inputs = models.transformer()
    (report,) = torch_neuronx.accuracy_report(model, inputs, [setting]).settings
    assert report.worst_layers()[0].layer == "blocks.1.value"
    assert report.worst_layers()[0].own.relative > 5 * report.worst_layers()[1].own.relative
    # Measured instruction by instruction, and on the compiled program: one arithmetic.
    assert report.layers[-1].layer == "norms.2"
    assert report.layers[-1].error.relative == pytest.approx(report.error, rel=1e-2)


def test_of_a_convolutional_network_the_layer_that_cancels_is_the_worst():
    model, inputs = models.convolutional()
    report = torch_neuronx.accuracy_report(model, inputs, [MATMULT, ALL])
    assert report.settings[1].worst_layers()[0].layer == "cancel"
    assert report.settings[1].first_drift.source.endswith(f"models.py:{models.CANCEL_LINE}")
    assert report.settings[0].worst_layers()[0].layer in ("first", "last")
    assert report.settings[0].error < 0.01 < report.settings[1].error


def test_float64_shows_what_float32_loses():
    model, inputs = models.spoiled()
    report = torch_neuronx.accuracy_report(model, inputs, [NONE], reference="fp64")
    worst = report.settings[0].worst_layers()[0]
    assert (report.reference, worst.layer) == ("fp64", "2")
    assert 1e-6 < worst.own.relative < 1e-3
    assert layer(report.settings[0], "0").own.relative < 1e-6


def test_integers_and_nested_inputs_are_compared_too():
    def pick(given: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        table = given["table"] @ given["table"].T
        return table[given["index"]], table.argmax(-1)

    inputs = {"table": torch.eye(5) * 1.001, "index": torch.tensor([3, 1])}
    (report,) = torch_neuronx.accuracy_report(pick, inputs, [MATMULT]).settings
    picked, best = report.outputs
    assert picked.shape == "f32[2,5]" and best.shape == "s64[5]"
    assert picked.error.max_abs == pytest.approx(1.001**2 - 1.0, rel=1e-3)  # 1.001 rounds to 1
    assert (best.error.max_abs, best.argmax_agreement) == (0.0, None)


def test_json_has_one_schema(spoiled):
    document = json.loads(spoiled.json())
    assert list(document) == ["model", "reference", "tolerance", "settings", "recommendation"]
    fields = ["setting", "label", "bits", "outputs", "layers", "first_drift"]
    fields += ["compile_seconds", "run_seconds", "refusal", "error"]
    numbers = ["max_abs", "mean_abs", "relative", "cosine", "not_finite"]
    instruction = ["text", "operator", "source", "layer", "error", "incoming"]
    fields_of_layer = ["layer", "source", "instructions", "error", "incoming", "own", "origin"]
    for setting in document["settings"]:
        assert list(setting) == fields
    everything, refused = document["settings"][:2]
    assert refused["error"] == "inf"
    assert list(everything["first_drift"]) == instruction
    assert list(everything["outputs"][0]) == ["name", "shape", "error", "argmax_agreement"]
    assert list(everything["outputs"][0]["error"]) == numbers
    assert list(everything["layers"][0]) == [*fields_of_layer, "drift"]


def test_the_table_says_what_the_report_knows(spoiled):
    text = spoiled.table(layers=2)
    assert "most is refused: compiler_args: --auto-cast must be one of" in text
    assert "all bf16: 2 of 4 layers, by their own error" in text
    assert "first beyond 0.01 is the layer 2, by " in text
    assert f"models.py:{models.CANCEL_LINE}" in text
    assert "none: " not in text  # nothing is off: no table of layers
    assert "in the fewest bits." in text


@pytest.mark.parametrize(
    ("layer", "shown"),
    [
        ("encoder.layer.0", "encoder.layer.0"),
        ("model.encoder.layer.0", "…encoder.layer.0"),
        ("a_name_without_any_parts", "…_without_any_parts"),
    ],
)
def test_of_a_long_path_the_last_parts_are_shown(layer, shown):
    assert elided(layer, 19) == shown
    assert len(shown) <= 19


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"reference": "fp16"}, ValueError, "reference must be one of fp32, fp64, got 'fp16'"),
        ({"tolerance": 0.0}, ValueError, "tolerance must be above 0, got 0.0"),
        ({"tolerance": math.nan}, ValueError, "tolerance must be above 0, got nan"),
        ({"settings": []}, ValueError, "settings must not be empty"),
        ({"settings": MATMULT}, TypeError, "settings must be a list of strings, got the string"),
        ({"compiler_args": "--auto-cats=all"}, OptionError, "unknown compiler option"),
    ],
)
def test_arguments_that_cannot_be_are_refused_before_any_work(keywords, error, message):
    def never(x: torch.Tensor) -> torch.Tensor:
        raise AssertionError("captured")

    with pytest.raises(error, match=message):
        torch_neuronx.accuracy_report(never, torch.ones(2), **keywords)


def test_common_arguments_hold_for_every_setting():
    model, inputs = models.perceptron()
    report = torch_neuronx.accuracy_report(
        model, inputs, ["", NONE], compiler_args="--auto-cast=matmult --auto-cast-type=fp16"
    )
    assert [s.bits for s in report.settings] == [16, 32]
    assert report.settings[0].error > 1e-5 > report.settings[1].error
