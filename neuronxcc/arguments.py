"""The command line of `neuronx-cc`: the tool's own options, and the words left to the compiler's.

What the compiler's options mean is read by `neff.options`; here only how many words belong to each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from neff.errors import OptionError
from neff.options import IGNORED, INTERNAL, OPTIONS, CompileOptions, parse_options


class Command(StrEnum):
    """What can be asked for."""

    COMPILE = "compile"
    LIST_OPERATORS = "list-operators"
    HELP = "--help"
    VERSION = "--version"


@dataclass(frozen=True, slots=True)
class Arguments:
    """A command line that was read. `topic` is the command that `--help` was asked about."""

    command: Command
    topic: Command | None = None
    model: Path | None = None
    output: Path = Path("file.neff")
    workdir: Path | None = None
    pipeline: tuple[str, ...] = ()
    placement: bool = False
    words: tuple[str, ...] = ()  # the compiler's options
    options: CompileOptions = field(default_factory=CompileOptions)

    @property
    def logfile(self) -> Path:
        return Path(self.options.logfile or "log-neuron-cc.txt")


COMMANDS = {c.value: c for c in (Command.COMPILE, Command.LIST_OPERATORS)}
SAVE_TEMPS = "SaveTemps"
STAGES = ("compile", SAVE_TEMPS)  # what `--pipeline` may list
REQUIRED = ("--framework", "--target")


class UsageError(OptionError):
    """The command line is not one of those documented."""


def parse_arguments(words: Sequence[str]) -> Arguments:
    """Read a command line; of an option given twice, the right-most counts.

    Raises UsageError or OptionError.
    """
    split = _Split(deque(words))
    split.run()
    if split.command is None or split.help or split.version:
        return _information(split)
    given = {word.partition("=")[0] for word in split.compiler}
    required = REQUIRED if split.command is Command.COMPILE else REQUIRED[:1]
    missing = [flag for flag in required if flag not in given]
    if missing:
        raise UsageError(
            f"neuronx-cc {split.command}: {' and '.join(missing)} must be given\n"
            f"  try: neuronx-cc {split.command} --help"
        )
    options = parse_options(split.compiler)
    if split.command is Command.LIST_OPERATORS:
        return Arguments(split.command, words=tuple(split.compiler), options=options)
    return Arguments(
        split.command,
        model=_model(split.files),
        output=Path(split.values.get("--output", "file.neff")),
        workdir=Path(split.values["--workdir"]) if "--workdir" in split.values else None,
        pipeline=split.pipeline,
        placement=split.placement,
        words=tuple(split.compiler),
        options=options,
    )


def _information(split: _Split) -> Arguments:
    if split.version and not split.help:
        return Arguments(Command.VERSION)
    if split.help or not (split.files or split.compiler):
        return Arguments(Command.HELP, topic=split.command)
    raise UsageError(
        f"neuronx-cc: a command must be given, {' or '.join(COMMANDS)}, got "
        f"{' '.join([*split.files, *split.compiler])}\n  try: neuronx-cc --help"
    )


def _model(files: Sequence[str]) -> Path:
    if len(files) != 1:
        raise UsageError(
            f"neuronx-cc compile: one model file must be given, got {', '.join(files) or 'none'}\n"
            "  try: the file right after `compile`, before options that take several words"
        )
    return Path(files[0])


class _Split:
    """The words of a command line, told apart in one sweep."""

    def __init__(self, words: deque[str]) -> None:
        self.words = words
        self.command: Command | None = None
        self.files: list[str] = []
        self.compiler: list[str] = []
        self.values: dict[str, str] = {}
        self.pipeline: tuple[str, ...] = ()
        self.help = self.version = self.placement = False

    def run(self) -> None:
        while self.words:
            word = self.words.popleft()
            flag, equals, value = word.partition("=")
            if own := _OWN.get(flag):
                own(self, flag, value if equals else None)
            elif word.startswith("-") and word != "-":
                self.option(flag, word, bool(equals))
            elif self.command is None and word in COMMANDS:
                self.command = COMMANDS[word]
            else:
                self.files.append(word)

    def option(self, flag: str, word: str, whole: bool) -> None:
        """Leave one of the compiler's options, and the words that belong to it, to the compiler."""
        self.compiler.append(word)
        if whole or flag in IGNORED_WITHOUT_VALUE:
            return
        if flag in OPTIONS or IGNORED.get(flag) == 1:
            self.compiler.extend([self.words.popleft()] if self.words else [])
        elif flag.startswith(INTERNAL):
            while self.words and not self.words[0].startswith("-"):
                self.compiler.append(self.words.popleft())

    def value(self, flag: str, given: str | None) -> str:
        text = self.words.popleft() if given is None and self.words else given
        if not text or (given is None and text.startswith("--")):
            raise UsageError(f"neuronx-cc: {flag} needs a value")
        return text

    def take_output(self, flag: str, given: str | None) -> None:
        self.values["--output"] = self.value(flag, given)

    def take_workdir(self, flag: str, given: str | None) -> None:
        self.values["--workdir"] = self.value(flag, given)

    def take_pipeline(self, flag: str, given: str | None) -> None:
        stages = given.split() if given is not None else []
        while given is None and self.words and self.words[0] in STAGES:
            stages.append(self.words.popleft())
        if not stages or not set(stages) <= set(STAGES):
            raise UsageError(
                f"neuronx-cc: {flag} must list stages of {', '.join(STAGES)}, got "
                f"{' '.join(stages) or 'none'}"
            )
        self.pipeline = tuple(stages)

    def take_placement(self, flag: str, given: str | None) -> None:
        self.placement = True

    def take_help(self, flag: str, given: str | None) -> None:
        self.help = True

    def take_version(self, flag: str, given: str | None) -> None:
        self.version = True


IGNORED_WITHOUT_VALUE = frozenset(flag for flag, count in IGNORED.items() if count == 0)
_OWN: dict[str, Callable[[_Split, str, str | None], None]] = {
    "--output": _Split.take_output,
    "-o": _Split.take_output,
    "--compile_workdir": _Split.take_workdir,
    "--workdir": _Split.take_workdir,
    "--pipeline": _Split.take_pipeline,
    "--query-compute-placement": _Split.take_placement,
    "--help": _Split.take_help,
    "-h": _Split.take_help,
    "--version": _Split.take_version,
}
