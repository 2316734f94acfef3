"""What an entry of the compile cache is known by: the graph's hash and the flags that matter."""

from __future__ import annotations

import hashlib
import mmap
from dataclasses import fields

from neff.options import OPTIONS, SWITCHES, CompileOptions

# Fields that do not change what is compiled, and the target, which is always named.
_APART = frozenset({"framework", "logfile", "verbose", "ignored", "target"})


def graph_hash(data: bytes | mmap.mmap) -> str:
    """The hash of a model file: a number of 64 bits, in decimal."""
    return str(int.from_bytes(hashlib.sha256(data).digest()[:8], "little"))


def canonical_flags(options: CompileOptions) -> list[str]:
    """The flags that give these options: the target, and every other that is not the default.

    Two command lines that compile the same have the same flags, in the same order.
    """
    default = CompileOptions()
    flags = [f"--target={options.target}"]
    for field in fields(CompileOptions):
        value = getattr(options, field.name)
        if field.name not in _APART and value != getattr(default, field.name):
            flags.append(_flag(field.name, value))
    return flags


def _flag(name: str, value: str) -> str:
    for flag, option in OPTIONS.items():
        if option.name == name:
            return f"{flag}={value}"
    return next(flag for flag, setting in SWITCHES.items() if setting == (name, value))
