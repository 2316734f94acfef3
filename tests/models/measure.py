"""Trace a model of the zoo, run it on inputs it was not traced with, compare it with PyTorch."""

from __future__ import annotations

import copy
import logging
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

import torch_neuronx
from hlo_frontend.capture import flatten
from hlo_frontend.errors import CaptureError
from neff.errors import CompileError
from neff.pipeline import PassRecord
from tests.models.case import Case, Made

# fp32, relative to the largest magnitude of the output.
TOLERANCE = 1e-4
# Every layer rounds: an ill-conditioned model may differ by as many times what one rounding does.
ROUNDINGS = 50
TELLING = 1e-2  # a tolerance beyond this would hide a wrong answer
STEPS = 2  # calls that are compared, each with inputs of its own
REFUSALS = (CaptureError, CompileError)
OUTSIDE_COMPILER = ("capture", "load")


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a case. Times are in seconds; None: it did not come so far."""

    group: str
    family: str
    name: str
    outcome: str  # passes, refused, fails, broken (PyTorch itself cannot run it)
    reason: str = ""
    error: float | None = None  # the largest of all outputs and calls
    outputs: int | None = None
    hlo: int | None = None  # instructions captured
    program: int | None = None  # instructions that are left after the last pass
    regions: int | None = None  # what they are fused into
    capture: float | None = None
    compile: float | None = None
    load: float | None = None
    call: float | None = None
    eager: float | None = None


def measure(case: Case) -> Result:
    """The result of one case. Raises nothing that the product or PyTorch can raise."""
    torch.manual_seed(0)
    identity = case.group, case.family, case.name
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            made = case.make()
            draws = [made.draw() for _ in range(1 + STEPS)]
        except Exception as error:  # noqa: BLE001  a failure of any kind is a result
            return Result(*identity, "broken", _line(error))
        return _measured(case, identity, made, draws)


def _measured(case: Case, identity: Any, made: Made, draws: list[Any]) -> Result:
    state = {id(t): t.clone() for t in made.aliases}
    try:
        eager = [flatten(made.func(*inputs), "output")[1] for inputs in _copies(draws[1:])]
        eager_time = _timed(made.func, draws[1])
    except Exception as error:  # noqa: BLE001  a failure of any kind is a result
        return Result(*identity, "broken", _line(error))
    for tensor in made.aliases:
        tensor.copy_(state[id(tensor)])
    facts: dict[str, Any] = {"eager": eager_time}
    try:
        with recorded() as records:
            keywords = {"input_output_aliases": dict(made.aliases)} if made.aliases else {}
            traced = torch_neuronx.trace(made.func, draws[0], **keywords)
        facts |= _stages(records)
        results = [flatten(traced(*inputs), "output")[1] for inputs in draws[1:]]
        facts["call"] = _timed(traced, draws[1])
    except Exception as error:  # noqa: BLE001  a failure of any kind is a result
        right = isinstance(error, REFUSALS) and case.refused and case.refused in str(error)
        outcome = "refused" if right else "fails"
        return Result(*identity, outcome, _line(error), **facts | _stages(records))
    kept = set(made.aliases.values())
    expected = [[t for n, t in enumerate(step) if n not in kept] for step in eager]
    try:
        facts |= {"error": _compare(results, expected), "outputs": len(expected[0])}
    except AssertionError as error:
        return Result(*identity, "fails", str(error), **facts)
    if case.refused is not None:
        return Result(*identity, "fails", f"must be refused: {case.refused}", **facts)
    if facts["error"] < TOLERANCE:
        return Result(*identity, "passes", **facts)
    moved = movement(made.func, draws[1]) if isinstance(made.func, torch.nn.Module) else 0.0
    if ROUNDINGS * moved > TELLING:
        reason = f"says nothing: half a unit in its weights' last place moves it by {moved:.1e}"
        return Result(*identity, "broken", reason, **facts)
    if facts["error"] < ROUNDINGS * moved:
        reason = f"ill-conditioned: half a unit in its weights' last place moves it by {moved:.1e}"
        return Result(*identity, "passes", reason, **facts)
    return Result(*identity, "fails", "wrong result", **facts)


def movement(model: torch.nn.Module, inputs: tuple[Any, ...]) -> float:
    """How far a model's results, in f64, move when every weight is rounded another way.

    Relative to their largest magnitude; the model's own sensitivity, whatever computes it.
    """
    torch.manual_seed(0)
    wide = copy.deepcopy(model).double()
    given = [
        t.double() if isinstance(t, torch.Tensor) and t.is_floating_point() else t for t in inputs
    ]
    before = flatten(wide(*given), "output")[1]
    for weight in wide.parameters():
        weight.mul_(1 + (2 * torch.rand_like(weight) - 1) * 2**-24)
    after = flatten(wide(*given), "output")[1]
    return max(difference(a, b) for a, b in zip(after, before, strict=True))


def _copies(draws: list[Any]) -> list[Any]:
    return [
        tuple(t.clone() if isinstance(t, torch.Tensor) else t for t in inputs) for inputs in draws
    ]


def _compare(made: list[list[torch.Tensor]], expected: list[list[torch.Tensor]]) -> float:
    """The largest difference. Raises AssertionError where the comparison would say nothing."""
    for step, outputs in enumerate(expected):
        assert len(made[step]) == len(outputs), (
            f"number of outputs: {len(made[step])}, not {len(outputs)}"
        )
    differences = [
        difference(m, e)
        for ms, es in zip(made, expected, strict=True)
        for m, e in zip(ms, es, strict=True)
    ]
    assert any(not torch.equal(a, b) for a, b in zip(expected[0], expected[1], strict=True)), (
        "PyTorch's own outputs do not depend on the inputs"
    )
    return max(differences)


def difference(made: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference, relative to the largest finite magnitude expected.

    NaN and infinity must be where they are expected. Raises AssertionError where they are not,
    and for another shape or dtype.
    """
    assert made.shape == expected.shape and made.dtype == expected.dtype, (
        f"{made.dtype}{list(made.shape)}, not {expected.dtype}{list(expected.shape)}"
    )
    wide = torch.complex128 if expected.is_complex() else torch.float64
    ours, theirs = made.to(wide), expected.to(wide)
    finite = theirs.isfinite()
    assert torch.equal(finite, ours.isfinite()), (
        "NaN or infinity in other places than PyTorch has them"
    )
    assert finite.numel() == 0 or finite.any(), "PyTorch's own output has no finite element"
    ours, theirs = ours[finite], theirs[finite]
    if not theirs.numel():
        return 0.0
    scale = theirs.abs().max().item() or 1.0
    return (ours - theirs).abs().max().item() / scale


def _timed(func: Callable[..., Any], inputs: Any, calls: int = 3) -> float:
    """The median time of a call, in seconds."""
    taken = []
    for _ in range(calls):
        start = time.perf_counter()
        func(*inputs)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


@contextmanager
def recorded() -> Iterator[list[PassRecord]]:
    """The records of every stage of the traces made in this context."""
    records: list[PassRecord] = []

    def keep(line: logging.LogRecord) -> None:
        if hasattr(line, "record"):  # other lines are messages for people
            records.append(line.record)

    handler = logging.Handler()
    handler.emit = keep  # type: ignore[method-assign]
    logger = logging.getLogger("Neuron")
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield records
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


def _stages(records: list[PassRecord]) -> dict[str, Any]:
    """The times and sizes of a result that the stages of a trace say."""
    by_name = {r.name: r for r in records}
    found: dict[str, Any] = {}
    for name in OUTSIDE_COMPILER:
        if name in by_name:
            found[name] = by_name[name].seconds
    if "capture" in by_name:
        found["hlo"] = by_name["capture"].instructions
        found["compile"] = sum(r.seconds for r in records if r.name not in OUTSIDE_COMPILER)
    if "fuse" in by_name:
        found["program"] = by_name["fuse"].instructions
        found["regions"] = by_name["fuse"].regions
    return found


def _line(error: Exception) -> str:
    """An error on one line, short enough for a table."""
    said = str(error).split("\n  try: ")[0]
    text = " ".join(f"{type(error).__name__}: {said}".split())
    return text if len(text) <= 400 else text[:399] + "…"
