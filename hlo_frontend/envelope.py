"""The outermost fields of a protobuf message, checked without reading what is in them."""

from __future__ import annotations

from typing import Protocol

from hlo_frontend.hlo.errors import HloError

# More than any module has: one for each of its computations, and a few. Spaces would be as many.
FIELD_LIMIT = 1 << 18
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types


class Bytes(Protocol):
    """Bytes that can be read at a place: an array in memory, or a file that is mapped."""

    def __len__(self) -> int: ...

    def __getitem__(self, at: int, /) -> int: ...


def check_envelope(data: Bytes) -> None:
    """Raise HloError if `data` is not a sequence of whole protobuf fields.

    Only tags and lengths are read, so that a large file that is no message costs nothing.
    """
    at = count = 0
    while at < len(data):
        start, count = at, count + 1
        tag, at = _varint(data, at)
        field, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            _, at = _varint(data, at)
        elif wire == _BYTES:
            size, at = _varint(data, at)
            at += size
        elif wire in (_FIXED64, _FIXED32):
            at += 8 if wire == _FIXED64 else 4
        known = wire in (_VARINT, _FIXED64, _BYTES, _FIXED32)
        if field == 0 or not known or count > FIELD_LIMIT:
            raise HloError(
                "the file must be an HLO proto, HLO text or StableHLO, got something else "
                f"(no protobuf field starts at byte {start})"
            )
        if at > len(data):
            raise HloError(
                f"hlo proto: truncated: field {field} at byte {start} ends at byte {at}, the file "
                f"has {len(data)} bytes"
            )


def _varint(data: Bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where the next field starts."""
    value = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise HloError(
        "the file must be an HLO proto, HLO text or StableHLO, got something else or a part of one "
        f"(no number ends at byte {at})"
    )
