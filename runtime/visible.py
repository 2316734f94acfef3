"""Which NeuronCores a process asks for: NEURON_RT_VISIBLE_CORES and NEURON_RT_NUM_CORES."""

from __future__ import annotations

import re
from dataclasses import dataclass

from runtime.status import NeuronRuntimeError, Status

_PART = re.compile(r"(\d+)(?:-(\d+))?")
_GROUPS = re.compile(r"(\d+)(?:x(\d+))?")


@dataclass(frozen=True, slots=True)
class Request:
    """Certain cores, some number of cores, or (neither) all of them."""

    cores: range | None = None
    count: int = 0

    @property
    def exclusive(self) -> bool:
        """Whether the process asked for cores of its own."""
        return self.cores is not None or self.count > 0


def request(visible: str, number: str, total: int) -> Request:
    """What the two variables ask for on a machine of `total` cores; VISIBLE_CORES wins.

    Raises NeuronRuntimeError (NRT_INVALID) for text that is none, NRT_RESOURCE for cores that the
    machine does not have. Source: AWS Neuron documentation, runtime configuration.
    """
    if visible:
        cores = parse_visible_cores(visible)
        if cores[-1] >= total:
            raise _unavailable(f"nc{cores[0]}-nc{cores[-1]}", total, "NEURON_RT_VISIBLE_CORES")
        return Request(cores)
    if not re.fullmatch(r"\d+", number or "0"):
        raise _invalid(f"NEURON_RT_NUM_CORES must be a number of NeuronCores, got {number!r}")
    count = int(number or "0")
    if count > total:
        raise _unavailable(str(count), total, "NEURON_RT_NUM_CORES")
    return Request(count=count)


def parse_visible_cores(text: str) -> range:
    """An index, a range or a list of both (`0`, `3-6`, `3,4,5`, `3-5,6`): one after the other."""
    cores: list[int] = []
    for part in text.split(","):
        match = _PART.fullmatch(part.strip())
        if match is None:
            raise _invalid(
                "NEURON_RT_VISIBLE_CORES must be an index, a range or a list of both "
                f"(such as 0, 3-6, 3,4,5 or 3-5,6), got {text!r}"
            )
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last - first > 1 << 16:
            raise _invalid(f"NEURON_RT_VISIBLE_CORES: the range {part.strip()} is not increasing")
        cores += range(first, last + 1)
    if cores != list(range(cores[0], cores[0] + len(cores))):
        raise _invalid(f"NEURON_RT_VISIBLE_CORES must be contiguous and increasing, got {text!r}")
    return range(cores[0], cores[-1] + 1)


def cores_of_groups(text: str) -> int:
    """How many cores NEURONCORE_GROUP_SIZES names: `2,2`, `[2,2]`, `2x2` are four, in two groups.

    Raises NeuronRuntimeError (NRT_INVALID) for text that is none.
    """
    parts = [part.strip() for part in text.strip().removeprefix("[").removesuffix("]").split(",")]
    matches = [_GROUPS.fullmatch(part) for part in parts]
    found = [int(m[1]) * int(m[2] or 1) for m in matches if m]
    if len(found) < len(parts) or 0 in found:
        raise _invalid(
            "NEURONCORE_GROUP_SIZES must be sizes of groups of NeuronCores (such as 1,2 or [2,2] "
            f"or 1x4), got {text!r}"
        )
    return sum(found)


def _invalid(detail: str) -> NeuronRuntimeError:
    return NeuronRuntimeError("nrt_init", Status.NRT_INVALID, detail)


def _unavailable(requested: str, total: int, name: str) -> NeuronRuntimeError:
    return NeuronRuntimeError(
        "nrt_init",
        Status.NRT_RESOURCE,
        f"NeuronCore(s) not available - Requested:{requested} Available:{total} "
        f"({name}; the emulated instance has {total})",
    )
