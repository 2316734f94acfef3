"""What the C++ class `neuron::Model` calls in Python: see runtime/native/bridge.h."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, fields
from functools import partial

import numpy as np

from neff.container import Neff
from neff.program import Kind
from runtime import placement
from runtime.background import in_background
from runtime.core import NeuronCore, in_child, machine, refuse_child
from runtime.executable import specs
from runtime.model import Model, check, load_file, read
from runtime.nrt.tensor import allocated
from runtime.placement import Placement


@dataclass(frozen=True, slots=True)
class Options:
    """What is kept with a saved model, as JSON."""

    dynamic_batch: bool = False
    lazy_load: bool = False  # load at the first call
    async_load: bool = False  # load in the background; the first call waits

    @staticmethod
    def parse(text: str) -> Options:
        given, known = json.loads(text), {f.name for f in fields(Options)}
        if not isinstance(given, dict) or given.keys() - known:
            raise ValueError(f"neuron::Model: options may be {sorted(known)}, got {text}")
        return Options(**given)


class Handle:
    """A NEFF that is loaded, or will be when it is first needed."""

    def __init__(self, file: Neff, options: str) -> None:
        self._file = file
        self.inputs, self.outputs = specs(file.program)
        self._placement = placement.default()
        self.dynamic_batch = False
        self.configure(options)
        self._loading = threading.RLock()
        self._model: Model | None = None
        self._background: Future[Model] | None = None
        lazy = Options.parse(options).lazy_load
        if lazy or self._in_background:
            check(file)
        if lazy:
            return
        if self._in_background:
            self._load_in_background(self._placement)
        else:
            self.load()

    @property
    def cores(self) -> tuple[int, ...]:
        """The cores the model is on; none before it is loaded."""
        background, model = self._background, self._model
        if background is not None and background.done() and background.exception() is None:
            model = background.result()
        return model.cores if model is not None else ()

    @property
    def batch(self) -> int:
        """The size of dimension 0 of every input and output; -1 where they differ."""
        sizes = {spec[2][0] if spec[2] else -1 for spec in (*self.inputs, *self.outputs)}
        return sizes.pop() if len(sizes) == 1 else -1

    def configure(self, options: str) -> bool:
        """Change how calls and later loads go on; returns whether calls may have any batch.

        Raises ValueError for an unknown option, and for dynamic batching of a model whose tensors
        do not all have the batch in dimension 0, or that keeps states between calls.
        """
        asked = Options.parse(options)
        dynamic = asked.dynamic_batch
        if dynamic and (self.batch < 1 or not self.inputs):
            shapes = [f"{name} {list(sizes)}" for name, _, sizes in (*self.inputs, *self.outputs)]
            raise ValueError(
                "dynamic_batch: dimension 0 of all inputs and outputs must be the batch, got "
                + ", ".join(shapes)
            )
        states = [v.name for v in self._file.program.inputs if v.kind is Kind.STATE]
        if dynamic and states:
            raise ValueError(
                "dynamic_batch: a model with states must be called as it was traced, for every "
                f"part of a batch would update them; it has {', '.join(states)}"
            )
        self.dynamic_batch = dynamic
        self._in_background = asked.async_load
        return dynamic

    def load(self) -> Model:
        """Load where that was not done before; wait where it is being done.

        An error of a load in the background is raised once: the next call loads anew.
        """
        refuse_child("nrt_load")  # the lock may be held by a thread of the parent's
        with self._loading:
            background, self._background = self._background, None
            if background is not None:
                self._model = background.result()
            if self._model is None:
                self._model = load_file(self._file, self._cores(self._placement))
            return self._model

    def place(self, start: int, count: int) -> None:
        """Load on these cores (see runtime.placement.cores), or move there."""
        self.place_on(partial(placement.cores, start, count))

    def place_on(self, where: Placement) -> None:
        """Load where `where` says, or move there; later loads go there too."""
        refuse_child("nrt_load")
        with self._loading:
            if self._model is None and self._in_background:
                self._load_in_background(where)
                self._placement = where
            elif self._model is None and self._background is None:
                self._placement = where
                self.load()
            else:
                self.load().place(self._cores(where))
                self._placement = where

    def execute(self, inputs: Sequence[memoryview]) -> list[np.ndarray]:
        """See Model.execute."""
        return (self._model or self.load()).execute(inputs)

    def execute_batch(self, inputs: Sequence[memoryview], batch: int) -> list[np.ndarray]:
        """See Model.execute_batch."""
        return (self._model or self.load()).execute_batch(inputs, batch)

    def unload(self) -> None:
        """Give the device's memory back; a later call loads the model anew."""
        if in_child():  # nothing of the parent's is the child's to give back
            return
        with self._loading:
            if self._background is not None:
                background, self._background = self._background, None
                if background.exception() is None:  # waits until it has ended
                    self._model = background.result()
            if self._model is not None:
                self._model.unload()
                self._model = None

    def _cores(self, where: Placement) -> Sequence[NeuronCore]:
        """The cores that a placement names for this model."""
        machine(self._file.program.target)  # where nothing else was asked for, one that runs it
        return where(self._file.header.num_tpb)

    def _load_in_background(self, where: Placement) -> None:
        """Load, or move what is being loaded, in a thread."""
        cores = self._cores(
            where
        )  # now, so that models take their turns in the order of their loads
        before = self._background
        self._background = in_background(
            "neuron-load", lambda: _loaded_or_moved(self._file, before, cores)
        )


def _loaded_or_moved(
    file: Neff, before: Future[Model] | None, cores: Sequence[NeuronCore]
) -> Model:
    """A model on these cores: the one that is being loaded, where there is one."""
    if before is None or before.exception() is not None:
        return load_file(file, cores)
    model = before.result()
    try:
        model.place(cores)
    except BaseException:
        model.unload()
        raise
    return model


def load(neff: memoryview, metaneff: memoryview, options: str) -> Handle:
    """Load a NEFF whose bytes the caller keeps alive for as long as the handle."""
    return Handle(read(neff), options or "{}")


def initialize() -> None:
    """Take the NeuronCores of this process, as the first load does."""
    placement.all_cores()


def to_core(data: memoryview, core: int) -> np.ndarray:
    """A copy of bytes, in the account of a core's memory for as long as anything refers to it."""
    (home,) = placement.cores(core, 1)
    made = allocated(len(data), home)
    made[:] = np.frombuffer(data, np.uint8)
    return made


def set_default_cores(start: int, count: int) -> None:
    """Load models on these cores where nothing else is asked for."""
    placement.set_default(partial(placement.cores, start, count))
