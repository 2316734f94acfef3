"""Codecs between a field of a protobuf message and a value: one constructor per kind of field."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from hlo_frontend.hlo.errors import HloError
from hlo_frontend.hlo.schema import MESSAGES


@dataclass(frozen=True, slots=True)
class Codec:
    """`read` takes the attribute from an instruction message, None if absent; `write` puts it."""

    read: Callable[[Any], Any]
    write: Callable[[Any, Any], None]


def scalar(field: str) -> Codec:
    """A scalar field."""
    return Codec(lambda p: getattr(p, field), lambda p, v: setattr(p, field, v))


def present(field: str) -> Codec:
    """A scalar whose proto default means absent."""
    return Codec(lambda p: getattr(p, field) or None, lambda p, v: setattr(p, field, v))


def at_least_one(field: str) -> Codec:
    """A count that older writers leave at 0 when they mean 1."""
    return Codec(lambda p: getattr(p, field) or 1, lambda p, v: setattr(p, field, v))


def ints(field: str) -> Codec:
    """A repeated field of integers."""
    return Codec(lambda p: tuple(getattr(p, field)), lambda p, v: getattr(p, field).extend(v))


def within(name: str, codec: Codec) -> Codec:
    """The codec of a field of a sub-message, which is marked present even when all is default."""

    def write(proto: Any, value: Any) -> None:
        inner = getattr(proto, name)
        inner.SetInParent()
        codec.write(inner, value)

    return Codec(lambda p: codec.read(getattr(p, name)), write)


def enum_name(names: tuple[str, ...], number: int, what: str) -> str:
    """The name of an enumeration's number; HloError if it has none."""
    if not 0 <= number < len(names) or not names[number]:
        known = ", ".join(f"{i} ({n})" for i, n in enumerate(names) if n)
        raise HloError(f"hlo proto: {what} must be one of {known}, got {number}")
    return names[number]


def enum(field: str, names: tuple[str, ...]) -> Codec:
    """An enumeration, by name."""
    return Codec(
        lambda p: enum_name(names, getattr(p, field), field),
        lambda p, v: setattr(p, field, names.index(v)),
    )


def optional_enum(field: str, names: tuple[str, ...]) -> Codec:
    """An enumeration whose number 0 means absent."""
    named = enum(field, names)
    return Codec(lambda p: named.read(p) if getattr(p, field) else None, named.write)


def records(field: str, names: tuple[str, ...], make: Callable[..., Any]) -> Codec:
    """A repeated message of scalars; the values `make` builds iterate in the order of `names`."""

    def write(proto: Any, values: Iterable[Iterable[Any]]) -> None:
        for value in values:
            getattr(proto, field).add(**dict(zip(names, value, strict=True)))

    def read(proto: Any) -> tuple[Any, ...]:
        return tuple(make(*(getattr(r, n) for n in names)) for r in getattr(proto, field))

    return Codec(read, write)


def message(field: str, cls: type, names: dict[str, str]) -> Codec:
    """A sub-message as a dataclass; `names` maps a field of the class to one of the message."""
    descriptor = MESSAGES["HloInstructionProto"].DESCRIPTOR.fields_by_name[field].message_type
    pairs = [(ours, theirs, descriptor.fields_by_name[theirs]) for ours, theirs in names.items()]
    many = {theirs for _, theirs, f in pairs if f.is_repeated}

    def read(proto: Any) -> Any:
        m = getattr(proto, field)
        return cls(
            **{o: tuple(getattr(m, t)) if t in many else getattr(m, t) for o, t in names.items()}
        )

    def write(proto: Any, value: Any) -> None:
        m = getattr(proto, field)
        m.SetInParent()
        for ours, theirs in names.items():
            if theirs in many:
                getattr(m, theirs).extend(getattr(value, ours))
            else:
                setattr(m, theirs, getattr(value, ours))

    return Codec(read, write)
