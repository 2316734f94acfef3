"""The flags in NEURON_CC_FLAGS: those for tracing, and the compiler's."""

from __future__ import annotations

import shlex
from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from neff.errors import OptionError
from neff.options import CompileOptions, parse_options
from runtime.hardware import INSTANCES
from runtime.settings import setting

EXTRACT_INSTANCES = (
    *("inf1.xlarge", "inf1.2xlarge", "inf1.6xlarge", "inf1.24xlarge"),
    *("trn1.2xlarge", "trn1.32xlarge"),
    *("inf2.xlarge", "inf2.8xlarge", "inf2.24xlarge", "inf2.48xlarge"),
)
# neuron-cc's word for what to compute in fewer bits, as neuronx-cc spells it.
FP32_CASTS: dict[str, tuple[str, ...]] = {
    "all": ("--auto-cast=all", "--auto-cast-type=bf16"),
    "all-fp16": ("--auto-cast=all", "--auto-cast-type=fp16"),
    "matmult": ("--auto-cast=matmult", "--auto-cast-type=bf16"),
    "matmult-bf16": ("--auto-cast=matmult", "--auto-cast-type=bf16"),
    "matmult-fp16": ("--auto-cast=matmult", "--auto-cast-type=fp16"),
}


@dataclass(frozen=True, slots=True)
class Flags:
    """What NEURON_CC_FLAGS asks of a trace."""

    workdir: Path | None = None
    dynamic_batch_size: bool = False
    extract_weights: bool = False
    pipeline_cores: int = 1
    options: CompileOptions = field(default_factory=CompileOptions)
    words: tuple[str, ...] = ()  # the compiler's own


def read_flags() -> Flags:
    """The flags of the environment, now. Raises OptionError for one that nobody knows."""
    return parse_flags(setting("NEURON_CC_FLAGS"))


def parse_flags(text: str) -> Flags:
    """The flags of a command line; of one given twice, the right-most counts."""
    split = _Split(text)
    while split.left:
        split.take()
    flags = split.found
    if "extract_weights" in flags:
        clashing = [f for f in ("pipeline_cores", "dynamic_batch_size") if f in flags]
        if clashing:
            raise OptionError(
                "tensorflow.neuron.trace: --extract-weights does not work in combination with "
                "--neuroncore-pipeline-cores and --dynamic-batch-size"
            )
    options = parse_options(split.words)
    if split.target:
        options = replace(options, target=_same_target(split, options.target))
    return Flags(**flags, options=options, words=tuple(split.words))


def _same_target(split: _Split, target: str) -> str:
    """The target of the instance type, which `--target` must not contradict."""
    asked = [w for w in split.words if w.partition("=")[0] == "--target"]
    if asked and target != split.target:
        raise OptionError(
            f"NEURON_CC_FLAGS: --extract-weights for {split.target} and --target={target} "
            "must name one kind of NeuronCore"
        )
    return split.target


class _Split:
    """The words of NEURON_CC_FLAGS, told apart from left to right."""

    def __init__(self, text: str) -> None:
        try:
            self.left = deque(shlex.split(text))
        except ValueError as error:
            raise OptionError(
                f"NEURON_CC_FLAGS: quotes must be in pairs: {error}, got {text!r}"
            ) from None
        self.found: dict[str, Any] = {}
        self.words: list[str] = []
        self.target = ""  # of the instance type that --extract-weights names

    def take(self) -> None:
        word = self.left.popleft()
        flag, equals, value = word.partition("=")
        if word == "--dynamic-batch-size":
            self.found["dynamic_batch_size"] = True
        elif flag == "--extract-weights":
            self.found["extract_weights"] = True
            self._instance(value if equals else None)
        elif flag == "--workdir":
            self.found["workdir"] = Path(self._value(flag, equals, value))
        elif flag == "--neuroncore-pipeline-cores":
            self.found["pipeline_cores"] = self._count(flag, self._value(flag, equals, value))
        elif flag == "--fp32-cast":
            chosen = self._choice(flag, self._value(flag, equals, value), tuple(FP32_CASTS))
            self.words.extend(FP32_CASTS[chosen])
        else:
            self.words.append(word)

    def _value(self, flag: str, equals: str, value: str) -> str:
        given = value if equals else (self.left.popleft() if self.left else "")
        if not given or given.startswith("--"):
            raise OptionError(f"NEURON_CC_FLAGS: {flag} needs a value")
        return given

    def _choice(self, flag: str, value: str, choices: tuple[str, ...]) -> str:
        if value not in choices:
            raise OptionError(
                f"NEURON_CC_FLAGS: {flag} must be one of {', '.join(choices)}, got {value!r}"
            )
        return value

    def _count(self, flag: str, value: str) -> int:
        most = max(i.cores for i in INSTANCES.values())
        if not value.isdecimal() or not 1 <= int(value) <= most:
            raise OptionError(
                f"NEURON_CC_FLAGS: {flag} must be a number of NeuronCores from 1 to {most}, "
                f"got {value!r}"
            )
        return int(value)

    def _instance(self, value: str | None) -> None:
        """The flag stands alone, or an instance type follows."""
        follows = bool(self.left) and not self.left[0].startswith("-")
        if value is None and follows:
            value = self.left.popleft()
        if value is not None:
            instance = self._choice("--extract-weights", value, EXTRACT_INSTANCES)
            self.target = instance.partition(".")[0]
