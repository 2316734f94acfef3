"""Leaves the objects of a program as they were, whatever the program did to them."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

_CONTAINERS = (dict, OrderedDict, list, set, deque)


@contextmanager
def unchanged(objects: Iterable[object]) -> Iterator[None]:
    """Puts back the attributes of objects, and what lists, dicts and sets among them held.

    Attributes keep their identity; what did not change is not written to.
    """
    saved: dict[int, tuple[Any, Any]] = {}  # by id: a container and a copy of it
    for item in objects:
        if hasattr(item, "__dict__"):
            _save(item.__dict__, saved)
    try:
        yield
    finally:
        for container, before in saved.values():
            if not _same(container, before):
                container.clear()
                _fill(container, before)


def _save(value: Any, saved: dict[int, tuple[Any, Any]]) -> None:
    if type(value) not in _CONTAINERS or id(value) in saved:
        return
    saved[id(value)] = (value, value.copy() if value else ())  # most are empty: hooks of layers
    if type(value) is set:
        return
    for child in value.values() if isinstance(value, dict) else value:
        _save(child, saved)


def _same(now: Any, before: Any) -> bool:
    if len(now) != len(before):
        return False
    if not now:
        return True
    if isinstance(now, set):
        return now == before
    pairs = zip(now, before, strict=True)
    if isinstance(now, dict):
        return all(a is b and now[a] is before[b] for a, b in pairs)
    return all(a is b for a, b in pairs)


def _fill(container: Any, before: Any) -> None:
    (container.extend if isinstance(container, list | deque) else container.update)(before)
