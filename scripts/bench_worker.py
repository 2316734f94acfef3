"""The contestants of a model, each in a process of its own: made ready, then run when asked.

    python -m scripts.bench_worker MODEL BATCH

The model is built once, and each process begins as a copy of the one that did. A line of the input
names a contestant that is to be made ready: the answer says how far its results are from eager's,
or why there are none. `CONTESTANT SECONDS` asks for the seconds of each call made in that time.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np
import torch
from torch import nn

from scripts.bench_contestants import CONTESTANTS, Contestant, Inputs, Ready
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


@dataclass(frozen=True, slots=True)
class Case:
    """A model, its inputs, and what eager makes of them."""

    module: nn.Module
    inputs: Inputs
    expected: Any

    @staticmethod
    def build(name: str, batch: int) -> Case:
        """Build it on one thread: a process that has more is not to be copied."""
        torch.set_num_threads(1)
        module, inputs = MODELS[name].build(batch)
        return Case(module, inputs, module(*inputs))


def prepare(contestant: Contestant, case: Case) -> tuple[Ready | None, dict[str, Any]]:
    """A call that is ready, and what is answered about it."""
    start = time.perf_counter()
    try:
        call = contestant.make(case.module, case.inputs)
        error = difference(call(), case.expected)
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


def run(contestant: Contestant, case: Case, asked: TextIO, answers: TextIO) -> None:
    """Be a contestant: answer that it is ready, then with the seconds of calls."""
    call, answer = prepare(contestant, case)
    print(json.dumps(answer), file=answers, flush=True)
    for line in asked if call is not None else ():
        print(json.dumps(timed(call, float(line))), file=answers, flush=True)


@dataclass(frozen=True, slots=True)
class Copy:
    """A process that began as a copy of this one, and is a contestant."""

    process: int
    asked: TextIO
    answers: TextIO

    @staticmethod
    def start(contestant: Contestant, case: Case, threads: int) -> Copy:
        """Raises nothing in the copy, which ends here."""
        asked, answers = os.pipe(), os.pipe()
        process = os.fork()
        if process:
            os.close(asked[0])
            os.close(answers[1])
            return Copy(process, os.fdopen(asked[1], "w"), os.fdopen(answers[0]))
        os.close(asked[1])
        os.close(answers[0])
        torch.set_num_threads(threads)
        with os.fdopen(asked[0]) as lines, os.fdopen(answers[1], "w") as out:
            run(contestant, case, lines, out)
        os._exit(0)

    def answer(self) -> str:
        """The next line it says; where it died, that it did."""
        if line := self.answers.readline():
            return line.strip()
        status = os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])
        return json.dumps({"reason": f"the process ended with status {status}"})


def main(arguments: list[str]) -> int:
    name, batch = arguments
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a peer prints is no answer
    warnings.simplefilter("ignore")
    threads = torch.get_num_threads()
    with torch.no_grad():
        case = Case.build(name, int(batch))
        copies: dict[str, Copy] = {}
        for line in sys.stdin:
            contestant, *seconds = line.split()
            if contestant not in copies:
                copies[contestant] = Copy.start(CONTESTANTS[contestant], case, threads)
            else:
                print(*seconds, file=copies[contestant].asked, flush=True)
            print(copies[contestant].answer(), file=answers, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
