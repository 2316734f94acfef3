"""A function compiled by XLA for the CPU: called fast, written to bytes and read back."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax._src import tree_util
from jax._src.interpreters import pxla
from jax._src.lib import _jax, xla_client

from runtime import executable_cache
from runtime.logs import Level, log

# XLA must not leave out the rounding of a value that it would widen again.
COMPILER_OPTIONS = {"xla_allow_excess_precision": False}
Call = Callable[..., list[jax.Array]]
LENGTH = 4  # bytes that hold how long the description of the outputs is


def compiled(function: Callable[..., Any], arguments: Sequence[Any], key: str | None) -> Call:
    """A function of arrays, for arguments like these; what it returns, flattened.

    With a key, it is taken from the cache of executables if it is there, else put there. 64-bit
    types must be enabled, also while it is called.
    """
    kept = None if key is None else executable_cache.read(key)
    if kept is not None:
        try:
            return _restored(kept, len(arguments))
        except (
            jax.errors.JaxRuntimeError,
            ValueError,
        ) as error:  # another XLA's, though it is ours
            log(Level.WARNING, "NRT", "read_executable", f"compiled anew: {error}")
    jitted = jax.jit(function, keep_unused=True, compiler_options=COMPILER_OPTIONS)
    lowered = jitted.lower(*arguments)
    made = lowered.compile().runtime_executable()
    outputs = [(o.dtype.name, list(o.shape)) for o in jax.tree.leaves(lowered.out_info)]
    if key is not None:
        _keep(key, made, outputs)
    return _fast(made, len(arguments), outputs)


def _device() -> Any:
    return jax.devices("cpu")[0]


def _keep(key: str, made: Any, outputs: list[tuple[str, list[int]]]) -> None:
    if _foreign(made):
        return
    described = json.dumps(outputs).encode()
    size = len(described).to_bytes(LENGTH, "little")
    executable_cache.write(key, size + described + made.client.serialize_executable(made))


def _foreign(made: Any) -> bool:
    """Whether it calls what a process knows only once JAX has traced such a call there."""
    text = "".join(module.to_string() for module in made.hlo_modules())
    targets = {part.partition('"')[0] for part in text.split('custom_call_target="')[1:]}
    return not all(target.startswith(("neuron_", "__")) for target in targets)


def _restored(kept: bytes, count: int) -> Call:
    end = LENGTH + int.from_bytes(kept[:LENGTH], "little")
    outputs = json.loads(kept[LENGTH:end])
    devices = xla_client.DeviceList((_device(),))
    return _fast(_device().client.deserialize_executable(kept[end:], devices), count, outputs)


def _fast(made: Any, count: int, outputs: Sequence[tuple[str, Sequence[int]]]) -> Call:
    """An executable behind the C++ that `jax.jit` puts before its own.

    JAX has no public way to call an executable that was read back in less than three times as long.
    """
    device = _device()
    here = jax.sharding.SingleDeviceSharding(device)
    avals = [jax.core.ShapedArray(tuple(dims), jax.numpy.dtype(dtype)) for dtype, dims in outputs]
    ways = pxla.MeshExecutableFastpathData(
        xla_executable=made,
        out_pytree_def=tree_util.dispatch_registry.flatten([0] * len(avals), None)[1],
        in_shardings=[here] * count,
        out_shardings=[here] * len(avals),
        out_avals=avals,
        out_committed=[False] * len(avals),
        kept_var_bitvec=[True] * count,
        in_device_local_layouts=[None] * count,
        const_args=(),
    )

    def first(*arguments: Any) -> tuple[list[jax.Array], Any, bool]:
        given = [a if isinstance(a, jax.Array) else jax.device_put(a, device) for a in arguments]
        return made.execute(given), ways, False

    keys = pxla.JitGlobalCppCacheKeys()
    call: Call = _jax.pjit(
        "neuron", None, first, [], [], keys, tree_util.dispatch_registry, pxla.cc_shard_arg
    )
    return call
