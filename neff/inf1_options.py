"""The documented options of `neuron-cc`, the compiler for Inferentia, as the same frozen value."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from neff.errors import OptionError
from neff.options import CompileOptions, check_choice, unknown_option, words

TARGET = "inf1"
MAX_CORES = 64  # of the largest instance, inf1.24xlarge


@dataclass(frozen=True, slots=True)
class Cast:
    """What becomes of f32: where it is rounded, to what, and to what a fast transpose rounds it."""

    where: str
    type: str
    transposed: str


# Source: AWS Neuron documentation, neuron-cc command-line reference, `--fast-math`.
CASTS = {
    "all": Cast("all", "bf16", "bf16"),
    "all-fp16": Cast("all", "fp16", "fp16"),
    "matmult": Cast("matmult", "bf16", "fp16"),
    "matmult-bf16": Cast("matmult", "bf16", "bf16"),
    "matmult-fp16": Cast("matmult", "fp16", "fp16"),
}
# The words of `--fast-math`: the cast, and whether transposes are fast, that each asks for.
FAST_MATH: dict[str, tuple[str | None, bool | None]] = {
    "all": ("all", True),
    "none": ("matmult-bf16", False),
    "fast-relayout": (None, True),
    "no-fast-relayout": (None, False),
    **{f"fp32-cast-{name}": (name, None) for name in CASTS},
}
VERBOSE = ("DEBUG", "INFO", "WARN", "ERROR", "35")
SWITCHES = {
    "--enable-saturate-infinity": "saturate_infinity",
    "--enable-fast-context-switch": "fast_context_switch",
    "--enable-fast-loading-neuron-binaries": "fast_loading",
}
# Seen in samples: they steer AWS's compiler and change no result here.
IGNORED = ("-O1", "-O2", "-O3")


def parse_inf1_options(arguments: str | Sequence[str] | None) -> CompileOptions:
    """Options of neuron-cc from one string or a list of arguments; the right-most of two wins.

    By default every f32 is held in bf16 and transposes are fast (`--fast-math all`). The deprecated
    `--fp32-cast` overrides the casts of `--fast-math`. Raises OptionError for what is not
    documented, and for words of `--fast-math` that exclude each other.
    """
    remaining = deque(words(arguments))
    given: dict[str, Any] = {}
    ignored: list[tuple[str, ...]] = []
    while remaining:
        flag, values = _next(remaining)
        if flag in IGNORED and not values:
            ignored.append((flag,))
        elif flag in SWITCHES and not values:
            given[SWITCHES[flag]] = "on"
        elif flag in VALUES:
            given |= VALUES[flag](flag, values)
        elif flag in SWITCHES or flag in IGNORED:
            raise OptionError(f"compiler_args: {flag} takes no value, got {' '.join(values)!r}")
        else:
            raise unknown_option(flag, {*VALUES, *SWITCHES, *IGNORED})
    name, fast = given.pop("fast_math", ("all", True))
    cast = CASTS[given.pop("fp32_cast", name)]
    relayout = cast.transposed if fast else "none"
    types: dict[str, Any] = {
        "auto_cast": cast.where,
        "auto_cast_type": cast.type,
        "relayout": relayout,
    }
    return CompileOptions(target=TARGET, **types, **given, ignored=tuple(ignored))


def _next(remaining: deque[str]) -> tuple[str, list[str]]:
    """The next option and the words that follow it, as `--option=word` or `--option word word`."""
    flag, equals, value = remaining.popleft().partition("=")
    values = value.split() if equals else []
    while remaining and not remaining[0].startswith("-"):
        values.append(remaining.popleft())
    return flag, values


def _one(flag: str, values: list[str]) -> str:
    if len(values) != 1:
        raise OptionError(f"compiler_args: {flag} takes one value, got {' '.join(values)!r}")
    return values[0]


def _pipeline_cores(flag: str, values: list[str]) -> dict[str, Any]:
    text = _one(flag, values)
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text) <= MAX_CORES:
        raise OptionError(
            f"compiler_args: {flag} must be a number of NeuronCores from 1 to {MAX_CORES}, "
            f"got {text!r}"
        )
    return {"neuroncore_pipeline_cores": int(text)}


def _fp32_cast(flag: str, values: list[str]) -> dict[str, Any]:
    name = _one(flag, values)
    check_choice(flag, name, tuple(CASTS))
    return {"fp32_cast": name}


def _fast_math(flag: str, values: list[str]) -> dict[str, Any]:
    if not values:
        raise OptionError(f"compiler_args: {flag} needs a value")
    for word in values:
        check_choice(flag, word, tuple(FAST_MATH))
    casts = {cast for cast, _ in map(FAST_MATH.__getitem__, values)} - {None}
    speeds = {fast for _, fast in map(FAST_MATH.__getitem__, values)} - {None}
    if len(casts) > 1 or len(speeds) > 1:
        raise OptionError(
            f"compiler_args: the words of {flag} must not exclude each other, "
            f"got {' '.join(values)}"
        )
    return {"fast_math": ((*casts, "all")[0], (*speeds, True)[0])}


def _verbose(flag: str, values: list[str]) -> dict[str, Any]:
    text = _one(flag, values).upper()
    check_choice(flag, text, VERBOSE)
    return {"verbose": text.lower()}


VALUES: dict[str, Callable[[str, list[str]], dict[str, Any]]] = {
    "--neuroncore-pipeline-cores": _pipeline_cores,
    "--fast-math": _fast_math,
    "--fp32-cast": _fp32_cast,
    "--verbose": _verbose,
}
