"""Softmax of rows that a mask of the lowest float fills, scaled before or after."""

from __future__ import annotations

import pytest
import torch

import torch_neuronx

LOWEST = torch.finfo(torch.float32).min


@pytest.mark.parametrize("optlevel", ["-O1", "-O2"])
@pytest.mark.parametrize(
    "scaled",
    [lambda x: x * 0.35355339, lambda x: x / 8**0.5, lambda x: x],
    ids=["times", "divided", "alone"],
)
def test_a_row_of_the_lowest_float_is_uniform(scaled, optlevel):
    x = torch.full((2, 4), LOWEST)
    x[1, 2:] = torch.tensor([1.0, 2.0])

    def masked(x):
        return torch.softmax(scaled(x), -1)

    trace = torch_neuronx.trace(masked, x, compiler_args=optlevel)
    torch.testing.assert_close(trace(x), masked(x))


def test_infinite_rows_are_not_numbers_as_in_pytorch():
    x = torch.tensor([[-torch.inf, -torch.inf], [0.0, torch.inf], [0.0, -torch.inf]])

    def masked(x):
        return torch.softmax(x * 0.5, -1)

    torch.testing.assert_close(torch_neuronx.trace(masked, x)(x), masked(x), equal_nan=True)
