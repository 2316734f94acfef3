"""A stand-in for the runtime: a NEFF here is JSON that names what to do with the inputs."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

Spec = tuple[str, str, tuple[int, ...]]
Arrays = list[np.ndarray]


@dataclass(eq=False)
class Handle:
    """One load of a JSON NEFF, with what happened to it."""

    neff: memoryview
    metaneff: memoryview
    options: str
    program: dict
    inputs: tuple[Spec, ...]
    outputs: tuple[Spec, ...]
    calls: int = 0
    kept: list[memoryview] = field(default_factory=list)
    cores: tuple[int, ...] = (0,)
    dynamic_batch: bool = False
    log: list[str] = field(default_factory=list)  # what was asked of it

    @property
    def batch(self) -> int:
        """The size of dimension 0 that all inputs and outputs share, or -1."""
        sizes = {dims[0] if dims else -1 for _, _, dims in (*self.inputs, *self.outputs)}
        return sizes.pop() if len(sizes) == 1 else -1

    def configure(self, options: str) -> bool:
        """Takes `dynamic_batch` from the options, or refuses where they say so."""
        given = json.loads(options or "{}")
        if "refuse" in given:
            raise ValueError(given["refuse"])
        self.options = options
        self.dynamic_batch = given.get("dynamic_batch", False)
        return self.dynamic_batch

    def load(self) -> None:
        """Puts the model back where it was placed last."""
        self.log.append("load")
        self.cores = self.cores or (0,)

    def place(self, start: int, count: int) -> None:
        """Moves the model."""
        self.log.append(f"place {start} {count}")
        if start > 7:
            raise ValueError(f"start_nc={start}")
        self.cores = tuple(range(start, start + count))

    def execute_batch(self, inputs: tuple[memoryview, ...], batch: int) -> list[np.ndarray]:
        """Runs the operation at once on tensors whose dimension 0 is `batch`."""
        self.log.append(f"batch {batch}")
        sized = tuple((name, dtype, (batch, *dims[1:])) for name, dtype, dims in self.inputs)
        return self._run(inputs, sized)

    def execute(self, inputs: tuple[memoryview, ...]) -> list[np.ndarray]:
        """Runs the operation that the NEFF names on the inputs."""
        return self._run(inputs, self.inputs)

    def _run(self, inputs: tuple[memoryview, ...], specs: tuple[Spec, ...]) -> list[np.ndarray]:
        self.calls += 1
        arrays = [
            np.frombuffer(view, _numpy_name(dtype)).reshape(dims)
            for view, (_, dtype, dims) in zip(inputs, specs, strict=True)
        ]
        self.kept.extend(inputs if self.program["op"] == "keep" else ())
        results = OPERATIONS[self.program["op"]](self, arrays)
        return [np.ascontiguousarray(result).reshape(-1).view(np.uint8) for result in results]

    def unload(self) -> None:
        """Notes that the model left its cores, for good or until it is loaded again."""
        self.log.append("unload")
        self.cores = ()
        if self in loaded:
            loaded.remove(self)


loaded: list[Handle] = []
entered = threading.Semaphore(0)
released = threading.Event()


def load(neff: memoryview, metaneff: memoryview, options: str) -> Handle:
    """Reads the JSON, which NUL bytes may follow, and refuses it where it says so."""
    assert neff.readonly and metaneff.readonly and neff.ndim == metaneff.ndim == 1
    program = json.loads(bytes(neff[:4096]).split(b"\0")[0])
    if "refuse" in program:
        raise RuntimeError(program["refuse"])
    inputs, outputs = (
        tuple((name, dtype, tuple(dims)) for name, dtype, dims in program[kind])
        for kind in ("inputs", "outputs")
    )
    handle = Handle(neff, metaneff, options, program, inputs, outputs)
    handle.configure(options)
    loaded.append(handle)
    return handle


asked: list[tuple[object, ...]] = []  # of the runtime itself


def initialize() -> None:
    """Notes that the runtime was asked to start."""
    asked.append(("initialize",))


def set_default_cores(start: int, count: int) -> None:
    """Notes the cores that were asked for."""
    asked.append(("cores", start, count))


def to_core(data: memoryview, core: int) -> np.ndarray:
    """A copy of the bytes."""
    asked.append(("to_core", len(data), core))
    return np.array(data)


def _numpy_name(dtype: str) -> str:
    # numpy alone knows neither: they travel as bytes of the same width
    return {"bfloat16": "uint16", "float8_e4m3fn": "uint8"}.get(dtype, dtype)


def _wait(handle: Handle, arrays: Arrays) -> Arrays:
    entered.release()
    assert released.wait(timeout=30)
    return arrays


def _sleep(handle: Handle, arrays: Arrays) -> Arrays:
    time.sleep(0.05)
    return arrays


def _fail(handle: Handle, arrays: Arrays) -> Arrays:
    kinds = {kind.__name__: kind for kind in (ValueError, RuntimeError, KeyError, MemoryError)}
    kinds |= {"NotImplementedError": NotImplementedError, "KeyboardInterrupt": KeyboardInterrupt}
    raise kinds[handle.program["error"]]("the message")


OPERATIONS: dict[str, Callable[[Handle, Arrays], Arrays]] = {
    "add": lambda handle, arrays: [arrays[0] + arrays[1]],
    "copy": lambda handle, arrays: [array.copy() for array in arrays],
    "double": lambda handle, arrays: [array + array for array in arrays],
    "count": lambda handle, arrays: [np.int64(handle.calls)],
    "keep": lambda handle, arrays: arrays,
    "short": lambda handle, arrays: [np.zeros(3, np.uint8)],
    "nothing": lambda handle, arrays: [],
    "wait": _wait,
    "sleep": _sleep,
    "fail": _fail,
}
