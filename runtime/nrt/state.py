"""Whether the runtime is initialized: nrt_init, nrt_close, and what other calls ask first."""

from __future__ import annotations

from collections.abc import Sequence

from runtime import core
from runtime.core import NeuronCore, machine, refuse_child
from runtime.model import unload_all
from runtime.nrt.types import Framework
from runtime.status import NeuronRuntimeError, Status

_closed = False


def nrt_init(framework: int = Framework.NO_FW, fw_version: str = "", fal_version: str = "") -> None:
    """Take this process's NeuronCores, as the environment says. Loading a model does so too."""
    global _closed
    if framework not in set(Framework) - {Framework.INVALID}:
        raise NeuronRuntimeError(
            "nrt_init", Status.NRT_INVALID, f"framework must be a known one, got {framework}"
        )
    machine()
    _closed = False


def nrt_close() -> None:
    """Unload every model and give the NeuronCores back. A later nrt_init starts anew."""
    global _closed
    cores_of("nrt_close")
    unload_all()
    _closed = True
    core.close()


def cores_of(call: str) -> Sequence[NeuronCore]:
    """The cores of this process. Raises NeuronRuntimeError outside nrt_init and nrt_close."""
    refuse_child(call)
    if not core.initialized():
        status = Status.NRT_CLOSED if _closed else Status.NRT_UNINITIALIZED
        raise NeuronRuntimeError(call, status, "call nrt_init first")
    return machine().cores


def core_of(call: str, vnc: int) -> NeuronCore:
    cores = cores_of(call)
    if not 0 <= vnc < len(cores):
        raise NeuronRuntimeError(
            call, Status.NRT_INVALID, f"Could not find VNC id {vnc} (0 to {len(cores) - 1})"
        )
    return cores[vnc]
