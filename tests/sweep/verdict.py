"""How one pair of entry and dtype ends: passes, refused for a reason, or fails."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch

from tests.sweep import judge
from tests.sweep.entries import UNINITIALISED, Sample, samples

COMPILER_ARGS = "--auto-cast=none --native-int64=enabled --target=trn2"
# By what the message says; the first that is found names the reason.
REASONS: tuple[tuple[str, str], ...] = (
    (r"NCC_[A-Z]+\d+", "documented refusal of the chip"),
    (r"has an output shape that depends on data", "shape depends on data"),
    (r"takes as many values as the mask selects", "shape depends on data"),
    (r"by a boolean mask", "shape depends on data"),
    (r"needs a value that depends on", "value read back to Python"),
    (r"has no lowering to HLO", "no lowering"),
    (r"draws from a torch\.Generator", "random generator of the caller's"),
    (r"the dtype of .* must be one of", "dtype"),
    (r"must be a dense tensor", "sparse, quantized or nested tensor"),
    (r"expected a torch\.Tensor, got", "output is not a tensor"),
    (r"must return at least one tensor", "output is not a tensor"),
    (r"an output must hold tensors|must be of one type", "output is not a tensor"),
    (r"needs a tensor whose place in memory is known", "memory layout"),
    (r"that may or may not share memory", "memory layout"),
    (r"would be computed", "torch_xla computes something else"),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`outcome` is "passes", "refused" or "fails"; `reason` and `message` say why not passes."""

    name: str
    kind: str
    outcome: str
    reason: str = ""
    message: str = ""
    samples: int = 0
    passed: int = 0
    falls_back: tuple[str, ...] = ()  # operators that torch_xla itself runs on the CPU
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def judge_pair(name: str, kind: str, limit: int | None = None) -> Verdict:
    """Traces, compiles, runs and compares every sample of a pair; the worst one decides."""
    start = time.perf_counter()
    falls_back: set[str] = set()
    count = passed = 0
    worst = ("passes", "", "")
    for count, sample in enumerate(samples(name, kind, limit), 1):
        falls_back |= fallbacks(sample)
        ended = _judge(sample, name.partition("#")[0] in UNINITIALISED)
        if ended is None:
            continue
        outcome, reason, message = ended
        passed += outcome == "passes"
        if _RANK[outcome] > _RANK[worst[0]]:
            worst = (outcome, reason, f"sample {count}: {message}")
    seconds = round(time.perf_counter() - start, 2)
    return Verdict(name, kind, *worst, count, passed, tuple(sorted(falls_back)), seconds)


_RANK = {"passes": 0, "refused": 1, "fails": 2}


def _judge(sample: Sample, uninitialised: bool) -> tuple[str, str, str] | None:
    """The outcome of one sample, with reason and message; None where nothing can be compared."""
    import torch_neuronx

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            traced = torch_neuronx.trace(
                sample.function, sample.tensors, compiler_args=COMPILER_ARGS
            )
            got = traced(*_copied(sample.tensors))
        except Exception as error:  # noqa: BLE001  what a sweep is there to record
            return _refused(error) if _eager(sample) is not None else None
        eager = _eager(sample)
        if eager is None or _is_wide((sample.tensors, eager)):
            return None
        return _compared(sample, got, eager, uninitialised)


def _compared(sample: Sample, got: Any, eager: Any, uninitialised: bool) -> tuple[str, str, str]:
    same, values = sample.comparable, not uninitialised and not _is_random(sample, eager)
    try:
        judge.compare(same(got), same(eager), _reference(sample), values=values)
    except judge.Mismatch as error:
        return "fails", "wrong answer", str(error)
    return "passes", "", ""


def _eager(sample: Sample) -> Any:
    """The eager result; None where eager execution fails itself."""
    try:
        return sample.function(*_copied(sample.tensors))
    except _EAGER_ERRORS:
        return None


_EAGER_ERRORS = (RuntimeError, NotImplementedError, TypeError, ValueError, IndexError)


def _is_wide(value: Any) -> bool:
    """Whether an integer does not fit in 32 bits, in which the chip computes."""
    wide = torch.iinfo(torch.int32)
    return any(
        leaf.dtype is torch.int64
        and leaf.numel() > 0
        and not (wide.min <= leaf.min() and leaf.max() <= wide.max)
        for leaf in judge.leaves(value)
        if isinstance(leaf, torch.Tensor)
    )


def _refused(error: Exception) -> tuple[str, str, str]:
    from hlo_frontend.errors import CaptureError
    from neff.errors import CompileError

    message = str(error)
    first = message.strip().split("\n")[0][:300]
    for pattern, reason in REASONS:
        found = re.search(pattern, message)
        if found and isinstance(error, CaptureError | CompileError):
            code = f" ({found[0]})" if found[0].startswith("NCC_") else ""
            return "refused", reason + code, first
    kind = type(error).__name__
    where = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{where.filename.rpartition('/')[2]}:{where.lineno}"
    return "fails", f"{kind}", f"{first} [{place}]"


def _copied(tensors: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return tuple(t.clone() for t in tensors)


def _is_random(sample: Sample, eager: Any) -> bool:
    """Whether eager execution gives another result with another seed."""
    return not all(_same(eager, _seeded(sample, seed)) for seed in (1, 2))


def _seeded(sample: Sample, seed: int) -> Any:
    """The eager result from a seed; some entries would set their own at every call."""
    with torch.random.fork_rng(), mock.patch.object(torch, "manual_seed"):
        torch.default_generator.manual_seed(seed)
        return sample.function(*_copied(sample.tensors))


def _same(one: Any, other: Any) -> bool:
    pairs = zip(judge.leaves(one), judge.leaves(other), strict=True)
    return all(torch.equal(torch.nan_to_num(a), torch.nan_to_num(b)) for a, b in pairs)


def _reference(sample: Sample) -> Any:
    """The eager result of wider inputs; None where the operator does not take them."""
    try:
        return sample.comparable(sample.function(*judge.widened(_copied(sample.tensors))))
    except (RuntimeError, NotImplementedError, TypeError, ValueError, IndexError):
        return None


def fallbacks(sample: Sample) -> set[str]:
    """Operators that torch_xla, without a capture, runs on the CPU or does not run at all."""
    from hlo_frontend.capture import xla

    ext, device = xla.extension(), xla.device()
    ext._clear_xla_counters()
    with warnings.catch_warnings(), torch.no_grad(), _allowed(ext):
        warnings.simplefilter("ignore")
        try:
            tensors = [t.to(device) for t in sample.tensors]
            with device:
                sample.function(*tensors)
        except (RuntimeError, NotImplementedError, TypeError, ValueError, IndexError) as error:
            return {f"raises {type(error).__name__}"}
    names: list[str] = ext._xla_counter_names()
    return {n for n in names if n.startswith("aten::") and n not in _NO_FALLBACK}


@contextlib.contextmanager
def _allowed(ext: Any) -> Iterator[None]:
    saved = ext._get_allow_execution()
    ext._set_allow_execution(True)
    try:
        yield
    finally:
        ext._set_allow_execution(saved)


_NO_FALLBACK = ("aten::_local_scalar_dense",)
