"""A load on the runtime: processes that are killed at random, threads, moves and faults.

Exits with 1 where a result was wrong, a process hung or failed, or a core was left taken.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
INSTANCE, CORES = "inf2.24xlarge", 12
SILENCE = 30.0  # seconds without a word after which a process hangs


class Worker:
    """A process of the soak, and what it has said."""

    def __init__(self, number: int, seed: int, threads: int, directory: str) -> None:
        self.number = number
        width = CORES // 4
        first = number % 4 * width
        # Half of them ask for certain cores, half for a number of free ones.
        asked = (
            {"NEURON_RT_VISIBLE_CORES": f"{first}-{first + width - 1}"}
            if number % 2
            else {"NEURON_RT_NUM_CORES": str(width)}
        )
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("NEURON_")},
            **asked,
            "NEURON_EMULATOR_RUNTIME_DIR": directory,
            "NEURON_EMULATOR_INSTANCE_TYPE": INSTANCE,
            "NEURON_RT_LOG_LEVEL": "QUIET",
            "PYTHONPATH": str(ROOT),
        }
        command = [sys.executable, "-m", "scripts.soak_worker", str(seed), str(threads)]
        self.process = subprocess.Popen(
            command,
            env=environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.heard = time.monotonic()
        self.done: Counter[str] = Counter()
        self.cores: list[int] = []
        self.wrong = ""
        self._errors: list[str] = []
        self._readers = [
            threading.Thread(target=self._listen, daemon=True),
            threading.Thread(target=self._collect, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            try:
                said = json.loads(line)
            except ValueError:  # the process was killed in the middle of a line
                return
            self.heard = time.monotonic()
            self.wrong = said.get("wrong", self.wrong)
            self.done = Counter(said.get("done", self.done))
            self.cores = said.get("cores", self.cores)

    def _collect(self) -> None:
        assert self.process.stderr is not None
        self._errors += self.process.stderr.readlines()

    def violation(self) -> str:
        """What is wrong with the process, if anything is."""
        status = self.process.poll()
        if status is not None:
            for reader in self._readers:
                reader.join(10)
            said = self.wrong or "".join(self._errors[-20:])
            return f"process {self.number} ended with {status}:\n{said}"
        if time.monotonic() - self.heard > SILENCE:
            return f"process {self.number} hangs: it has said nothing for {SILENCE:.0f} s"
        return ""

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join(10)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the soak; the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--processes", type=int, default=4, choices=(1, 2, 3, 4))
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    chosen = parser.parse_args(argv)
    print(
        f"soak: {chosen.processes} processes × {chosen.threads} threads, {chosen.seconds:g} s, "
        f"seed {chosen.seed}"
    )
    with tempfile.TemporaryDirectory(prefix="neuron-soak-") as directory:
        problem, done, kills = _soak(chosen, directory)
        problem = problem or _left_taken(directory)
    for what, count in sorted(done.items()):
        print(f"  {what:<10} {count}")
    print(f"  {'kill':<10} {kills}")
    if not problem and not done["call"]:
        problem = "no call was made"
    print(f"soak: {problem}" if problem else "soak: no hang, no wrong result, no core left taken")
    return 1 if problem else 0


def _soak(chosen: argparse.Namespace, directory: str) -> tuple[str, Counter[str], int]:
    """The first thing that went wrong, if any; what the processes did, and how many were killed."""
    chance = random.Random(chosen.seed)
    seeds = iter(range(chosen.seed, chosen.seed + 10**6))
    done: Counter[str] = Counter()
    problem, kills = "", 0

    def start(number: int) -> Worker:
        return Worker(number, next(seeds), chosen.threads, directory)

    # Those that ask for certain cores first, so that the others find what is left.
    workers: dict[int, Worker] = {}
    for certain in (1, 0):
        started = {n: start(n) for n in range(chosen.processes) if n % 2 == certain}
        for worker in started.values():
            _wait_until_it_holds_cores(worker)
        workers |= started
    end = time.monotonic() + chosen.seconds
    try:
        while time.monotonic() < end and not problem:
            time.sleep(min(chance.uniform(0.3, 2.0), max(end - time.monotonic(), 0)))
            problem = next(filter(None, (w.violation() for w in workers.values())), "")
            victim = chance.choice(list(workers))
            if not problem and time.monotonic() < end and (not kills or chance.random() < 0.7):
                workers[victim].kill()
                done += workers[victim].done
                kills += 1
                workers[victim] = start(victim)
                _wait_until_it_holds_cores(workers[victim])
    finally:
        for worker in workers.values():
            problem = problem or worker.violation()
            worker.kill()
            done += worker.done
    return problem, done, kills


def _wait_until_it_holds_cores(worker: Worker) -> None:
    """Until it has said which; a process that fails or hangs instead is seen by its watcher."""
    while not worker.cores and not worker.violation():
        time.sleep(0.02)


def _left_taken(directory: str) -> str:
    """Whether some core cannot be had although every process is dead."""
    environment = {
        **os.environ,
        "NEURON_EMULATOR_RUNTIME_DIR": directory,
        "NEURON_EMULATOR_INSTANCE_TYPE": INSTANCE,
        "NEURON_RT_VISIBLE_CORES": f"0-{CORES - 1}",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-c", "from runtime.core import machine; machine()"]
    tried = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    return f"a core was left taken: {tried.stderr}" if tried.returncode else ""


if __name__ == "__main__":
    sys.exit(main())
