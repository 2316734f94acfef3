"""A stand-in for the runtime: a NEFF here is JSON that names a few numpy operations."""

import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

Arrays = list[np.ndarray]
OPERATIONS: dict[str, Callable[[Arrays], Arrays]] = {
    "add": lambda arrays: [arrays[0] + arrays[1]],
    "double": lambda arrays: [array + array for array in arrays],
    "nothing": lambda arrays: [],
}
# bfloat16 travels as bytes: numpy alone does not know it
NUMPY_NAMES = {"bfloat16": "uint16"}

loaded: list["Handle"] = []
unloaded: list["Handle"] = []
released = threading.Event()
entered = threading.Semaphore(0)


def _raise(kind: str, message: str) -> None:
    raise {"value": ValueError, "runtime": RuntimeError, "key": KeyError}[kind](message)


@dataclass(eq=False)
class Handle:
    """One load of a JSON NEFF."""

    neff: memoryview
    metaneff: memoryview
    options: str
    inputs: tuple[tuple[str, str, tuple[int, ...]], ...]
    outputs: tuple[tuple[str, str, tuple[int, ...]], ...]
    program: dict
    kept: list[memoryview] = field(default_factory=list)
    answers: list[np.ndarray] | None = None

    def execute(self, inputs: tuple[memoryview, ...]) -> list[np.ndarray]:
        """Runs the operation that the NEFF names."""
        operation = self.program["op"]
        if operation == "fixed":  # preallocated answers: what is measured is the way here and back
            if self.answers is None:
                self.answers = [np.zeros(int(np.prod(s[2])) * 4, np.uint8) for s in self.outputs]
            return self.answers
        if operation == "raise":
            _raise(self.program["kind"], self.program["message"])
        if operation == "interrupt":
            raise KeyboardInterrupt
        if operation == "wait":
            entered.release()
            assert released.wait(timeout=30)
        if operation == "sleep":
            time.sleep(self.program["seconds"])
        if operation == "keep":
            self.kept.extend(inputs)
        if operation == "short":
            return [np.zeros(3, np.uint8)]
        arrays = [
            np.frombuffer(view, NUMPY_NAMES.get(dtype, dtype)).reshape(dims)
            for view, (_, dtype, dims) in zip(inputs, self.inputs, strict=True)
        ]
        results = OPERATIONS.get(operation, OPERATIONS["double"])(arrays)
        return [np.ascontiguousarray(r).reshape(-1).view(np.uint8) for r in results]

    def unload(self) -> None:
        """Notes that the model left its core."""
        unloaded.append(self)
        loaded.remove(self)


def load(neff: memoryview, metaneff: memoryview, options: str) -> Handle:
    """Reads the JSON; refuses what says so."""
    assert neff.readonly and metaneff.readonly and neff.ndim == 1
    # only a model's own bytes are JSON: padding may follow after a NUL
    text = bytes(neff[: neff.nbytes if neff.nbytes < 4096 else 4096]).split(b"\0")[0]
    program = json.loads(text)
    if "refuse" in program:
        _raise("runtime", program["refuse"])
    handle = Handle(neff, metaneff, options, *(
        tuple((n, d, tuple(s)) for n, d, s in program[k]) for k in ("inputs", "outputs")
    ), program=program)
    loaded.append(handle)
    return handle


def python_version() -> tuple[int, ...]:
    """The interpreter that runs this."""
    return sys.version_info[:2]
