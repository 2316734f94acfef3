"""The entries of PyTorch's operator database, their dtypes and their samples as programs."""

from __future__ import annotations

import functools
import random
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

DTYPES = ("float32", "int", "bfloat16")
# What these make is not initialised, so only shapes and dtypes can be compared.
UNINITIALISED = (
    *("empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided"),
    "resize_",
    "resize_as_",
)
# Where values tie, the index of any of them is right: what the index points to is compared. The
# number is the place of `dim` among the arguments after the input, the default is its default.
TIES: dict[str, tuple[int, int | None]] = {
    "topk": (1, -1),
    "kthvalue": (1, -1),
    "sort": (0, -1),
    "argsort": (0, -1),
    "mode": (0, -1),
    "median": (0, None),
    "nanmedian": (0, None),
}
# Each vector of these may as well have the other sign: magnitudes are compared.
SIGNS = ("svd", "linalg.svd", "linalg.eigh", "linalg.qr", "qr")


@dataclass(frozen=True, slots=True)
class Sample:
    """A call of an operator as a function of its tensors, and these tensors."""

    function: Callable[..., Any]
    tensors: tuple[torch.Tensor, ...]
    tie: int | None = None  # the dimension that indices in the result count along
    signs: bool = False  # of the result, which may be the other

    def comparable(self, result: Any) -> Any:
        """The result with indices, of which several may be right, as what they point to."""
        if self.signs:
            return tuple(part.abs() for part in result)
        if self.tie is None:
            return result
        found = (result,) if isinstance(result, torch.Tensor) else tuple(result)
        kind = torch.zeros((), dtype=found[-1].dtype)
        return (*found[:-1], self._at(found[-1]), kind)

    def _at(self, indices: torch.Tensor) -> torch.Tensor:
        source, dim = torch.atleast_1d(self.tensors[0]), self.tie
        assert dim is not None
        kept = indices if indices.ndim == source.ndim else indices.unsqueeze(dim)
        return source.gather(dim, kept).reshape(indices.shape)


@functools.cache
def database() -> dict[str, Any]:
    """The entries by full name; of entries that share one, the later are numbered."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_methods_invocations import op_db
    entries: dict[str, Any] = {}
    for entry in op_db:
        if entry.name.startswith("jiterator"):  # a feature of CUDA: not there on any CPU
            continue
        name = entry.full_name
        number = sum(known.partition("#")[0] == name for known in entries)
        entries[f"{name}#{number + 1}" if number else name] = entry
    return entries


def dtype_of(entry: Any, kind: str) -> torch.dtype | None:
    """The dtype of a kind that an entry has on the CPU; `int` is int64 where it can be."""
    wanted = {
        "float32": (torch.float32,),
        "bfloat16": (torch.bfloat16,),
        "int": (torch.int64, torch.int32),
    }[kind]
    return next((dtype for dtype in wanted if dtype in entry.dtypes), None)


def pairs(names: Sequence[str] = (), kinds: Sequence[str] = DTYPES) -> list[tuple[str, str]]:
    """Every (entry, kind of dtype) that the database has, in its order."""
    entries = database()
    chosen = names or entries
    return [(n, k) for n in chosen for k in kinds if dtype_of(entries[n], k) is not None]


def slice_of(seed: str, count: int) -> list[tuple[str, str]]:
    """A random choice of pairs that depends on the seed alone."""
    return random.Random(seed).sample(pairs(), count)


def samples(name: str, kind: str, limit: int | None = None) -> Iterator[Sample]:
    """The samples of an entry; the first, the last and others between if `limit` says so."""
    entry = database()[name]
    dtype = dtype_of(entry, kind)
    torch.manual_seed(zlib.crc32(name.encode()))
    random.seed(name)
    made = list(entry.sample_inputs("cpu", dtype, requires_grad=False))
    if limit is not None and len(made) > limit:
        made = [made[i * (len(made) - 1) // max(limit - 1, 1)] for i in range(limit)]
    return (_sample(name, entry.op, s) for s in made)


def _sample(name: str, op: Callable[..., Any], made: Any) -> Sample:
    tensors: list[torch.Tensor] = []
    call = _taken((made.input, tuple(made.args), dict(made.kwargs)), tensors)
    if not tensors:
        tensors.append(torch.zeros(1))  # a program has an input

    def function(*given: torch.Tensor) -> Any:
        own, args, kwargs = _given(call, given)
        return op(own, *args, **kwargs)

    return Sample(function, tuple(tensors), _tie(name, made), name in SIGNS)


def _tie(name: str, made: Any) -> int | None:
    """The dimension that the indices in the result of a sample count along, if values may tie."""
    if name not in TIES:
        return None
    place, default = TIES[name]
    if len(made.args) > place and type(made.args[place]) is int:
        return made.args[place]  # type: ignore[no-any-return]
    return made.kwargs.get("dim", default)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class _Place:
    index: int


def _taken(value: Any, tensors: list[torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        tensors.append(value.detach())
        return _Place(len(tensors) - 1)
    if type(value) in (tuple, list):
        return type(value)(_taken(v, tensors) for v in value)
    if type(value) is dict:
        return {k: _taken(v, tensors) for k, v in value.items()}
    return value


def _given(value: Any, tensors: Sequence[torch.Tensor]) -> Any:
    if isinstance(value, _Place):
        return tensors[value.index]
    if type(value) in (tuple, list):
        return type(value)(_given(v, tensors) for v in value)
    if type(value) is dict:
        return {k: _given(v, tensors) for k, v in value.items()}
    return value
