"""The documented options of `neuronx-cc`, parsed into one frozen value."""

from __future__ import annotations

import difflib
import shlex
from collections import deque
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from neff.errors import OptionError

# Integer work that the engines do in floating point, or in 32 bits, where it is allowed.
DOWNCASTS = ("dot", "scatter", "all_reduce", "reduce_scatter", "pow")
# Targets by what their cores can do (hardware and data-type pages of the Neuron SDK).
INT64_TARGETS = frozenset({"trn2", "trn3"})
SATURATING_TARGETS = frozenset({"inf1", "inf2", "trn1", "trn1n"})
TWO_CORE_TARGETS = frozenset({"trn2", "trn3"})


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """What can change compiled code. Defaults: Neuron SDK 2.32, compiler command-line reference.

    `relayout` is the type in which the PE array turns f32 tensors, "none" where they are moved
    without loss; it and `neuroncore_pipeline_cores`, the NeuronCores that a program is spread
    over, are of neuron-cc (neff.inf1_options). `ignored` holds the words of each option that is
    accepted and changes nothing here.
    """

    framework: str = "XLA"
    target: str = "inf2"
    model_type: str = "generic"
    auto_cast: str = "none"
    auto_cast_type: str = "bf16"
    native_int64: str = "default"
    implicit_integer_downcast: str = "default"
    distribution_strategy: str = "generic"
    logical_nc_config: str = "default"
    optlevel: str = "2"
    logfile: str = ""
    verbose: str = "warning"
    mixed_precision_accumulation: str = "on"
    saturate_infinity: str = "off"
    fast_context_switch: str = "off"
    fast_loading: str = "off"
    relayout: str = "none"
    neuroncore_pipeline_cores: int = 1
    ignored: tuple[tuple[str, ...], ...] = field(default=(), compare=False)

    @property
    def downcasts(self) -> frozenset[str]:
        """The kinds of integer op, of DOWNCASTS, that are computed in a type that may lose bits."""
        parts = self.implicit_integer_downcast.split(",")
        if "default" in parts or "all" in parts:
            return frozenset(DOWNCASTS)
        return frozenset(parts) - {"none"}

    @property
    def narrows_int64(self) -> bool:
        """Whether 64-bit integers are computed in 32 bits: everywhere but where asked and built."""
        return self.native_int64 != "enabled" or self.target not in INT64_TARGETS

    @property
    def saturates_infinity(self) -> bool:
        """Whether a transpose by the PE array gets the largest finite number for infinity."""
        return self.saturate_infinity == "on" and self.target in SATURATING_TARGETS

    @property
    def logical_cores(self) -> int:
        """Physical NeuronCores to a logical one: as asked, else two where the target pairs them."""
        if self.logical_nc_config != "default":
            return int(self.logical_nc_config)
        return 2 if self.target in TWO_CORE_TARGETS else 1


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
IMPLICIT_DOWNCASTS = ("default", "all", "none", *DOWNCASTS)
# Options seen in documents, logs and samples that steer AWS's compiler and change no result here,
# by how many words follow: none, one, or (None) all up to the next option.
IGNORED: dict[str, int | None] = {
    "--compile_workdir": 1,
    "--disable-dge": 0,
    "--enable-experimental-O1": 0,
    "--execute-repetition": 1,
    "--hbm-scratchpad-page-size": 1,
    "--num-parallel-jobs": 1,
    "--pipeline": None,
    "--query-compute-placement": 0,
    "--tensorizer-options": 1,
}
INTERNAL = "--internal-"  # every option that starts so is ignored, with the words that follow


def parse_options(arguments: str | Sequence[str] | None) -> CompileOptions:
    """Options from one command-line string or a list of arguments; the right-most of two wins.

    Raises OptionError for what is not documented, naming the nearest option or the choices.
    """
    remaining = deque(words(arguments))
    chosen: dict[str, Any] = {}
    ignored: list[tuple[str, ...]] = []
    while remaining:
        word = remaining.popleft()
        if _is_ignored(word):
            ignored.append(_ignored(word, remaining))
        else:
            name, value = _parse_word(word, remaining)
            chosen[name] = value
    for part in chosen.get("implicit_integer_downcast", "default").split(","):
        check_choice("--implicit-integer-downcast", part, IMPLICIT_DOWNCASTS)
    return CompileOptions(**chosen, ignored=tuple(ignored))


def words(arguments: str | Sequence[str] | None) -> list[str]:
    """The words of a command line. Raises OptionError for what is none."""
    if isinstance(arguments, str):
        try:
            return shlex.split(arguments)
        except ValueError as error:
            reason = f"{error}, got {arguments!r}"
            raise OptionError(f"compiler_args: quotes must be in pairs: {reason}") from None
    if not isinstance(arguments, Sequence | None):
        raise OptionError(f"compiler_args: must be a string or a list of them, got {arguments!r}")
    found = list(arguments or ())
    for word in found:
        if not isinstance(word, str):
            raise OptionError(f"compiler_args: arguments must be strings, got {word!r}")
    return found


def _is_ignored(word: str) -> bool:
    return word.startswith(INTERNAL) or word.partition("=")[0] in IGNORED


def _ignored(word: str, remaining: deque[str]) -> tuple[str, ...]:
    """An option that changes nothing, and the words that belong to it."""
    flag, equals, value = word.partition("=")
    count = IGNORED.get(flag) if flag in IGNORED else None
    taken = [flag, value] if equals else [flag]
    if count is None:
        while not equals and remaining and not remaining[0].startswith("-"):
            taken.append(remaining.popleft())
    elif count and not equals:
        if not remaining:
            raise OptionError(f"compiler_args: {flag} needs a value")
        taken.append(remaining.popleft())
    elif equals and not count:
        raise OptionError(f"compiler_args: {flag} takes no value, got {value!r}")
    return tuple(taken)


def _parse_word(word: str, remaining: deque[str]) -> tuple[str, str]:
    """The field and value of an option; its value may be the next word."""
    flag, equals, value = word.partition("=")
    if flag in SWITCHES:
        if equals:
            raise OptionError(f"compiler_args: {flag} takes no value, got {value!r}")
        return SWITCHES[flag]
    if flag not in OPTIONS and flag[:2] == "-O":
        flag, equals, value = "-O", "=", flag[2:]  # -O1 is written in one word
    if flag not in OPTIONS:
        raise unknown_option(flag, {*OPTIONS, *SWITCHES, *IGNORED})
    option = OPTIONS[flag]
    if not equals:
        value = remaining.popleft() if remaining else ""
    if not value or value.startswith("--"):
        raise OptionError(f"compiler_args: {flag} needs a value")
    check_choice(flag, value, option.choices)
    return option.name, value


def check_choice(flag: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise OptionError for a value that is none of the choices, where there are any."""
    if choices and value not in choices:
        raise OptionError(
            f"compiler_args: {flag} must be one of {', '.join(choices)}, got {value!r}"
        )


def unknown_option(flag: str, known: Set[str]) -> OptionError:
    """The error for an option that is none of the known ones; it names the nearest."""
    nearest = difflib.get_close_matches(flag, sorted(known), n=1, cutoff=0.4)
    hint = f"try: {nearest[0]}" if nearest else f"known options: {', '.join(sorted(known))}"
    return OptionError(f"compiler_args: unknown compiler option {flag!r}\n  {hint}")
