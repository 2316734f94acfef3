"""`torch_neuronx.DataParallel`: a traced model on several NeuronCores, a share of the batch on each."""

from __future__ import annotations

import copy
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch.utils import _pytree as pytree

from runtime import placement
from torch_neuronx import calls
from torch_neuronx.models import neuron_models


class DataParallel(torch.nn.Module):
    """Replicates a traced model on NeuronCores, and spreads the batch of each call over them.

    `device_ids` are indices of the process's NeuronCores, or strings such as "nc:1"; by default
    all of them. `dim` is the batch's dimension in every input and output. Where it is 0, parts of a
    batch may have any size (dynamic batching), unless `set_dynamic_batching` is False or
    `disable_dynamic_batching` is called: then a part must have the size that was traced.

    `num_workers` threads (by default two for each core) run the parts, each `split_size` long (by
    default the batch divided by the number of cores).
    Source: AWS Neuron documentation, PyTorch Neuron DataParallel API.
    """

    def __init__(
        self,
        model: torch.jit.ScriptModule,
        device_ids: Sequence[int | str] | None = None,
        dim: int = 0,
        set_dynamic_batching: bool = True,
    ) -> None:
        super().__init__()
        if not neuron_models(model):
            raise ValueError("torch_neuronx.DataParallel: the model must come from a Neuron trace")
        available = len(placement.all_cores())
        wanted = range(available) if device_ids is None else device_ids
        self.device_ids = [_index(device, available) for device in wanted]
        if not self.device_ids:
            raise ValueError("torch_neuronx.DataParallel: device_ids must name a NeuronCore")
        self.dim = dim
        self.dynamic_batching = False
        self.split_size: int | None = None
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._workers = 2 * len(self.device_ids)
        # Not submodules: replicas share one set of weights, which state_dict must not repeat.
        self._replicas = [model, *(copy.deepcopy(model) for _ in self.device_ids[1:])]
        for replica, device in zip(self._replicas, self.device_ids, strict=True):
            for neuron_model in neuron_models(replica):
                neuron_model.set_neuron_devices(device, 1)
        if set_dynamic_batching and dim == 0:
            self._replicas = [calls.dynamic_batch(replica) for replica in self._replicas]
            self.dynamic_batching = True

    @property
    def num_workers(self) -> int:
        return self._workers

    @num_workers.setter
    def num_workers(self, workers: int) -> None:
        if workers < 1:
            raise ValueError(f"DataParallel: num_workers must be at least 1, got {workers}")
        with self._lock:
            self._workers = workers
            if self._pool is not None:
                self._pool.shutdown(wait=True)
                self._pool = None

    def disable_dynamic_batching(self) -> None:
        """Hold every part of a batch to the size that was traced."""
        for replica in self._replicas:
            calls.set_dynamic_batching(replica, False)
        self.dynamic_batching = False

    def forward(self, *inputs: Any) -> Any:
        leaves, structure = pytree.tree_flatten(inputs)
        size = self._batch(leaves)
        step = self.split_size or max(1, size // len(self.device_ids))
        starts = range(0, max(size, 1), step)

        def run(number: int) -> Any:
            part = [_narrowed(leaf, self.dim, starts[number], step) for leaf in leaves]
            which = number % len(self._replicas)
            return _attributed(
                lambda: self._replicas[which](*pytree.tree_unflatten(part, structure)),
                self.device_ids[which],
            )

        if len(starts) == 1:
            return run(0)
        return _joined(list(self._threads().map(run, range(len(starts)))), self.dim)

    def _batch(self, leaves: Sequence[Any]) -> int:
        """The size of the inputs' batch, which they must share."""
        sizes = {leaf.shape[self.dim] for leaf in leaves if isinstance(leaf, torch.Tensor)}
        if len(sizes) != 1:
            raise ValueError(
                f"torch_neuronx.DataParallel: dimension {self.dim} of all inputs must be the batch, "
                f"got sizes {sorted(sizes)}"
            )
        return sizes.pop()

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._workers, "neuron-data-parallel")
            return self._pool


def _index(device: int | str, available: int) -> int:
    """The index that a device id stands for."""
    text = device.removeprefix("nc:") if isinstance(device, str) else device
    if isinstance(text, bool) or not str(text).isdigit() or int(text) >= available:
        raise ValueError(
            f"torch_neuronx.DataParallel: a device id must be an index below {available}, or 'nc:' "
            f"and one, got {device!r}"
        )
    return int(text)


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
        original = traceback.format_exc()
        raise type(error)(
            f"Caught {type(error).__name__} on neuroncore {device}.\nOriginal {original}"
        ) from error
