"""Status codes of the Neuron runtime, as `nrt_status.h` publishes them, and the error they make."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """What a call into the runtime ends with."""

    NRT_SUCCESS = 0
    NRT_FAILURE = 1
    NRT_INVALID = 2
    NRT_INVALID_HANDLE = 3
    NRT_RESOURCE = 4
    NRT_TIMEOUT = 5
    NRT_HW_ERROR = 6
    NRT_QUEUE_FULL = 7
    NRT_LOAD_NOT_ENOUGH_NC = 9
    NRT_UNSUPPORTED_NEFF_VERSION = 10
    NRT_FAIL_HOST_MEM_ALLOC = 11
    NRT_UNINITIALIZED = 13
    NRT_CLOSED = 14
    NRT_QUEUE_EMPTY = 15
    NRT_EXEC_UNIT_UNRECOVERABLE = 101
    NRT_EXEC_BAD_INPUT = 1002
    NRT_EXEC_COMPLETED_WITH_NUM_ERR = 1003
    NRT_EXEC_COMPLETED_WITH_ERR = 1004
    NRT_EXEC_NC_BUSY = 1005
    NRT_EXEC_OOB = 1006
    NRT_COLL_PENDING = 1100
    NRT_EXEC_HW_ERR_COLLECTIVES = 1200
    NRT_EXEC_HW_ERR_HBM_UE = 1201
    NRT_EXEC_HW_ERR_NC_UE = 1202
    NRT_EXEC_HW_ERR_DMA_ABORT = 1203
    NRT_EXEC_SW_NQ_OVERFLOW = 1204
    NRT_EXEC_HW_ERR_REPAIRABLE_HBM_UE = 1205
    NRT_NETWORK_PROXY_FAILURE = 1206


# The sentence for each; where AWS's TensorFlow adaptor (Apache-2.0) prints one, the same.
MESSAGES: dict[Status, str] = {
    Status.NRT_SUCCESS: "",
    Status.NRT_FAILURE: "Non specific failure",
    Status.NRT_INVALID: "Invalid argument",
    Status.NRT_INVALID_HANDLE: "Invalid handle",
    Status.NRT_RESOURCE: "Failed to allocate a resource for requested operation",
    Status.NRT_TIMEOUT: "Operation timed out",
    Status.NRT_HW_ERROR: "Hardware failure",
    Status.NRT_QUEUE_FULL: "Too many executions are pending",
    Status.NRT_LOAD_NOT_ENOUGH_NC: "Failed to allocate enough NeuronCores for loading a NEFF",
    Status.NRT_UNSUPPORTED_NEFF_VERSION: "Unsupported version of NEFF",
    Status.NRT_FAIL_HOST_MEM_ALLOC: "Not enough host memory",
    Status.NRT_UNINITIALIZED: "The runtime is not initialized",
    Status.NRT_CLOSED: "The runtime is closed",
    Status.NRT_QUEUE_EMPTY: "No execution is pending",
    Status.NRT_EXEC_UNIT_UNRECOVERABLE: "The execution unit needs a reset",
    Status.NRT_EXEC_BAD_INPUT: "Invalid input has been submitted to exec()",
    Status.NRT_EXEC_COMPLETED_WITH_NUM_ERR: (
        "Execution was completed with numerical errors (produced NaN)"
    ),
    Status.NRT_EXEC_COMPLETED_WITH_ERR: "Execution was completed with other errors",
    Status.NRT_EXEC_NC_BUSY: "The NeuronCore is locked by another model or process",
    Status.NRT_EXEC_OOB: (
        "failed to run scatter/gather (indirect memory copy), due to out-of-bound access"
    ),
    Status.NRT_COLL_PENDING: "A collective operation is pending",
    Status.NRT_EXEC_HW_ERR_COLLECTIVES: "Hardware failure in a collective operation",
    Status.NRT_EXEC_HW_ERR_HBM_UE: "Uncorrectable error in HBM",
    Status.NRT_EXEC_HW_ERR_NC_UE: "Uncorrectable error in the NeuronCore",
    Status.NRT_EXEC_HW_ERR_DMA_ABORT: "A DMA engine aborted",
    Status.NRT_EXEC_SW_NQ_OVERFLOW: "The notification queue overflowed",
    Status.NRT_EXEC_HW_ERR_REPAIRABLE_HBM_UE: "Repairable uncorrectable error in HBM",
    Status.NRT_NETWORK_PROXY_FAILURE: "The network proxy failed",
}
assert MESSAGES.keys() == set(Status)


class NeuronRuntimeError(RuntimeError):
    """The runtime refused or failed: `status` is its code, the message says where and why."""

    def __init__(self, call: str, status: Status, detail: str = "") -> None:
        self.call, self.status, self.detail = call, status, detail
        text = f'{call} status={status.value}, error message="{MESSAGES[status]}"'
        super().__init__(f"{text}: {detail}" if detail else text)
