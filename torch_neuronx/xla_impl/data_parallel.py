"""`torch_neuronx.DataParallel`: a traced model on many NeuronCores, part of the batch on each."""

from __future__ import annotations

import copy
import threading
import traceback
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from typing import Any, ClassVar

import torch
from torch.utils import _pytree as pytree

from runtime import placement
from torch_neuronx import calls
from torch_neuronx.models import NeuronModel, cores_at_once, neuron_models


class DataParallel(torch.nn.Module):
    """Replicates a traced model on NeuronCores, and spreads the batch of each call over them.

    `device_ids` are indices of the process's NeuronCores, or strings such as "nc:1"; by default
    all of them. A pipeline takes consecutive cores from each index on, which by default leave no
    gaps. `dim` is the batch's dimension in every input and output. Where it is 0, parts of a
    batch may have any size (dynamic batching), unless `set_dynamic_batching` is False or
    `disable_dynamic_batching` is called: then a part must have the size that was traced. A model
    that dynamic batching cannot serve warns and is held to that as well.

    `num_workers` threads (by default two for each core) run the parts, each `split_size` long (by
    default the batch divided by the number of cores). The model itself is moved to the first core;
    its replicas share its NEFF and executable.

    Raises ValueError for cores the process does not have and modules without a Neuron model,
    RuntimeError where the runtime cannot be initialized. Calls raise ValueError where inputs do not
    fit, and what a part raised, with the core it ran on: "Caught RuntimeError on neuroncore 3."
    Source: AWS Neuron documentation, PyTorch Neuron DataParallel API.
    """

    who: ClassVar[str] = "torch_neuronx.DataParallel"

    def __init__(
        self,
        model: torch.jit.ScriptModule,
        device_ids: Sequence[int | str] | None = None,
        dim: int = 0,
        set_dynamic_batching: bool = True,
    ) -> None:
        super().__init__()
        models = neuron_models(model)
        if not models:
            raise ValueError(f"{self.who}: the model must come from a Neuron trace")
        self.device_ids = self._indices(device_ids, cores_at_once(models))
        self.dim = dim
        self.split_size: int | None = None
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._workers = 2 * len(self.device_ids)
        # Not submodules: replicas share one set of weights, which state_dict must not repeat.
        self._replicas = [model, *(_replica(model, device) for device in self.device_ids[1:])]
        for neuron_model in models:
            neuron_model.set_neuron_devices(self.device_ids[0], -1)
        self.dynamic_batching = set_dynamic_batching and dim == 0 and self._batched_dynamically()

    @property
    def num_workers(self) -> int:
        return self._workers

    @num_workers.setter
    def num_workers(self, workers: int) -> None:
        if workers < 1:
            raise ValueError(f"{self.who}: num_workers must be at least 1, got {workers}")
        with self._lock:
            self._workers = workers
            self._pool = None  # calls that use the old threads keep them until they end

    def disable_dynamic_batching(self) -> None:
        """Hold every part of a batch to the size that was traced."""
        for replica in self._replicas:
            calls.set_dynamic_batching(replica, False)
        self.dynamic_batching = False

    def forward(self, *inputs: Any, **keywords: Any) -> Any:
        leaves, structure = pytree.tree_flatten((inputs, keywords))
        size = self._batch(leaves)
        step = self.split_size or max(1, size // len(self.device_ids))
        if not self.dynamic_batching:
            self._check_parts(leaves, size, step)

        def run(number: int, start: int) -> Any:
            which = number % len(self._replicas)
            part = [_narrowed(leaf, self.dim, start, step) for leaf in leaves]
            given, named = pytree.tree_unflatten(part, structure)
            replica = self._replicas[which]
            return _attributed(lambda: replica(*given, **named), self.device_ids[which])

        starts = range(0, max(size, 1), step)
        if len(starts) == 1:
            return run(0, 0)
        pool = self._threads()
        parts = [pool.submit(run, number, start) for number, start in enumerate(starts)]
        wait(parts)
        return _joined([part.result() for part in parts], self.dim)

    def _batched_dynamically(self) -> bool:
        """Whether dynamic batching serves the model; it is then enabled."""
        try:
            for replica in self._replicas:
                calls.dynamic_batch(replica)
        except ValueError as error:
            warnings.warn(
                f"{self.who}: dynamic batching cannot be enabled: {error}",
                stacklevel=3,
            )
            return False
        return True

    def _indices(self, device_ids: Sequence[int | str] | None, size: int) -> list[int]:
        """The indices that device ids stand for, or with None those from which on models of so
        many cores fill the process's."""
        try:
            available = len(placement.all_cores(size))
        except RuntimeError as error:
            raise RuntimeError(
                "Neuron runtime cannot be initialized; cannot determine the number of available "
                f"NeuronCores: {error}"
            ) from error
        if device_ids is None:
            return list(range(0, available, size))
        if not device_ids:
            raise ValueError(f"{self.who}: device_ids must name a NeuronCore, got []")
        return [self._index(device, len(placement.all_cores())) for device in device_ids]

    def _index(self, device: int | str, available: int) -> int:
        text = device.removeprefix("nc:") if isinstance(device, str) else device
        if isinstance(text, bool) or not str(text).isdigit() or int(text) >= available:
            raise ValueError(
                f"{self.who}: a device id must be an index below {available}, or 'nc:' and one, "
                f"got {device!r}"
            )
        return int(text)

    def _batch(self, leaves: Sequence[Any]) -> int:
        """The size of the inputs' batch, which they must share."""
        tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
        sizes = {t.shape[self.dim] if -t.dim() <= self.dim < t.dim() else None for t in tensors}
        if len(sizes) != 1 or None in sizes:
            shapes = ", ".join(str(list(t.shape)) for t in tensors) or "none"
            raise ValueError(
                f"{self.who}: all inputs must have the batch in dimension {self.dim}, got {shapes}"
            )
        return next(size for size in sizes if size is not None)

    def _check_parts(self, leaves: Sequence[Any], size: int, step: int) -> None:
        """Refuse parts of another size than was traced, where that can be known here: in a model
        that is one NEFF."""
        models = neuron_models(self._replicas[0])
        shape = _traced_shape(models[0]) if len(models) == 1 else []
        tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
        if len(shape) != tensors[0].dim():
            return
        traced = shape[self.dim]
        if step != traced or size % step:
            raise ValueError(
                f"{self.who}: without dynamic batching, each part of a batch must "
                f"have the size that was traced, {traced} in dimension {self.dim}; got a batch of "
                f"{size} in parts of {step} on {len(self.device_ids)} NeuronCores"
            )

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._workers, "neuron-data-parallel")
            return self._pool


def _replica(model: torch.jit.ScriptModule, device: int) -> torch.jit.ScriptModule:
    """A copy of a model on a core. The NEFF, and with it the weights, are shared."""
    with placement.placing_here(partial(placement.cores, device, -1)):
        replica = copy.deepcopy(model)
    for neuron_model in neuron_models(replica):
        if calls.has_option(neuron_model, "lazy_load"):
            neuron_model.set_neuron_devices(device, -1)
    return replica


def _traced_shape(model: NeuronModel) -> list[int]:
    """The shape of a Neuron model's first input."""
    from neff.metaneff import MetaNeff

    meta = MetaNeff.FromString(model.metaneff().numpy().tobytes())
    return list(meta.input_tensors[0].shape)


def _narrowed(leaf: Any, dim: int, start: int, step: int) -> Any:
    if not isinstance(leaf, torch.Tensor):
        return leaf
    return leaf.narrow(dim, start, min(step, leaf.shape[dim] - start))


def _joined(results: list[Any], dim: int) -> Any:
    """The results of the parts, nested as each is, as one."""
    flattened = [pytree.tree_flatten(result) for result in results]
    columns = zip(*(leaves for leaves, _ in flattened), strict=True)
    return pytree.tree_unflatten([torch.cat(parts, dim) for parts in columns], flattened[0][1])


def _attributed(call: Callable[[], Any], device: int) -> Any:
    """Run a part; what it raises says on which core."""
    try:
        return call()
    except Exception as error:
        kind = calls.BatchError if isinstance(error, ValueError) else RuntimeError
        raise kind(
            f"Caught {type(error).__name__} on neuroncore {device}.\n"
            f"Original {traceback.format_exc()}"
        ) from error
