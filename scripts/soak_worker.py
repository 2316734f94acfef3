"""One process of the soak: threads that load, call, move and unload models on cores of its own.

It says on standard output what it has done, a line of JSON each second; whatever the emulator does
that it must not ends it with a message and status 3.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
import traceback
from collections import Counter

import numpy as np

from hlo_frontend.hlo.parse import parse_module
from neff.compile import compile_module
from neff.container import write_neff
from neff.program import Kind, Program, Variable, Weight
from runtime.core import machine
from runtime.faults import inject_fault
from runtime.model import Model, load
from runtime.placement import cores
from runtime.status import NeuronRuntimeError, Status

SIZE = 16
WEIGHTS = np.arange(1, SIZE + 1, dtype=np.float32)
FAULTS = (Status.NRT_HW_ERROR, Status.NRT_RESOURCE, Status.NRT_TIMEOUT, Status.NRT_EXEC_NC_BUSY)
WRONG = 3


TEXT = f"""
HloModule soak
ENTRY main {{
  x = f32[2,{SIZE}] parameter(0)
  w = f32[2,{SIZE}] parameter(1)
  ROOT y = f32[2,{SIZE}] multiply(x, w)
}}
"""


def program() -> Program:
    """y = x * w, batch of 2."""
    weight = Weight.of(np.stack([WEIGHTS, WEIGHTS]))
    inputs = [Variable("x", weight.shape), Variable("w", weight.shape, Kind.WEIGHT, weight)]
    return compile_module(parse_module(TEXT), inputs, [0, 1]).program


class Soak:
    """What the threads of this process share: a model that some move while others call it."""

    def __init__(self, seed: int) -> None:
        self.data = write_neff(program())
        self.shared = load(self.data)
        self.done: Counter[str] = Counter()
        self.seed = seed
        self._counting = threading.Lock()

    def count(self, what: str) -> None:
        with self._counting:
            self.done[what] += 1

    def thread(self, number: int) -> None:
        """Do one thing after the other, for ever; the process ends where one goes wrong."""
        chance = random.Random(self.seed * 1000 + number)
        try:
            while True:
                chance.choices((self.call, self.batch, self.own, self.move, self.fault),
                               (60, 20, 10, 5, 5))[0](chance)  # fmt: skip
        except BaseException:  # noqa: BLE001 - told, and the end of the process
            print(json.dumps({"wrong": traceback.format_exc()}), flush=True)
            os._exit(WRONG)

    def call(self, chance: random.Random, model: Model | None = None) -> None:
        self._run(model or self.shared, chance.randrange(1000), 2, "call")

    def batch(self, chance: random.Random) -> None:
        self._run(self.shared, chance.randrange(1000), chance.randrange(10), "batch")

    def own(self, chance: random.Random) -> None:
        """A model of the thread's own, loaded, called and unloaded."""
        try:
            model = load(self.data, cores(-1, chance.choice((1, len(machine().cores)))))
        except NeuronRuntimeError as error:
            self._expect(error)
            return
        for _ in range(5):
            self.call(chance, model)
        model.unload()
        try:
            self._run(model, 1, 2, "call")
        except NeuronRuntimeError as error:
            if error.status is not Status.NRT_INVALID_HANDLE:
                raise
            self.count("own model")
            return
        raise AssertionError("an unloaded model ran")

    def move(self, chance: random.Random) -> None:
        every = machine().cores
        count = chance.randint(1, len(every))
        start = chance.randrange(len(every) - count + 1)
        try:
            self.shared.place(every[start : start + count])
            self.count("move")
        except NeuronRuntimeError as error:
            self._expect(error)

    def fault(self, chance: random.Random) -> None:
        call, status = chance.choice(("load", "execute")), chance.choice(FAULTS)
        with inject_fault(call, nth=chance.randint(1, 5), times=2, status=status):
            time.sleep(0.01)
        with inject_fault("execute", delay=0.005):
            time.sleep(0.01)

    def _run(self, model: Model, value: int, rows: int, what: str) -> None:
        x = np.full((rows, SIZE), value, np.float32)
        view = [x.reshape(-1).view(np.uint8).data]
        try:
            made = model.execute(view) if what == "call" else model.execute_batch(view, rows)
        except NeuronRuntimeError as error:
            self._expect(error)
            return
        if not np.array_equal(made[0].view(np.float32).reshape(rows, SIZE), x * WEIGHTS):
            raise AssertionError(f"wrong result for {value}: {made[0].view(np.float32)}")
        self.count(what)

    def _expect(self, error: NeuronRuntimeError) -> None:
        """A fault that was asked for is no fault of the emulator."""
        if "an injected fault" not in str(error):
            raise error
        self.count("fault")


def main(seed: int, threads: int) -> None:
    soak = Soak(seed)
    held = [c.position for c in machine().cores]
    for number in range(threads):
        threading.Thread(target=soak.thread, args=(number,), daemon=True).start()
    while True:
        print(json.dumps({"cores": held, "done": soak.done}), flush=True)
        time.sleep(0.5)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
