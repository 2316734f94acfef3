"""The judge of captured modules: XLA itself, by way of jaxlib, on the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax._src import compiler
from jax._src.lib import _jax, xla_client


def hlo_text(proto: bytes) -> str:
    """The text that XLA prints for a serialized HloModuleProto."""
    return xla_client.XlaComputation(proto).as_hlo_text(True)


# For modules that are run once: XLA's options that trade the code's speed for compile time.
FAST_COMPILATION = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
}


def run_hlo(
    proto: bytes, arrays: Sequence[np.ndarray], debug_options: Mapping[str, Any] | None = None
) -> list[np.ndarray]:
    """The outputs of a serialized HloModuleProto, one argument per parameter, run by XLA.

    64-bit types stay 64 bits wide whatever JAX is configured to do. The options are JAX's own:
    left to itself, XLA may drop the NaN from a maximum.
    """
    computation = xla_client.XlaComputation(proto)
    program = _jax.mlir.xla_computation_to_mlir_module(computation)
    device = jax.devices("cpu")[0]
    devices = xla_client.DeviceList((device,))
    options = compiler.get_compile_options(num_replicas=1, num_partitions=1)
    for name, value in (debug_options or {}).items():
        setattr(options.executable_build_options.debug_options, name, value)
    executable = device.client.compile_and_load(program, devices, options)
    with jax.enable_x64(True):
        buffers = [jax.device_put(np.asarray(a), device) for a in arrays]
    results = executable.execute_sharded(buffers).disassemble_into_single_device_arrays()
    return [np.asarray(shards[0]) for shards in results]
