"""Shardings, kept as serialized OpSharding messages, and the text XLA prints for them."""

from __future__ import annotations

import re
from typing import Any, NoReturn

from google.protobuf.unknown_fields import UnknownFieldSet

from hlo_frontend.hlo.errors import HloError
from hlo_frontend.hlo.schema import MESSAGES

# Types that say all by their name, by published number; 1 is maximal, 2 a tuple, 3 tiled.
_NAMED = {0: "replicated", 4: "manual", 5: "unknown", 6: "unreduced"}
_NUMBERS = {name: number for number, name in _NAMED.items()}
_MAXIMAL, _TUPLE, _TILED = 1, 2, 3
_METADATA_FIELD = 7  # where a sharding came from: nothing that a program does depends on it
_TEXT = re.compile(
    r"\{devices=\[(?P<tile>[\d,]+)\]"
    r"(?:<=\[(?P<iota>[\d,]+)\](?:T\((?P<order>[\d,]+)\))?|(?P<devices>[\d,]+))"
    r"(?P<last> last_tile_dim_replicate)?(?: last_tile_dims=\{(?P<kinds>[a-z, ]+)\})?\}"
)


def sharding_bytes(proto: Any) -> bytes:
    """The bytes of an OpSharding message; HloError if it states what we do not know."""
    fields = UnknownFieldSet(proto)
    unknown = {fields[n].field_number for n in range(len(fields))} - {_METADATA_FIELD}
    if unknown:
        raise HloError(
            "hlo proto: a sharding must be replicated, maximal, manual, tiled or a tuple of these, "
            f"got one with field {min(unknown)}"
        )
    return parse_sharding(_text(proto))  # so that one sharding has one spelling


def sharding_text(data: bytes) -> str:
    """What XLA prints for a sharding, e.g. `{devices=[2,1]<=[2]}`."""
    return _text(MESSAGES["OpSharding"].FromString(data))


def _text(proto: Any) -> str:
    if proto.type == _TUPLE:
        return "{" + ", ".join(map(_text, proto.tuple_shardings)) + "}"
    if proto.type == _MAXIMAL and len(proto.tile_assignment_devices) == 1:
        return f"{{maximal device={proto.tile_assignment_devices[0]}}}"
    if proto.type == _TILED:
        return _tiled_text(proto)
    if proto.type not in _NAMED:
        raise HloError(
            "hlo proto: a sharding's type must be 0 to 6, and 1 name one device, "
            f"got type {proto.type} and devices {list(proto.tile_assignment_devices)}"
        )
    return f"{{{_NAMED[proto.type]}}}"


def _tiled_text(proto: Any) -> str:
    text = f"{{devices=[{_join(proto.tile_assignment_dimensions)}]"
    if proto.iota_reshape_dims:
        text += f"<=[{_join(proto.iota_reshape_dims)}]"
        if len(proto.iota_transpose_perm) > 1:
            text += f"T({_join(proto.iota_transpose_perm)})"
    else:
        text += _join(proto.tile_assignment_devices)
    if proto.replicate_on_last_tile_dim:
        text += " last_tile_dim_replicate"
    if proto.last_tile_dims:
        text += f" last_tile_dims={{{', '.join(_NAMED[t] for t in proto.last_tile_dims)}}}"
    return text + "}"


def _join(numbers: Any) -> str:
    return ",".join(map(str, numbers))


def parse_sharding(text: str) -> bytes:
    """The inverse of `sharding_text`; HloError for what is not the text of a sharding."""
    data: bytes = _parse(text.strip()).SerializeToString(deterministic=True)
    return data


def _parse(text: str) -> Any:
    proto = MESSAGES["OpSharding"]()
    inner = text[1:-1].strip()
    if inner in _NUMBERS:
        proto.type = _NUMBERS[inner]
    elif inner.startswith("{") or not inner:
        proto.type = _TUPLE
        proto.tuple_shardings.extend(map(_parse, _elements(inner)))
    elif maximal := re.fullmatch(r"maximal device=(\d+)", inner):
        proto.type = _MAXIMAL
        proto.tile_assignment_devices.append(int(maximal[1]))
    else:
        tiled = _TEXT.fullmatch(text)
        if tiled is None:
            _refuse(text)
        _fill_tiled(proto, tiled)
    return proto


def _refuse(text: str) -> NoReturn:
    raise HloError(
        f"a sharding must be replicated, maximal, manual, tiled or a tuple of these, got {text}"
    )


def _elements(inner: str) -> list[str]:
    """The outermost brace groups of a tuple sharding."""
    elements, depth, start = [], 0, 0
    for position, c in enumerate(re.sub(r"/\*.*?\*/", lambda m: " " * len(m[0]), inner)):
        if c == "{" and depth == 0:
            start = position
        depth += (c == "{") - (c == "}")
        if c == "}" and depth == 0:
            elements.append(inner[start : position + 1])
    return elements


def _fill_tiled(proto: Any, match: re.Match[str]) -> None:
    def numbers(group: str) -> list[int]:
        return [int(n) for n in (match[group] or "").split(",") if n]

    iota, kinds = numbers("iota"), (match["kinds"] or "").split(", ")
    order = numbers("order") or list(range(len(iota)))
    if sorted(order) != list(range(len(iota))) or not {"", *_NUMBERS} >= set(kinds):
        _refuse(match[0])
    proto.type = _TILED
    proto.tile_assignment_dimensions.extend(numbers("tile"))
    proto.tile_assignment_devices.extend(numbers("devices"))
    proto.iota_reshape_dims.extend(iota)
    proto.iota_transpose_perm.extend(order)
    proto.replicate_on_last_tile_dim = match["last"] is not None
    proto.last_tile_dims.extend(_NUMBERS[kind] for kind in kinds if kind)
