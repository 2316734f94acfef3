"""A slice of PyTorch's operator database, another one each day, and the sweep's own parts."""

from __future__ import annotations

import datetime
import sys

import pytest
import torch

from tests.sweep import entries, judge, report
from tests.sweep.process import Worker
from tests.sweep.verdict import Verdict

_PAIRS = 30


def test_no_pair_of_the_slice_of_the_day_fails() -> None:
    seed = datetime.datetime.now(datetime.UTC).date().isoformat()
    worker = Worker(timeout=120)
    try:
        verdicts = [worker.judge(*pair, limit=2) for pair in entries.slice_of(seed, _PAIRS)]
    finally:
        worker.close()
    failed = [report.line(v) for v in verdicts if v.outcome == "fails"]
    assert not failed, "\n".join([f"slice {seed}:", *failed])
    assert sum(v.outcome == "passes" for v in verdicts) > _PAIRS / 2


def test_a_worker_that_takes_too_long_is_a_hang() -> None:
    worker = Worker(timeout=0.01)
    verdict = worker.judge("add", "float32", 1)
    assert (verdict.outcome, verdict.reason) == ("fails", "hang")
    worker.close()


def test_a_worker_that_ends_is_a_crash() -> None:
    worker = Worker(timeout=60, command=(sys.executable, "-c", "exit('Error: told to')"))
    verdict = worker.judge("add", "float32", 1)
    assert (verdict.outcome, verdict.reason) == ("fails", "crash")
    assert verdict.message == "exit status 1: Error: told to"
    worker.close()


X = torch.tensor([1.0, float("nan"), 3.0])
WRONG = {
    "dtype": (X, X.double(), r"torch.float32\[3\], eager has torch.float64\[3\]"),
    "shape": (X, X[None], r"torch.float32\[3\], eager has torch.float32\[1, 3\]"),
    "nan": (torch.nan_to_num(X), X, r"1 of 3 elements differ; at \[1\] 0.0, eager has nan"),
    "value": (X * 1.001, X, "2 of 3 elements differ"),
    "integer": (torch.tensor([1, 2]), torch.tensor([1, 3]), r"at \[1\] 2, eager has 3"),
    "count": ((X, X), (X,), "2 outputs, eager has 1"),
}


@pytest.mark.parametrize(("got", "eager", "message"), WRONG.values(), ids=WRONG)
def test_what_is_not_equal_is_a_mismatch(got, eager, message) -> None:
    with pytest.raises(judge.Mismatch, match=message):
        judge.compare(got, eager, None)


def test_what_is_as_near_to_the_wider_result_as_eager_is_right() -> None:
    wide = torch.tensor([1.0], dtype=torch.float64)
    eager = torch.tensor([1.1])
    judge.compare(torch.tensor([0.9]), eager, wide)
    with pytest.raises(judge.Mismatch):
        judge.compare(torch.tensor([0.7]), eager, wide)


def test_a_document_counts_what_torch_xla_lowers() -> None:
    verdicts = [
        Verdict("add", "float32", "passes", samples=3, passed=3),
        Verdict("frexp", "float32", "refused", "no lowering", "capture: aten::frexp has", 1, 0,
                ("aten::frexp",)),
        Verdict("sub", "int", "fails", "wrong answer", "sample 1: 1|2", 1),
    ]  # fmt: skip
    made = report.document(verdicts)
    assert "| float32 | 2 | 1 | 1 | 0 | 1 | 1 (100.0%) |" in made
    assert "| all | 3 | 1 | 1 | 1 | 2 | 1 (50.0%) |" in made
    assert "- `aten::frexp`: `frexp`" in made
    assert "| `sub` | int | wrong answer: sample 1: 1\\|2 |" in made
