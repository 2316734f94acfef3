"""The numbers of a difference, against numpy and where they are not finite."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest

from torch_neuronx.accuracy.difference import (
    CHUNK,
    EXACT,
    Difference,
    argmax_agreement,
    difference,
)

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize("shape", [(), (7,), (3, 5), (2 * CHUNK + 3,)])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16, np.int32])
def test_numbers_are_those_of_numpy(shape, dtype):
    generator = np.random.default_rng(0)
    r = np.asarray(generator.standard_normal(shape) * 99).astype(dtype)
    x = np.asarray(r.astype(np.float64) + 9 * generator.standard_normal(shape)).astype(dtype)
    a, b = x.astype(np.float64).ravel(), r.astype(np.float64).ravel()
    found = difference(x, r)
    assert found.max_abs == np.abs(a - b).max()
    assert found.mean_abs == pytest.approx(np.abs(a - b).mean())
    assert found.relative == pytest.approx(np.linalg.norm(a - b) / np.linalg.norm(b))
    assert found.cosine == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    assert found.not_finite == 0


@pytest.mark.parametrize(
    ("value", "reference", "expected"),
    [
        ([1.0, INF], [1.0, INF], EXACT),
        ([1.0, NAN], [1.0, NAN], EXACT),
        ([], [], EXACT),
        ([0.0], [0.0], EXACT),
        ([2.0], [0.0], Difference(2.0, 2.0, INF, 0.0)),
        ([1.0, INF], [1.0, 3.0], Difference(INF, INF, INF, 1.0, 1)),
        ([1.0, NAN], [1.0, -INF], Difference(INF, INF, INF, 1.0, 1)),
        ([-INF, 1.0, INF], [INF, 1.0, 1.0], Difference(INF, INF, INF, 1.0, 2)),
        ([3.4e38], [-3.4e38], Difference(6.8e38, 6.8e38, 2.0, -1.0)),
        ([True, False], [True, True], Difference(1.0, 0.5, math.sqrt(0.5), math.sqrt(0.5))),
        ([1 + 1j], [1 - 1j], Difference(2.0, 2.0, math.sqrt(2), 0.0)),
    ],
)
def test_what_is_not_finite_or_nothing(value, reference, expected):
    found = difference(np.array(value), np.array(reference))
    for name in Difference.__dataclass_fields__:
        assert getattr(found, name) == pytest.approx(getattr(expected, name)), name


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"must have one shape, got \(2,\) and \(3,\)"):
        difference(np.zeros(2), np.zeros(3))


def test_argmax_agreement_is_the_share_of_rows():
    r = np.array([[1.0, 2.0], [4.0, 3.0], [0.0, 1.0], [0.0, 5.0]], np.float32)
    x = r.astype(ml_dtypes.bfloat16)
    x[0] = [2.0, 1.0]
    assert argmax_agreement(x, r) == 0.75
    assert argmax_agreement(r[:, :1], r[:, :1]) is None
    assert argmax_agreement(r.astype(np.int32), r.astype(np.int32)) is None
    assert argmax_agreement(np.float32(1.0).reshape(()), np.float32(1.0).reshape(())) is None
