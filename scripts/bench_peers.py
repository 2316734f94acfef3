"""Our speed and that of others on the same models: each in its own process, asked in turn."""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from neff.files import write_atomically
from scripts.bench_contestants import CONTESTANTS
from scripts.bench_models import MODELS

ROOT = Path(__file__).parents[1]
PAUSE = 0.03  # seconds between turns, in which the threads of the last one go to sleep
Results = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Effort:
    """How long each contestant runs in a turn, and how many turns it has."""

    seconds: float = 0.3
    turns: int = 9


class Workers:
    """The process in which a model is built, and its copies, one for each contestant."""

    def __init__(self, model: str, batch: int) -> None:
        command = [sys.executable, "-m", "scripts.bench_worker", model, str(batch)]
        pipe, quiet = subprocess.PIPE, subprocess.DEVNULL
        self._process = subprocess.Popen(
            command,
            stdin=pipe,
            stdout=pipe,
            stderr=quiet,
            text=True,
            cwd=ROOT,
            process_group=0,
        )

    def ask(self, *words: object) -> Any:
        """The answer to a line. Raises RuntimeError where the model was not built."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            print(*words, file=self._process.stdin, flush=True)
        if line := self._process.stdout.readline():
            return json.loads(line)
        raise RuntimeError(f"bench: the process ended with status {self._process.wait()}")

    def turn(self, contestant: str, seconds: float) -> float:
        """The median of the seconds of its calls."""
        taken = self.ask(contestant, seconds)
        if isinstance(taken, dict):
            raise RuntimeError(f"bench: {contestant}: {taken['reason']}")
        time.sleep(PAUSE)
        return statistics.median(taken)

    def stop(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def compare(model: str, batch: int, contestants: Iterable[str], effort: Effort) -> Results:
    """What each contestant made of a model: seconds of a call by turn, or why there are none."""
    workers = Workers(model, batch)
    try:
        # One after the other: each has the machine to itself.
        made: Results = {name: workers.ask(name) for name in contestants}
        running = [name for name, answer in made.items() if "reason" not in answer]
        turns: dict[str, list[float]] = {name: [] for name in running}
        for turn in range(effort.turns + 1):
            for name in random.Random(turn).sample(running, len(running)):
                turns[name].append(workers.turn(name, effort.seconds))
    finally:
        workers.stop()
    for name in running:
        made[name]["turns"] = turns[name][1:]
    return made


def installed(names: Sequence[str]) -> list[str]:
    return [name for name in names if CONTESTANTS[name].version is not None]


def asked(what: Sequence[str]) -> Any:
    """The answer of scripts.bench_roofline, in a process of its own."""
    command = [sys.executable, "-m", "scripts.bench_roofline", *what]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    return json.loads(done.stdout.splitlines()[-1])


def kept(file: Path) -> Results:
    """What was measured before."""
    return json.loads(file.read_text()) if file.exists() else {}


def keep(file: Path, results: Results) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, json.dumps(results, indent=1).encode())


def run(
    cases: Sequence[tuple[str, int]],
    contestants: Sequence[str],
    effort: Effort,
    file: Path,
    console: Console,
) -> Results:
    """Measure cases, each kept in the file as soon as it is there; results of others stay."""
    results = kept(file)
    results["machine"] = asked(["machine"])
    results["versions"] = {name: CONTESTANTS[name].version for name in CONTESTANTS}
    for model, batch in cases:
        key = f"{model}/{batch}"
        with console.status(f"{model}, batch {batch}"):
            start = time.perf_counter()
            row = results.setdefault("peers", {}).setdefault(key, {})
            if "work" not in row:
                row["work"] = asked([model, str(batch)])
            made = compare(model, batch, installed(contestants), effort)
            row["contestants"] = {**row.get("contestants", {}), **made}
        keep(file, results)
        console.print(f"{key} ms: {summary(made)} ({time.perf_counter() - start:.0f} s)")
    return results


def summary(made: Results) -> str:
    """A line for a person who waits."""
    return ", ".join(
        f"{name} {statistics.median(r['turns']) * 1e3:.2f}" if "turns" in r else f"{name} –"
        for name, r in made.items()
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("--peers")
    group.add_argument("--models", default="*", metavar="PATTERNS", help="as in bert*,resnet50")
    group.add_argument(
        "--batches", type=numbers, metavar="N,N", help="in place of each model's own"
    )
    group.add_argument(
        "--contestants", default=",".join(CONTESTANTS), metavar="NAMES", help="default: %(default)s"
    )
    group.add_argument("--seconds", type=float, default=Effort().seconds, help="that a turn lasts")
    group.add_argument("--turns", type=int, default=Effort().turns, help="of each contestant")


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(","))


def cases(patterns: str, batches: Sequence[int] | None) -> list[tuple[str, int]]:
    """The models that match one of the patterns, with their batches."""
    return [
        (model.name, batch)
        for model in MODELS.values()
        if any(fnmatch.fnmatch(model.name, pattern) for pattern in patterns.split(","))
        for batch in batches or model.batches
    ]


def main(given: argparse.Namespace, console: Console) -> Results:
    """`scripts/bench --peers`."""
    names = given.contestants.split(",")
    if unknown := set(names) - CONTESTANTS.keys():
        raise SystemExit(f"--contestants: must be of {', '.join(CONTESTANTS)}, got {unknown}")
    chosen = cases(given.models, given.batches)
    if not chosen:
        raise SystemExit(f"--models: must match some of {', '.join(MODELS)}, got {given.models!r}")
    return run(chosen, names, Effort(given.seconds, given.turns), given.json, console)
