"""The few doors of torch_xla that a capture goes through; torch_xla is imported at the first."""

from __future__ import annotations

import functools
import logging
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch

from hlo_frontend.capture.dtypes import ELEMENT_TYPES

_SEED = 0  # one fixed seed, so that two captures of a model are equal


@functools.cache
def extension() -> ModuleType:
    """The C++ extension of torch_xla, loaded and set up for its CPU device."""
    os.environ.setdefault("PJRT_DEVICE", "CPU")
    # Where torch_xla explains each execution that it refuses; what is raised here says it better.
    os.environ.setdefault("PT_XLA_DEBUG_FILE", os.devnull)
    with _beside_tensorflow(), _quiet(), _leaving_layers():
        import torch_xla

        device()
    return torch_xla._XLAC


@contextmanager
def _beside_tensorflow() -> Iterator[None]:
    """Both bring their own copies of the same libraries; torch_xla must resolve to its own."""
    if "tensorflow" not in sys.modules:
        yield
        return
    flags = sys.getdlopenflags()
    sys.setdlopenflags(flags | os.RTLD_DEEPBIND)
    try:
        yield
    finally:
        sys.setdlopenflags(flags)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch_xla's import from setting up the root logger of the user's program.

    And from its warning of TensorFlow, beside which it is loaded with care.
    """
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    root.addHandler(logging.NullHandler())
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`tensorflow` can conflict", UserWarning)
            yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


@contextmanager
def _leaving_layers() -> Iterator[None]:
    """Keep torch_xla's import from putting layers of its own in the place of PyTorch's."""
    gru, clip = torch.nn.GRU, torch.nn.utils.clip_grad_norm_
    try:
        yield
    finally:
        torch.nn.GRU, torch.nn.utils.clip_grad_norm_ = gru, clip  # type: ignore[misc]


@functools.cache
def device() -> torch.device:
    """The one device that lazy tensors are on."""
    return torch.device("xla", 0)


def placeholder(dims: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """A lazy tensor without storage: a future parameter of the graph."""
    from torch_xla.core.xla_builder import mkshape

    # Not create_placeholder_tensor: its table of dtypes lacks the 8-bit floats.
    shape = mkshape(ELEMENT_TYPES[dtype], tuple(dims)).shape
    return extension()._xla_create_placeholder_tensor(shape)


def identity(tensor: torch.Tensor) -> torch.Tensor:
    """A new lazy tensor with the value of another.

    Reading a placeholder aborts the process; reading what is computed from one raises. So the
    program sees only this, which adds nothing to the graph.
    """
    return torch.ops.aten.view_copy.default(tensor, list(tensor.shape))


def functional(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor in the wrapper that records updates in place, as the program must see it."""
    if torch._is_functional_tensor(tensor):
        return tensor
    return torch._to_functional_tensor(tensor)


def through_wrapper() -> Any:
    """Operators called in this context treat updates in place and views as the program does.

    PyTorch skips that layer in calls made from a dispatch mode.
    """
    include = torch._C._dispatch_tls_local_include_set()
    exclude = torch._C._dispatch_tls_local_exclude_set()
    key = torch._C.DispatchKey.Functionalize
    return torch._C._ForceDispatchKeyGuard(include, exclude.remove(key))


def unwrapped(tensor: torch.Tensor) -> torch.Tensor:
    """The current value of a wrapped lazy tensor, as kernels below the wrapper return it."""
    torch._sync(tensor)
    return torch._from_functional_tensor(tensor)


def tensor_id(tensor: torch.Tensor) -> int:
    """The number by which `leaves` refers to a placeholder."""
    return extension()._xla_get_tensor_id(tensor)


def value_id(tensor: torch.Tensor) -> str:
    """Changes with every update in place; equal for two living lazy tensors of one value."""
    return extension()._unique_id_for_ir_and_data(tensor)


def leaves(tensors: Sequence[torch.Tensor]) -> list[tuple[int, torch.Tensor]]:
    """What the graph of these lazy tensors reads, in the order of its HLO parameters."""
    return list(zip(*extension()._get_tensors_xla_device_data_node(list(tensors)), strict=True))


def is_seed(leaf: int) -> bool:
    """Whether a leaf is the seed that random numbers are drawn from."""
    return leaf == extension()._get_seed_info_id()


def hlo_proto(tensors: Sequence[torch.Tensor]) -> bytes:
    """The serialized HloModuleProto that computes these lazy tensors."""
    return extension()._get_xla_tensors_hlo_proto(list(tensors))


def evaluate(tensor: torch.Tensor, values: Sequence[torch.Tensor]) -> torch.Tensor:
    """The value of a lazy tensor on the CPU, with `values` for its leaves in order."""
    ext = extension()
    ext._set_allow_execution(True)
    try:
        if not values:
            return tensor.clone().cpu()  # a copy, for reading turns what is read into a leaf
        computation = ext._xla_op_computation_from_module_proto("value", hlo_proto([tensor]))
        arguments = [value.to(device()) for value in values]
        (result,) = ext._xla_user_computation("xla::value", arguments, computation)
        return result.cpu()
    finally:
        ext._set_allow_execution(False)


def is_execution_error(error: RuntimeError) -> bool:
    """Whether an operator failed because it would have run the graph made so far."""
    return "Unexpected execution happens" in str(error)


def fetch(leaf: torch.Tensor) -> torch.Tensor:
    """The value that a leaf other than a placeholder holds, on the CPU."""
    return leaf.cpu()


@contextmanager
def session() -> Iterator[None]:
    """The settings of torch_xla while one program is captured; all are put back after."""
    ext = extension()
    name = str(device())
    # What the user's own lazy tensors wait for is run now: the end of the session drops all that
    # still waits, which must be only what the captured program left somewhere.
    ext._xla_sync_live_tensors(name, [], True)
    saved = [
        (ext._set_ir_debug, ext._get_ir_debug()),
        (ext._set_allow_execution, ext._get_allow_execution()),
        (ext._set_xla_all_numbers_special_scalars, ext._get_xla_all_numbers_special_scalars()),
        (functools.partial(ext._xla_set_rng_seed, device=name), ext._xla_get_rng_seed(name)),
    ]
    ext._set_ir_debug(True)  # every instruction carries the scope it was made in
    ext._set_allow_execution(False)  # an operator that reads a value raises instead
    ext._set_xla_all_numbers_special_scalars(True)  # Python numbers become constants
    ext._xla_set_rng_seed(_SEED, name)
    try:
        yield
    finally:
        for restore, value in saved:
            restore(value)
        ext._clear_pending_irs(name)


def empty(tensors: Iterable[torch.Tensor]) -> None:
    """Makes lazy tensors empty ones, which may be used without harm.

    To compute with what depends on a placeholder would end the process.
    """
    nothing = torch.empty(0).to(device())
    for tensor in tensors:
        extension()._replace_xla_tensor(tensor, nothing)


def scope(name: str) -> Any:
    """Marks the instructions made while the result lives."""
    return extension().profiler.scope_pusher(name)
