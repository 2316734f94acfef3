"""Sweep of the model zoo: each model traced, run and compared in a worker process that may die."""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import platform
import queue
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path

from runtime.settings import setting
from tests.models.measure import TOLERANCE, Result, measure
from tests.models.zoo import CASES, GROUPS

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "model_coverage.md"
LIFE = 60  # models that one worker runs: XLA keeps what it compiled
OUTCOMES = ("passes", "refused", "fails", "broken")


class Worker:
    """A process that measures one model at a time, and is started again when it died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str] = queue.Queue()
        self._left = 0

    def measure(self, name: str, timeout: float) -> Result:
        if self._process is None or self._left == 0:
            self.stop()
            self._start()
        assert self._process is not None and self._process.stdin is not None
        self._left -= 1
        self._process.stdin.write(name + "\n")
        self._process.stdin.flush()
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            line = f"TimeoutError: took more than {timeout:.0f} s"
        if line.startswith("{"):
            return Result(**json.loads(line))
        self.stop()
        case = CASES[name]
        return Result(case.group, case.family, case.name, "fails", line)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _start(self) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "scripts.model_sweep", "--worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},  # nothing may be downloaded
        )
        lines: queue.Queue[str] = queue.Queue()

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                lines.put(line)
            lines.put(f"the process ended with status {process.wait()}")

        threading.Thread(target=read, daemon=True).start()
        self._process, self._lines, self._left = process, lines, LIFE


def work() -> None:
    """The worker: a name on each line of stdin, its result as JSON on a line of stdout."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a model prints is no answer
    for line in sys.stdin:
        print(json.dumps(asdict(measure(CASES[line.strip()]))), file=answers, flush=True)


def read_state(path: Path) -> dict[str, Result]:
    """The last result of every model that is still in the zoo."""
    if not path.exists():
        return {}
    results = [Result(**json.loads(line)) for line in path.read_text().splitlines()]
    return {key: r for r in results if (key := f"{r.group}/{r.name}") in CASES}


def sweep(names: list[str], path: Path, timeout: float) -> None:
    """Measure these models, each result kept in the file as soon as it is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    worker = Worker()
    try:
        with path.open("a") as file:
            for number, name in enumerate(names, start=1):
                result = worker.measure(name, timeout)
                print(json.dumps(asdict(result)), file=file, flush=True)
                error = "" if result.error is None else f"{result.error:.1e}"
                line = f"{number}/{len(names)} {name}: {result.outcome} {error} {result.reason}"
                print(line, flush=True)
    finally:
        worker.stop()


def _in_turn(names: list[str]) -> list[str]:
    """Families take turns, so that a sweep that is broken off has seen something of each."""
    turn: dict[str, int] = {}
    places = {}
    for name in names:
        family = f"{CASES[name].group}/{CASES[name].family}"
        turn[family] = turn.get(family, 0) + 1
        places[name] = turn[family]
    return sorted(names, key=places.__getitem__)


def document(results: dict[str, Result]) -> str:
    """docs/model_coverage.md."""
    lines = [
        "# Model coverage",
        "",
        "Made by `scripts/model_sweep --write`: each architecture, with random weights, traced "
        "with the default options, run on two inputs that it was not traced with, and compared "
        "with PyTorch.",
        "",
        f"- *error*: the largest of all outputs, relative to the output's largest magnitude; it "
        f"passes below {TOLERANCE:.0e} (fp32)",
        "- *HLO*: instructions captured; *program*: those that are left after the last pass; "
        "*regions*: the kernels that they are fused into",
        "- *capture*, *compile*, *load*: seconds; loading includes XLA's compilation for the CPU",
        "- *call*, *eager*: milliseconds of a call, of ours and of PyTorch's",
        f"- measured on {os.cpu_count()} cores, {platform.machine()}, which other work shared",
        "",
        _counts(results),
        "",
        "## Refused and failing",
        "",
        *_reasons([r for r in results.values() if r.reason]),
    ]
    for group in GROUPS:
        lines += ["", f"## {group}", "", *_table([r for r in results.values() if r.group == group])]
    return "\n".join([*lines, ""])


def _counts(results: dict[str, Result]) -> str:
    head = ["| | models | families | " + " | ".join(OUTCOMES[:3]) + " |", "|---|" + "---:|" * 5]
    for group in GROUPS:
        of_group = [r for r in results.values() if r.group == group and r.outcome != "broken"]
        count = [sum(r.outcome == o for r in of_group) for o in OUTCOMES[:3]]
        families = len({r.family for r in of_group})
        cells = [group, len(of_group), families, *count]
        head.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(head)


def _reasons(results: list[Result]) -> list[str]:
    """A line for each model that does not pass, those of the same outcome together."""
    found = sorted(results, key=lambda r: (OUTCOMES.index(r.outcome), r.group, r.name))
    return [f"- {r.group}/{r.name} ({r.outcome}): `{r.reason}`" for r in found]


def _table(results: list[Result]) -> list[str]:
    lines = [
        "| model | family | result | error | HLO | program | regions | capture | compile | load "
        "| call | eager |",
        "|---|---|---|" + "---:|" * 9,
    ]
    lines += [_row(r) for r in sorted(results, key=lambda r: (r.family, r.name))]
    return lines


def _row(r: Result) -> str:
    cells = [
        r.name,
        r.family,
        r.outcome,
        "" if r.error is None else f"{r.error:.1e}",
        *("" if n is None else str(n) for n in (r.hlo, r.program, r.regions)),
        *("" if s is None else f"{s:.1f}" for s in (r.capture, r.compile, r.load)),
        *("" if s is None else f"{s * 1000:.1f}" for s in (r.call, r.eager)),
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> int:
    parser = argparse.ArgumentParser(prog="model_sweep", description=__doc__)
    cache = Path(setting("XDG_CACHE_HOME") or Path.home() / ".cache")
    default = cache / "neuron-emulator" / "model_sweep.jsonl"
    parser.add_argument("--state", type=Path, default=default, help="results so far, JSON lines")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="as in timm/resnet*")
    parser.add_argument("--group", choices=GROUPS)
    parser.add_argument("--timeout", type=float, default=600, help="seconds for one model")
    parser.add_argument("--retry", action="store_true", help="also what failed before")
    parser.add_argument("--again", action="store_true", help="also what was measured before")
    parser.add_argument("--write", action="store_true", help=f"write {DOCUMENT.name}")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        work()
        return 0
    names = [
        n
        for n, case in CASES.items()
        if given.group in (None, case.group) and fnmatch.fnmatch(n, given.only)
    ]
    if not names:
        parser.error(f"--only: must match a model, got {given.only!r}")
    before = {} if given.again else read_state(given.state)
    kept = {n for n, r in before.items() if not given.retry or r.outcome in ("passes", "refused")}
    sweep(_in_turn([n for n in names if n not in kept]), given.state, given.timeout)
    results = read_state(given.state)
    if given.write:
        DOCUMENT.write_text(document(results))
    bad = [n for n in names if results[n].outcome not in ("passes", "refused")]
    print(f"{len(names) - len(bad)} of {len(names)} pass or are refused")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
