"""Indexing with a boolean mask: kept where it can be said without knowing what the mask selects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from hlo_frontend.capture.session import Session

_aten = torch.ops.aten
_MASK_DTYPES = (torch.bool, torch.uint8)
Indices = Sequence[torch.Tensor | None]


def _index(session: Session, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    source, indices = args
    indices = _explicit(session, indices)
    if any(map(_is_mask, indices)):
        raise session.refusal(
            "aten::index",
            "by a boolean mask has an output shape that depends on data, which a fixed graph "
            "cannot hold",
            "torch.where(mask, x, 0), or a mask that is multiplied in",
        )
    return func(_lazy(session, source), indices, **kwargs)


def _index_put(session: Session, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    target, indices, values, *rest = args
    indices = _explicit(session, indices)
    target, values = _lazy(session, target), _lazy(session, values)
    accumulate = bool(rest[0] if rest else kwargs.get("accumulate", False))
    if not any(map(_is_mask, indices)):
        return func(target, indices, values, *rest, **kwargs)
    chosen = _chosen(target, indices, values)
    if chosen is None:
        raise session.refusal(
            "aten::index_put",
            "by a boolean mask takes as many values as the mask selects, which a fixed graph "
            "cannot know",
            "torch.where(mask, values, x) with values of the shape of x",
        )
    mask, values = chosen
    values = values.to(target.dtype)
    return torch.where(mask, target + values if accumulate else values, target)


def _index_put_in_place(session: Session, func: Any, args: tuple[Any, ...], kwargs: Any) -> Any:
    target = _lazy(session, args[0])
    return target.copy_(_index_put(session, _aten.index_put.default, (target, *args[1:]), kwargs))


def _chosen(
    target: torch.Tensor, indices: Indices, values: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Mask and values to broadcast with the target, if one row of values serves all it selects.

    Indexing by one mask of rank m at dimension d gives sizes (before d, selected, after d + m).
    """
    masks = [i for i, index in enumerate(indices) if index is not None]
    if len(masks) != 1:
        return None
    before, mask = masks[0], indices[masks[0]]
    assert mask is not None
    after = target.ndim - before - mask.ndim
    sizes = (1,) * (before + 1 + after - values.ndim) + tuple(values.shape)
    if len(sizes) != before + 1 + after or sizes[before] != 1:
        return None
    spread = sizes[:before] + (1,) * mask.ndim + sizes[before + 1 :]
    mask = mask.to(torch.bool).reshape(tuple(mask.shape) + (1,) * after)
    return mask, values.reshape(spread)


def _explicit(session: Session, indices: Indices) -> list[torch.Tensor | None]:
    """Indices with every mask that is known replaced by the positions it selects."""
    explicit: list[torch.Tensor | None] = []
    for index in indices:
        if index is None or not _is_mask(index):
            explicit.append(None if index is None else _lazy(session, index))
        elif session.is_known(index):
            positions = session.value(index, "aten::index").nonzero(as_tuple=True)
            explicit.extend(session.constant(p) for p in positions)
        else:
            explicit.append(_lazy(session, index))
    return explicit


def _masked_select(
    session: Session, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    source, mask = torch.broadcast_tensors(*(_lazy(session, a) for a in args))
    return _index(session, _aten.index.Tensor, (source, [mask]), {})


def _masked_scatter(
    session: Session, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """The k-th place that the mask selects takes the k-th value of the source."""
    target, mask, source = (_lazy(session, a) for a in args)
    target, mask = torch.broadcast_tensors(target, mask)
    if source.numel() == 0:
        return target.clone()
    order = mask.reshape(-1).to(torch.int64).cumsum(0) - 1
    taken = source.reshape(-1)[order.clamp(0, source.numel() - 1)]
    return torch.where(mask, taken.reshape(target.shape), target)


def _lazy(session: Session, tensor: torch.Tensor) -> torch.Tensor:
    return session.bindings.lazy(tensor) if tensor.is_cpu else tensor


def _is_mask(index: torch.Tensor | None) -> bool:
    return index is not None and index.dtype in _MASK_DTYPES


MASK_RULES: dict[Any, Callable[..., Any]] = {
    _aten.index.Tensor: _index,
    _aten.index_put.default: _index_put,
    _aten.index_put_.default: _index_put_in_place,
    _aten._unsafe_index_put.default: _index_put,
    _aten.masked_select.default: _masked_select,
    _aten.masked_scatter.default: _masked_scatter,
}
"""Rules of the operators that take masks; they see operands below the functional wrapper."""
