"""A contestant in a process of its own: makes a model ready, then runs it whenever it is asked.

    python -m scripts.bench_worker CONTESTANT MODEL BATCH

The first line it answers says how far its results are from eager's, or why there are none. Then,
for each line `seconds` of its input, it answers with the seconds of each call made in that time.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from typing import Any

import numpy as np
import torch

from scripts.bench_contestants import CONTESTANTS, Contestant, Ready
from scripts.bench_models import MODELS

LONGEST = 300  # characters of a reason


def flat(made: Any) -> list[np.ndarray]:
    """The results of a call as arrays, in order."""
    if isinstance(made, torch.Tensor):
        return [made.float().numpy()]
    if isinstance(made, np.ndarray):
        return [made]
    return [array for part in made for array in flat(part)]


def difference(made: Any, expected: Any) -> float:
    """The largest of all outputs, each relative to its largest magnitude. Raises ValueError where
    they cannot be compared."""
    pairs = list(zip(flat(made), flat(expected), strict=True))
    for ours, theirs in pairs:
        if ours.shape != theirs.shape or not np.isfinite(ours).all():
            raise ValueError(f"results must be finite {theirs.shape}, got {ours.shape}")
    return max(float(np.abs(m - e).max() / np.abs(e).max()) for m, e in pairs)


def prepare(contestant: Contestant, name: str, batch: int) -> tuple[Ready | None, dict[str, Any]]:
    """A call that is ready, and what is answered about it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # OpenMP's threads wait for each other, long where others work too
    module, inputs = MODELS[name].build(batch)
    expected = module(*inputs)
    torch.set_num_threads(threads)
    start = time.perf_counter()
    try:
        call = contestant.make(module, inputs)
        error = difference(call(), expected)
    except Exception as failure:  # noqa: BLE001  whatever a peer raises is its result
        said = " ".join(f"{type(failure).__name__}: {failure}".split())
        return None, {"reason": said[:LONGEST]}
    seconds = time.perf_counter() - start
    if not error <= contestant.tolerance:
        return None, {"reason": f"differs from eager by {error:.1e} of the largest magnitude"}
    return call, {"error": error, "ready": seconds}


def hurry() -> bool:
    """Put every thread before other work on the machine, where the system lets this process.

    OpenMP's threads wait for each other: one of them put off for a moment delays a call a
    hundredfold, and what is compared would be how lucky each contestant was.
    """
    try:
        for thread in os.listdir("/proc/self/task"):
            os.sched_setscheduler(int(thread), os.SCHED_FIFO, os.sched_param(1))
    except (PermissionError, ProcessLookupError):
        return False
    return True


def timed(call: Ready, seconds: float) -> list[float]:
    """The seconds of every call made in a time, after one that is not counted."""
    hurry()
    call()
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while not taken or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return taken


def main(arguments: list[str]) -> int:
    contestant, name, batch = arguments
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a peer prints is no answer
    warnings.simplefilter("ignore")
    with torch.no_grad():
        call, answer = prepare(CONTESTANTS[contestant], name, int(batch))
        print(json.dumps(answer), file=answers, flush=True)
        for line in sys.stdin if call is not None else ():
            print(json.dumps(timed(call, float(line))), file=answers, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
