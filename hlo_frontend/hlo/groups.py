"""Groups of devices that exchange data, written in full or as a rearranged count."""

from __future__ import annotations

import numpy as np

from hlo_frontend.hlo.errors import HloError


def iota_groups(
    result: tuple[int, ...], dims: tuple[int, ...], order: tuple[int, ...]
) -> tuple[tuple[int, ...], ...]:
    """Replica groups in full from the short form `[result]<=[dims]T(order)`.

    The devices 0, 1, ... are given the sizes `dims`, transposed by `order` (as they are if it is
    empty), and cut into `result[0]` groups of `result[1]`.
    """
    try:
        ids = np.arange(np.prod(dims, dtype=np.int64)).reshape(dims)
        count, size = result
        groups = ids.transpose(order or None).reshape(count, size)
    except ValueError:
        raise HloError(
            "replica groups must rearrange one list of devices, got "
            f"{list(result)}<={list(dims)}T{list(order)}"
        ) from None
    return tuple(map(tuple, groups.tolist()))
