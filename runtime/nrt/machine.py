"""The machine and the library, as nrt.h has them: counts, memory, instance, statuses, versions."""

from __future__ import annotations

from runtime import core
from runtime.core import machine
from runtime.layout import layout
from runtime.nrt.state import core_of
from runtime.nrt.types import FAMILIES, SIZES, InstanceInfo, MemoryStats
from runtime.settings import setting
from runtime.status import Status
from runtime.version import RUNTIME_VERSION
from runtime.visible import request

NRT_MAJOR_VERSION, NRT_MINOR_VERSION = (int(part) for part in RUNTIME_VERSION.split(".")[:2])


def nrt_get_total_vnc_count() -> int:
    """The logical NeuronCores of the machine; may be asked before nrt_init."""
    return layout().cores


def nrt_get_total_nc_count() -> int:
    """The physical NeuronCores of the machine; may be asked before nrt_init."""
    return layout().instance.cores


def nrt_get_visible_vnc_count() -> int:
    """The logical cores of this process; may be asked before nrt_init, and then takes none."""
    if core.initialized():
        return len(machine().cores)
    total = nrt_get_total_vnc_count()
    asked = request(setting("NEURON_RT_VISIBLE_CORES"), setting("NEURON_RT_NUM_CORES"), total)
    return len(asked.cores) if asked.cores is not None else asked.count or total


def nrt_get_visible_nc_count() -> int:
    """The physical cores of this process; may be asked before nrt_init, and then takes none."""
    return nrt_get_visible_vnc_count() * layout().logical


def nrt_get_vnc_memory_stats(vnc: int) -> MemoryStats:
    """What is in use of a core's device memory."""
    memory = core_of("nrt_get_vnc_memory_stats", vnc).memory
    return MemoryStats(memory.total, memory.limit)


def nrt_get_instance_info() -> InstanceInfo:
    """The emulated instance; may be asked before nrt_init."""
    here = layout()
    family, size = here.instance_type.split(".")
    revision = f"v{here.instance.core}"
    return InstanceInfo(FAMILIES[family], SIZES[size], f"NeuronCore-{revision}", revision)


def nrt_get_status_as_str(status: int) -> str:
    """The name of a status. Raises ValueError for a number that is none."""
    return Status(status).name


def nrt_get_version() -> tuple[int, int, int]:
    """Major, minor and patch version of the runtime interface."""
    major, minor, patch = map(int, RUNTIME_VERSION.split("."))
    return major, minor, patch
