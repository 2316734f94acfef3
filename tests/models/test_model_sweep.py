"""A quick part of the model sweep; `scripts/model_sweep` runs the whole zoo."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
import torch

from scripts.model_sweep import document, read_state
from tests.models.case import Case, Made
from tests.models.measure import TOLERANCE, Result, difference, measure
from tests.models.zoo import CASES, GROUPS

# Each has something that the models of test_models.py have not.
QUICK = (
    "transformers/mixtral",  # products by group of rows
    "transformers/llama step",  # keys and values stay on the core
    "transformers/bart",
    "transformers/swin",
    "transformers/wav2vec2",
    "transformers/clip",
    "torchvision/squeezenet1_0",
)
REFUSED = ("transformers/superpoint", "transformers/xlm")


@pytest.mark.parametrize("name", QUICK)
def test_a_model_computes_what_pytorch_computes(name):
    result = measure(CASES[name])
    assert result.outcome == "passes", result.reason
    assert result.error < TOLERANCE
    assert 0 < result.regions < result.program < result.hlo


@pytest.mark.parametrize("name", REFUSED)
def test_what_depends_on_data_is_refused(name):
    result = measure(CASES[name])
    assert result.outcome == "refused", result.reason
    assert CASES[name].refused in result.reason


def test_a_zoo_covers_what_it_says():
    families = {g: {c.family for c in CASES.values() if c.group == g} for g in GROUPS}
    models = {g: sum(c.group == g for c in CASES.values()) for g in GROUPS}
    assert len(families["timm"]) >= 60 and models["transformers"] >= 40
    assert set(families["torchvision"]) >= {"resnet", "deeplab", "fcn", "lraspp", "video resnet"}


def _case(forward) -> Case:
    class Net(torch.nn.Module):
        def forward(self, x):
            return forward(x)

    return Case("timm", "none", "none", lambda: Made(Net(), lambda: (torch.rand(3),)))


def test_failures_are_results():
    constant = measure(_case(lambda x: x * 0))
    assert (constant.outcome, constant.reason) == (
        "fails",
        "PyTorch's own outputs do not depend on the inputs",
    )
    refused = measure(_case(lambda x: x[: int(x[0] > 0)]))
    assert refused.outcome == "fails" and "depends on example input" in refused.reason
    broken = measure(_case(lambda x: x @ torch.rand(2)))
    assert broken.outcome == "broken" and broken.reason.startswith("RuntimeError: ")


def test_differences_are_relative_and_see_what_is_not_finite():
    expected = torch.tensor([1.0, -4.0, float("inf")])
    assert difference(torch.tensor([1.0, -4.4, float("inf")]), expected) == pytest.approx(0.1)
    with pytest.raises(AssertionError, match="NaN or infinity in other places"):
        difference(torch.tensor([1.0, -4.0, 0.0]), expected)
    with pytest.raises(AssertionError, match=r"not torch\.float32"):
        difference(expected.double(), expected)


def test_the_last_result_of_a_model_counts(tmp_path):
    name = "timm/resnet10t"
    case = CASES[name]
    results = [
        Result(case.group, case.family, case.name, "fails", "wrong | result", error=0.5),
        Result(
            case.group, case.family, case.name, "passes", error=2e-7, hlo=9, program=4, regions=2
        ),
    ]
    state = tmp_path / "state.jsonl"
    state.write_text("".join(json.dumps(asdict(r)) + "\n" for r in results))
    assert read_state(state) == {name: results[1]}
    assert "| resnet10t | resnet | passes | 2.0e-07 | 9 | 4 | 2 |" in document({name: results[1]})
    assert f"- {name} (fails): `wrong | result`" in document({name: results[0]})
