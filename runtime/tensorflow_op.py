"""What the TensorFlow operator NeuronOp calls in Python: see runtime/native/neuron_op.cc."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from runtime import placement
from runtime.core import NeuronCore, machine, refuse_child
from runtime.kernels.kind import UnsupportedInstructionError
from runtime.model import Model, load_file, read
from runtime.status import NeuronRuntimeError, Status

# TensorFlow's status codes.
OK, INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 0, 3, 8, 12, 13, 14
DEADLINE_EXCEEDED = 4

# By the runtime's status; any other is INTERNAL.
CODES: dict[Status, int] = {
    Status.NRT_INVALID: INVALID_ARGUMENT,
    Status.NRT_UNSUPPORTED_NEFF_VERSION: INVALID_ARGUMENT,
    Status.NRT_EXEC_BAD_INPUT: INVALID_ARGUMENT,
    Status.NRT_LOAD_NOT_ENOUGH_NC: RESOURCE_EXHAUSTED,
    Status.NRT_RESOURCE: RESOURCE_EXHAUSTED,
    Status.NRT_FAIL_HOST_MEM_ALLOC: RESOURCE_EXHAUSTED,
    Status.NRT_TIMEOUT: DEADLINE_EXCEEDED,
    Status.NRT_UNINITIALIZED: UNAVAILABLE,
    Status.NRT_CLOSED: UNAVAILABLE,
}


def _answering(function: Callable[..., Any]) -> Callable[..., tuple[int, Any]]:
    """A function that returns TensorFlow's status and its result, or what went wrong."""

    @wraps(function)
    def answer(*arguments: Any) -> tuple[int, Any]:
        try:
            return OK, function(*arguments)
        except NeuronRuntimeError as error:
            return CODES.get(error.status, INTERNAL), str(error)
        except UnsupportedInstructionError as error:
            return UNIMPLEMENTED, str(error)
        except ValueError as error:
            return INVALID_ARGUMENT, str(error)
        except MemoryError:
            return RESOURCE_EXHAUSTED, "not enough host memory"

    return answer


class Handle:
    """A NEFF on its cores, as one node of a TensorFlow graph holds it."""

    def __init__(self, model: Model) -> None:
        self._model = model

    @_answering
    def execute(self, inputs: Sequence[memoryview]) -> list[np.ndarray]:
        """See Model.execute."""
        return self._model.execute(inputs)

    @_answering
    def execute_batch(
        self,
        inputs: Sequence[memoryview],
        shapes: Sequence[tuple[int, ...]],
        batched: Sequence[int],
        batch: int,
    ) -> list[np.ndarray]:
        """Run a batch that is not the compiled one: inputs of another size in dimension 0 are cut
        in chunks, those of the compiled shape go whole to each; the last chunk is padded.

        `batched` has 0 for an output whose dimension 0 is the batch, else -1.
        Raises ValueError where the compiled inputs and outputs have no batch size in common.
        """
        model = self._model
        compiled = [s.dims for s in model.input_shapes]
        cut = [tuple(g) != c for g, c in zip(shapes, compiled, strict=True)]
        size = _compiled_batch(
            [c for c, differs in zip(compiled, cut, strict=True) if differs],
            [s.dims for s in model.output_shapes],
            batched,
        )
        if all(cut):
            return model.execute_batch(inputs, batch)
        return self._in_chunks(inputs, cut, batch, size)

    def _in_chunks(
        self, inputs: Sequence[memoryview], cut: Sequence[bool], batch: int, size: int
    ) -> list[np.ndarray]:
        parts: list[list[np.ndarray]] = []
        for first in range(0, batch, size):
            number = min(size, batch - first)
            given = [
                _chunk(view, first, number, batch, size) if differs else view
                for view, differs in zip(inputs, cut, strict=True)
            ]
            made = self._model.execute(given)
            parts.append([o[: o.size // size * number] for o in made])
        return [np.concatenate(column) for column in zip(*parts, strict=True)]

    def unload(self) -> None:
        """Give the cores' memory back."""
        self._model.unload()


def _compiled_batch(
    inputs: Sequence[tuple[int, ...]], outputs: Sequence[tuple[int, ...]], batched: Sequence[int]
) -> int:
    """The batch size of compiled shapes, which all of `inputs` and `outputs` must have."""
    for n, (dims, axis) in enumerate(zip(outputs, batched, strict=True)):
        if axis != 0:
            raise ValueError(
                f"Output #{n} has no batch in dimension 0, got the compiled shape {list(dims)}; "
                "the batch must be the compiled one"
            )
    sizes = {dims[0] for dims in (*inputs, *outputs)}
    if len(sizes) != 1:
        raise ValueError(f"Inconsistent NEFF batch sizes: {sorted(sizes)}")
    return sizes.pop()


def _chunk(view: memoryview, first: int, number: int, batch: int, size: int) -> memoryview:
    """Rows of a batch, filled up with zeros to the size that was compiled."""
    rows = np.frombuffer(view, np.uint8).reshape(batch, -1)
    whole = np.zeros((size, rows.shape[1]), np.uint8)
    whole[:number] = rows[first : first + number]
    return whole.reshape(-1).data


@_answering
def load(neff: memoryview, copies: int, group: int, wanted: int) -> Handle:
    """Load a NEFF, whose bytes the caller keeps for as long as the handle.

    It goes on `wanted` cores from the first on, where that is not 0; else on a group of `group`
    cores, where that is more than one; else on as many as are visible, at most `copies`, from the
    next in turn on.
    """
    refuse_child("nrt_load")
    file = read(neff)
    machine(file.program.target)  # where none was asked for, one that runs it
    return Handle(load_file(file, _cores(copies, group, wanted)))


def _cores(copies: int, group: int, wanted: int) -> Sequence[NeuronCore]:
    try:
        if wanted > 0:
            return placement.cores(0, wanted)
        if group > 1:
            return placement.cores(-1, group)
    except ValueError as error:
        raise NeuronRuntimeError("nrt_load", Status.NRT_LOAD_NOT_ENOUGH_NC, str(error)) from error
    every = machine().cores
    number = min(max(copies, 1), len(every))
    if number == len(every):
        return every
    first = every.index(machine().next_cores(1)[0])
    return [every[(first + n) % len(every)] for n in range(number)]
