"""Runs what was captured and compares it with PyTorch eager."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from hlo_frontend.capture import Capture, Input, capture, flatten, unflatten
from hlo_frontend.capture.dtypes import to_numpy
from hlo_frontend.hlo.proto import write_module
from tests.xla_judge import run_hlo


def run(captured: Capture, example_inputs: Any) -> Any:
    """The nested outputs of a capture for other inputs of the same structure, as numpy arrays."""
    _, flat = flatten(_arguments(example_inputs), "inputs")
    arrays = [
        to_numpy(flat[p.index] if isinstance(p, Input) else p.tensor) for p in captured.parameters
    ]
    return unflatten(captured.output_structure, run_hlo(write_module(captured.module), arrays))


def check(
    func: Any, example_inputs: Any, *, tolerance: float = 1e-5, fresh: Any = None, **options: Any
) -> Capture:
    """Captures, runs by XLA on `fresh` (by default the example inputs), compares with eager.

    `tolerance` is relative to the largest magnitude of each output; 1e-5 covers other summation
    orders in f32.
    """
    captured = capture(func, example_inputs, **options)
    given = example_inputs if fresh is None else fresh
    results = run(captured, given)
    structure, flat = flatten(given, "inputs")
    with torch.no_grad():
        own = unflatten(structure, [t.clone() for t in flat])  # eager may write to its inputs
        expected = func(*_arguments(own))
    compare(results, expected, tolerance)
    return captured


def compare(results: Any, expected: Any, tolerance: float) -> None:
    """Asserts equal structure, dtypes, shapes and, within tolerance, values."""
    wanted, tensors = flatten(expected, "expected")
    arrays = _leaves(results)
    assert unflatten(wanted, list(range(len(arrays)))) == _numbered(results)
    for array, tensor in zip(arrays, tensors, strict=True):
        reference = to_numpy(tensor.detach())
        assert array.dtype == reference.dtype
        assert array.shape == reference.shape
        if array.size == 0:
            continue
        if array.dtype.kind in "biu":
            np.testing.assert_array_equal(array, reference)
            continue
        kind = np.complex128 if array.dtype.kind == "c" else np.float64
        array, reference = array.astype(kind), reference.astype(kind)
        finite = reference[np.isfinite(reference)]
        scale = float(np.abs(finite).max()) if finite.size else 0.0
        np.testing.assert_allclose(array, reference, rtol=0, atol=tolerance * max(scale, 1e-30))


def _arguments(example_inputs: Any) -> tuple[Any, ...]:
    if isinstance(example_inputs, torch.Tensor | dict):
        return (example_inputs,)
    return tuple(example_inputs)


def _leaves(value: Any) -> list[np.ndarray]:
    if isinstance(value, np.ndarray):
        return [value]
    items = value.values() if isinstance(value, dict) else value
    return [leaf for item in items for leaf in _leaves(item)]


def _numbered(value: Any) -> Any:
    count = iter(range(10**6))

    def number(item: Any) -> Any:
        if isinstance(item, np.ndarray):
            return next(count)
        if isinstance(item, dict):
            return {k: number(v) for k, v in item.items()}
        return type(item)(number(v) for v in item)

    return number(value)
