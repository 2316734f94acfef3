"""The documented options of `neuronx-cc`, parsed into one frozen value."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from neff.errors import OptionError


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """What can change compiled code. Defaults: Neuron SDK 2.32, compiler command-line reference."""

    framework: str = "XLA"
    target: str = "inf2"
    model_type: str = "generic"
    auto_cast: str = "none"
    auto_cast_type: str = "bf16"
    native_int64: str = "default"
    implicit_integer_downcast: str = "default"
    distribution_strategy: str = "generic"
    logical_nc_config: str = "1"
    optlevel: str = "2"
    logfile: str = ""
    verbose: str = "warning"
    mixed_precision_accumulation: str = "on"
    saturate_infinity: str = "off"
    fast_context_switch: str = "off"
    fast_loading: str = "off"


@dataclass(frozen=True, slots=True)
class Option:
    """An option that takes a value: the field it sets and the values it may have (none: any)."""

    name: str
    choices: tuple[str, ...] = ()


LOGICAL_NC = Option("logical_nc_config", ("1", "2"))
OPTLEVEL = Option("optlevel", ("1", "2", "3"))
OPTIONS: dict[str, Option] = {
    "--framework": Option("framework", ("XLA",)),
    "--target": Option("target", ("inf2", "trn1", "trn1n", "trn2", "trn3")),
    "--model-type": Option("model_type", ("generic", "transformer", "unet-inference")),
    "--auto-cast": Option("auto_cast", ("none", "matmult", "all")),
    "--auto-cast-type": Option("auto_cast_type", ("bf16", "fp16", "tf32", "fp8_e4m3")),
    "--native-int64": Option("native_int64", ("default", "enabled", "disabled")),
    "--implicit-integer-downcast": Option("implicit_integer_downcast"),
    "--distribution-strategy": Option("distribution_strategy", ("generic", "llm-training", "NEMO")),
    "--logical-nc-config": LOGICAL_NC,
    "--lnc": LOGICAL_NC,
    "-lnc": LOGICAL_NC,
    "--optlevel": OPTLEVEL,
    "-O": OPTLEVEL,
    "--logfile": Option("logfile"),
    "--verbose": Option("verbose", ("debug", "info", "warning", "error", "critical", "35")),
}
# Options without a value: the field they set, and to what.
SWITCHES: dict[str, tuple[str, str]] = {
    "--enable-mixed-precision-accumulation": ("mixed_precision_accumulation", "on"),
    "--disable-mixed-precision-accumulation": ("mixed_precision_accumulation", "off"),
    "--enable-saturate-infinity": ("saturate_infinity", "on"),
    "--enable-fast-context-switch": ("fast_context_switch", "on"),
    "--enable-fast-loading-neuron-binaries": ("fast_loading", "on"),
}
IMPLICIT_DOWNCASTS = (
    *("default", "all", "none"),
    *("dot", "scatter", "all_reduce", "reduce_scatter", "pow"),
)


def parse_options(arguments: str | Sequence[str] | None) -> CompileOptions:
    """Options from one command-line string or a list of arguments; the right-most of two wins.

    Raises OptionError for what is not documented, naming the nearest option or the choices.
    """
    words = shlex.split(arguments) if isinstance(arguments, str) else list(arguments or ())
    for word in words:
        if not isinstance(word, str):
            raise OptionError(f"compiler_args: arguments must be strings, got {word!r}")
    remaining = iter(words)
    chosen = dict(_parse_word(word, remaining) for word in remaining)
    for part in chosen.get("implicit_integer_downcast", "default").split(","):
        _check_choice("--implicit-integer-downcast", part, IMPLICIT_DOWNCASTS)
    return CompileOptions(**chosen)


def _parse_word(word: str, remaining: Iterator[str]) -> tuple[str, str]:
    """The field and value of an option; its value may be the next word."""
    flag, equals, value = word.partition("=")
    if flag in SWITCHES:
        if equals:
            raise OptionError(f"compiler_args: {flag} takes no value, got {value!r}")
        return SWITCHES[flag]
    if flag not in OPTIONS and flag[:2] == "-O":
        flag, equals, value = "-O", "=", flag[2:]  # -O1 is written in one word
    if flag not in OPTIONS:
        raise OptionError(_unknown(flag))
    option = OPTIONS[flag]
    if not equals:
        value = next(remaining, "")
    if not value or value.startswith("--"):
        raise OptionError(f"compiler_args: {flag} needs a value")
    _check_choice(flag, value, option.choices)
    return option.name, value


def _check_choice(flag: str, value: str, choices: tuple[str, ...]) -> None:
    if choices and value not in choices:
        raise OptionError(
            f"compiler_args: {flag} must be one of {', '.join(choices)}, got {value!r}"
        )


def _unknown(flag: str) -> str:
    known = sorted({*OPTIONS, *SWITCHES})
    nearest = difflib.get_close_matches(flag, known, n=1, cutoff=0.4)
    hint = f"try: {nearest[0]}" if nearest else f"known options: {', '.join(known)}"
    return f"compiler_args: unknown compiler option {flag!r}\n  {hint}"


def require_built(options: CompileOptions) -> None:
    """Raise for documented options whose effect on results is not emulated yet."""
    missing = {
        "--auto-cast=all": options.auto_cast == "all",
        "--disable-mixed-precision-accumulation": options.mixed_precision_accumulation == "off",
        "--enable-saturate-infinity": options.saturate_infinity == "on",
        "--native-int64=disabled": options.native_int64 == "disabled",
        "--logical-nc-config=2": options.logical_nc_config == "2",
    }
    for flag, given in missing.items():
        if given:
            raise NotImplementedError(
                f"compiler_args: {flag} changes what a model computes or needs and is not emulated "
                "yet; leave it out to compile without it"
            )
