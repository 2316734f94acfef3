"""What libraries ask of tensors and sizes when they believe that they are traced."""

from __future__ import annotations

import pytest
import torch

import torch_neuronx
from hlo_frontend.capture.rewrite_expert import grouped_mm, histc


def same(func, *inputs):
    made, expected = torch_neuronx.trace(func, inputs)(*inputs), func(*inputs)
    torch.testing.assert_close(made, expected, rtol=1e-6, atol=1e-6)


def test_sizes_are_rounded_as_numbers():
    """`torch.ceil(height / patch)` is how a library rounds a size that a tracer made a tensor."""

    def pad(x):
        rounded = torch.ceil(x.shape[-1] / 4) if torch.jit.is_tracing() else -(-x.shape[-1] // 4)
        return torch.nn.functional.pad(x, (0, int(rounded) * 4 - x.shape[-1]))

    ceil = torch.ceil
    same(pad, torch.rand(2, 6))
    assert torch.ceil is ceil
    same(lambda x: torch.ceil(x) + torch.floor(x), torch.rand(3) * 5)


def test_an_address_is_aligned_and_tells_tensors_apart():
    seen = []

    def ask(x):
        y = x + 1
        seen.extend((x.data_ptr(), y.data_ptr(), y.data_ptr()))
        return y

    same(ask, torch.rand(3))
    x, y, again = seen[:3]
    assert x % 64 == y % 64 == 0 and x != y == again


def test_checks_of_values_are_left_out_of_the_graph():
    def checked(x):
        torch._check_tensor_all(x > 0, lambda: "positive")
        return x * 2

    same(checked, torch.rand(3) + 1)


def test_a_check_of_known_values_still_counts():
    def checked(x):
        torch._check_tensor_all(torch.arange(3) > 5, lambda: "more than five")
        return x

    with pytest.raises(RuntimeError, match="more than five"):
        torch_neuronx.trace(checked, torch.rand(3))


def test_sizes_may_be_read_as_a_tensor():
    same(lambda x: x.topk(min(int(torch._shape_as_tensor(x)[1]), 2)).values, torch.rand(2, 5))


@pytest.mark.parametrize(
    ("bins", "low", "high"), [(10, 0, 1), (7, -1, 2), (5, 0, 0), (4, 0, 3)], ids=str
)
def test_histc(bins, low, high):
    torch.manual_seed(0)
    values = torch.cat([torch.randn(200), torch.arange(4.0)])
    assert torch.equal(histc(values, bins, low, high), torch.histc(values, bins, low, high))
    same(lambda x: torch.histc(x, bins, low, high), values)


@pytest.mark.parametrize("rows", [3, 24])
def test_products_by_groups_of_rows(rows):
    torch.manual_seed(0)
    x, weight = torch.randn(rows, 16), torch.randn(4, 16, 8)
    ends = torch.tensor([1, 1, 2, rows], dtype=torch.int32)
    same(lambda x, w, e: torch._grouped_mm(x, w, offs=e), x, weight, ends)


def test_products_of_groups_of_other_dimensions():
    torch.manual_seed(0)
    ends = torch.tensor([4, 8, 12, 16], dtype=torch.int32)
    for x, y in (
        (torch.randn(8, 16), torch.randn(16, 4)),
        (torch.randn(4, 8, 12), torch.randn(12, 16)),
    ):
        torch.testing.assert_close(grouped_mm(x, y, ends), torch._grouped_mm(x, y, offs=ends))
