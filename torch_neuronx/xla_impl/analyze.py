"""`torch_neuronx.analyze`: which operators of a model Neuron supports, each checked by itself."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from torch_neuronx.version import __version__

if TYPE_CHECKING:  # loading a model needs none of what a check needs
    from torch_neuronx.xla_impl.operators import Call

logger = logging.getLogger("Neuron")

OPERATORS_PER_WORKER = 64  # starting a process takes as long as checking more than these
# A worker finds what this process finds, and nothing of the user's program runs in it.
_WORKER = (
    "import sys; sys.path[:] = {!r}; from torch_neuronx.xla_impl.operator_check import main; main()"
)


def analyze(
    func: torch.nn.Module | Callable[..., Any],
    example_inputs: Any,
    compiler_workdir: str | None = None,
    additional_ignored_ops: AbstractSet[str] = frozenset(),
    max_workers: int = 4,
    is_hf_transformers: bool = False,
    cleanup: bool = False,
) -> dict[str, Any]:
    """Check each operator that `func` runs: does it lower to HLO, and does the HLO compile?

    `example_inputs` is a tensor, or a tuple or list of arguments, or a dict that is the one
    argument. `compiler_workdir` receives the HLO of each distinct operator
    (`0001-aten_relu.hlo.pb`), unless `cleanup`. Operators in `additional_ignored_ops`
    (`aten::relu`) are neither checked nor counted. At most `max_workers` processes check at a
    time. They are started anew, not forked, so nothing can deadlock and `is_hf_transformers`, which
    is there to prevent that, changes nothing.

    Returns the documented dict: versions, `support_percentage` (`"100.00%"`),
    `supported_operators` with their counts and `unsupported_operators`, each with `kind`,
    `failureAt` (`"neuronx-cc"` or `"Lowering to HLO"`), `call` and `opGraph`. Why an operator fails
    is logged at level INFO. Raises what tracing `func` raises, ValueError for wrong arguments.
    Source: AWS Neuron documentation, PyTorch Neuron analyze API for inference.
    """
    _require_arguments(func, max_workers)
    folder = work_folder(compiler_workdir) if not cleanup else None
    calls = [c for c in _traced(func, example_inputs) if c.kind not in additional_ignored_ops]
    return _report(calls, check_calls(calls, folder, max_workers))


def check_calls(
    calls: Sequence[Call], folder: Path | None, max_workers: int
) -> list[tuple[str, str]]:
    """The verdict of each call, where it fails and why; the HLO of each distinct one goes to
    `folder`."""
    from torch_neuronx.xla_impl.operator_check import describe

    jobs: dict[str, dict[str, Any]] = {}
    keys = []
    for call in calls:
        job = describe(call)
        keys.append(json.dumps(job))
        file = _file(folder, len(jobs), call.kind) if keys[-1] not in jobs else ""
        jobs.setdefault(keys[-1], job | {"file": file})
    verdicts = dict(zip(jobs, check_all(list(jobs.values()), max_workers), strict=True))
    return [verdicts[key] for key in keys]


def _require_arguments(func: object, max_workers: object) -> None:
    if not callable(func):
        raise TypeError(f"torch_neuronx.analyze: func must be callable, got {type(func).__name__}")
    if type(max_workers) is not int or max_workers < 1:
        raise ValueError(
            f"torch_neuronx.analyze: max_workers must be at least 1, got {max_workers!r}"
        )


def _traced(func: Callable[..., Any], example_inputs: Any) -> list[Call]:
    from torch_neuronx.xla_impl.operators import operators_of

    single = isinstance(example_inputs, torch.Tensor | dict)
    arguments = (example_inputs,) if single else tuple(example_inputs)
    return operators_of(func, arguments)


def work_folder(compiler_workdir: str | None) -> Path | None:
    if compiler_workdir is None:
        return None
    folder = Path(compiler_workdir).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _file(folder: Path | None, number: int, kind: str) -> str:
    if folder is None:
        return ""
    return str(folder / f"{number + 1:04}-{kind.replace('::', '_')}.hlo.pb")


def check_all(jobs: Sequence[dict[str, Any]], max_workers: int) -> list[tuple[str, str]]:
    """The verdict of each job, in order: where it fails and why (see `operator_check.check`)."""
    workers = min(max_workers, -(-len(jobs) // OPERATORS_PER_WORKER))
    if not workers:
        return []
    shares = [list(range(n, len(jobs), workers)) for n in range(workers)]
    with ThreadPoolExecutor(workers) as pool:
        done = list(pool.map(lambda share: _check_share([jobs[n] for n in share]), shares))
    verdicts = {
        n: v for share, vs in zip(shares, done, strict=True) for n, v in zip(share, vs, strict=True)
    }
    return [verdicts[n] for n in range(len(jobs))]


def _check_share(jobs: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Check jobs in one process after the other: the job that ends a process has failed."""
    from torch_neuronx.xla_impl.operator_check import LOWERING

    verdicts: list[tuple[str, str]] = []
    while len(verdicts) < len(jobs):
        lines = "".join(f"{json.dumps(job)}\n" for job in jobs[len(verdicts) :])
        child = subprocess.run(
            [sys.executable, "-c", _WORKER.format(sys.path)],
            input=lines,
            capture_output=True,
            text=True,
            check=False,
        )
        verdicts += [tuple(json.loads(line)) for line in child.stdout.splitlines()]
        if len(verdicts) < len(jobs):
            last = child.stderr.strip().splitlines()[-1:]
            why = f"the process that checked it ended with status {child.returncode}"
            verdicts.append((LOWERING, ": ".join([why, *last])))
    return verdicts


def _report(calls: Sequence[Call], verdicts: Sequence[tuple[str, str]]) -> dict[str, Any]:
    from neuronxcc.version import __version__ as compiler_version

    supported: Counter[str] = Counter()
    unsupported = []
    for call, (failure, why) in zip(calls, verdicts, strict=True):
        if not failure:
            supported[call.kind] += 1
            continue
        logger.info("torch_neuronx.analyze: %s fails at %s: %s", call.kind, failure, why)
        unsupported.append(
            {"kind": call.kind, "failureAt": failure, "call": call.stack, "opGraph": call.graph}
        )
    percentage = 100 * supported.total() / len(calls) if calls else 100.0
    return {
        "torch_neuronx_version": __version__,
        "neuronx_cc_version": compiler_version,
        "support_percentage": f"{percentage:.2f}%",
        "supported_operators": dict(supported),
        "unsupported_operators": unsupported,
    }
