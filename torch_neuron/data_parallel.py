"""`torch_neuron.DataParallel`: that of `torch_neuronx`, under its own name."""

from __future__ import annotations

from typing import ClassVar

from torch_neuronx.xla_impl import data_parallel


class DataParallel(data_parallel.DataParallel):
    """Replicates a traced model on NeuronCores, and spreads the batch of each call over them.

    A model compiled with `--neuroncore-pipeline-cores` takes that many cores from each of
    `device_ids` on. See the class it is one of.
    Source: AWS Neuron documentation, torch.neuron.DataParallel API.
    """

    who: ClassVar[str] = "torch_neuron.DataParallel"
