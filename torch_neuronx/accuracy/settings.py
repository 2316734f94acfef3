"""The cast settings that a report compares."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from neff.options import CompileOptions, parse_options

CASTS = ("matmult", "all")
# Bits an operand of the PE array takes: what a cast buys.
BITS = {"bf16": 16, "fp16": 16, "tf32": 19, "fp8_e4m3": 8}
UNCAST_BITS = 32
DEFAULT_SETTINGS = (
    "--auto-cast=none",
    *(f"--auto-cast={cast} --auto-cast-type={kind}" for cast in CASTS for kind in BITS),
)


def label(setting: str) -> str:
    """A short name: the options without `--`, casts without their flag (`matmult bf16`)."""
    words = shlex.split(setting)
    plain = [w for w in words if w.startswith(("--auto-cast=", "--auto-cast-type="))]
    rest = [w for w in words if w not in plain]
    return " ".join([w.partition("=")[2] for w in plain] + rest) or "default options"


def options_of(common: str | Sequence[str] | None, setting: str) -> CompileOptions:
    """The options of a setting: it follows the common ones, and the right-most of two wins.

    Raises OptionError.
    """
    words = shlex.split(common) if isinstance(common, str) else list(common or ())
    return parse_options([*words, *shlex.split(setting)])


def bits_of(options: CompileOptions) -> int:
    """Bits of an operand of the PE array that was f32."""
    return UNCAST_BITS if options.auto_cast == "none" else BITS[options.auto_cast_type]
