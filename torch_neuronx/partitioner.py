"""`torch_neuronx.PartitionerConfig`: what of a model may run on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

# What `torch_neuronx.trace` takes that makes sense for a part of a model.
TRACE_KEYWORDS = ("compiler_args", "compiler_workdir", "cpu_backend", "inline_weights_to_neff")
ANALYZE_KEYWORDS = ("additional_ignored_ops", "compiler_workdir", "max_workers")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionerConfig:
    """Have `torch_neuronx.trace` leave to the CPU what Neuron does not support.

    `trace_kwargs` go to the trace of each Neuron subgraph. At least the fraction
    `model_support_percentage_threshold` of the operators must be supported. Each subgraph, on
    either device, must have `min_subgraph_size` operators, and there must be at most
    `max_subgraph_count` of them; -1 is no limit. `ops_to_partition` are operators
    (`aten::log_softmax`) that go to the CPU though they are supported. `analyze_parameters` go to
    `torch_neuronx.analyze`: `compiler_workdir`, `additional_ignored_ops` (taken for supported
    without a check) and `max_workers`.

    Raises TypeError and ValueError for values that cannot be right.
    Source: AWS Neuron documentation, PyTorch Neuron tracing API for inference.
    """

    trace_kwargs: Mapping[str, Any] | None = None
    model_support_percentage_threshold: float = 0.5
    min_subgraph_size: int = -1
    max_subgraph_count: int = -1
    ops_to_partition: AbstractSet[str] | None = None
    analyze_parameters: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        _require_fraction(self.model_support_percentage_threshold)
        _require_limit("min_subgraph_size", self.min_subgraph_size)
        _require_limit("max_subgraph_count", self.max_subgraph_count)
        _require_operators(self.ops_to_partition)
        _require_keys("trace_kwargs", self.trace_kwargs, TRACE_KEYWORDS)
        _require_keys("analyze_parameters", self.analyze_parameters, ANALYZE_KEYWORDS)


def _require_fraction(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(
            "PartitionerConfig: model_support_percentage_threshold must be a number from 0 to 1, "
            f"got {value!r}"
        )


def _require_limit(name: str, value: object) -> None:
    if type(value) is not int or (value < 1 and value != -1):
        raise ValueError(f"PartitionerConfig: {name} must be -1 or at least 1, got {value!r}")


def _require_operators(operators: object) -> None:
    if operators is None:
        return
    if not isinstance(operators, AbstractSet):
        kind = type(operators).__name__
        raise TypeError(f"PartitionerConfig: ops_to_partition must be a set, got {kind}")
    for name in operators:
        if not isinstance(name, str) or "::" not in name:
            raise ValueError(
                "PartitionerConfig: ops_to_partition must hold names of operators such as "
                f"'aten::sort', got {name!r}"
            )


def _require_keys(name: str, given: object, known: tuple[str, ...]) -> None:
    if given is None:
        return
    if not isinstance(given, Mapping):
        raise TypeError(f"PartitionerConfig: {name} must be a dict, got {type(given).__name__}")
    if wrong := [key for key in given if key not in known]:
        raise ValueError(
            f"PartitionerConfig: {name} may have {', '.join(known)}, "
            f"got {', '.join(map(repr, wrong))}"
        )
