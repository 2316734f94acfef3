"""The 1,024-byte header of a NEFF file, field for field as published (Neuron SDK, NEFF files)."""

from __future__ import annotations

import hashlib
import struct
import uuid
from dataclasses import dataclass

from neff.errors import NeffError, NeffVersionError

HEADER_SIZE = 1024
# pkg_version u64, header_size u64, data_size u64, version major u64, minor u64, build u8[128],
# num_tpb u32, hash u8[32], uuid u8[16], name char[256], requested_tpb_count u32,
# tpb_per_node u8[64], feature_bits u64, lnc_size u32, pad u8[468]; little-endian, no gaps.
LAYOUT = struct.Struct("<5Q128sI32s16s256sI64sQI468s")
assert LAYOUT.size == HEADER_SIZE

PACKAGE_VERSION = 2  # the hash is SHA-256
NEFF_VERSION = (2, 0)  # the major version that neuronx-cc writes
SUPPORTED_FEATURES = 0
BUILD_VERSION = "neuron-emulator-2"  # names the format of the payload that follows


@dataclass(frozen=True, slots=True)
class Header:
    """The fields of the header; `digest` is SHA-256 over everything after it."""

    name: str
    digest: bytes
    data_size: int
    num_tpb: int = 1
    requested_tpb_count: int = 1
    tpb_per_node: tuple[int, ...] = (1,)
    feature_bits: int = 0
    lnc_size: int = 1
    package_version: int = PACKAGE_VERSION
    version: tuple[int, int] = NEFF_VERSION
    build_version: str = BUILD_VERSION

    @property
    def uuid(self) -> uuid.UUID:
        """Made from the contents, so that equal files have equal names."""
        return uuid.UUID(bytes=hashlib.sha256(b"uuid" + self.digest).digest()[:16], version=5)

    def pack(self) -> bytes:
        name = self.name.encode()[:255]
        return LAYOUT.pack(
            self.package_version,
            HEADER_SIZE,
            self.data_size,
            *self.version,
            self.build_version.encode(),
            self.num_tpb,
            self.digest,
            self.uuid.bytes,
            name,
            self.requested_tpb_count,
            bytes(self.tpb_per_node),
            self.feature_bits,
            self.lnc_size,
            b"",
        )


def read_header(data: memoryview) -> Header:
    """The header of a whole NEFF file, checked against the file's length.

    Raises NeffError where the file is no NEFF, truncated, or of a version not supported.
    """
    if len(data) < HEADER_SIZE:
        raise NeffError(f"neff: a NEFF has a header of {HEADER_SIZE} bytes, got {len(data)} bytes")
    fields = LAYOUT.unpack(data[:HEADER_SIZE])
    package, header_size, data_size, major, minor, build, tpb, digest, _, name = fields[:10]
    requested, per_node, features, lnc, _ = fields[10:]
    if header_size != HEADER_SIZE or package != PACKAGE_VERSION:
        raise NeffError(
            f"neff: not a NEFF file: the header must say header_size={HEADER_SIZE} and "
            f"pkg_version={PACKAGE_VERSION}, got {header_size} and {package}"
        )
    if (major, minor) != NEFF_VERSION:
        supported = ".".join(map(str, NEFF_VERSION))
        raise NeffVersionError(
            f"NEFF version mismatch supported: {supported} received: {major}.{minor}"
        )
    if features & ~SUPPORTED_FEATURES:
        raise NeffVersionError(
            f"NEFF version: {major}.{minor}, features: {features:#x} are not supported.  "
            f"Currently supporting: {SUPPORTED_FEATURES:#x}"
        )
    if data_size != len(data) - HEADER_SIZE:
        raise NeffError(
            f"neff: truncated or oversized: the header announces {data_size} bytes of contents, "
            f"got {len(data) - HEADER_SIZE}"
        )
    return Header(
        name=_text(name),
        digest=digest,
        data_size=data_size,
        num_tpb=tpb,
        requested_tpb_count=requested,
        tpb_per_node=tuple(per_node.rstrip(b"\0")),
        feature_bits=features,
        lnc_size=lnc,
        build_version=_text(build),
    )


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "replace")
