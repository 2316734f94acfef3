"""The texts of `neuronx-cc --help` and of each command's `--help`."""

from __future__ import annotations

from neff.options import OPTIONS, SWITCHES
from neuronxcc.arguments import Command

# What an option of `compile` is for, by the first of its spellings.
MEANINGS = {
    "--framework": "the framework the model comes from (required)",
    "--target": "the machine to compile for (required)",
    "--model-type": "the kind of model, where it is known",
    "--auto-cast": "which float32 operators are computed in a smaller type",
    "--auto-cast-type": "the type they are computed in",
    "--native-int64": "compute 64-bit integers in 64 bits, on trn2 and later",
    "--implicit-integer-downcast": "integer operators that may be computed in 32 bits",
    "--distribution-strategy": "the model's partitioning, where it is known",
    "--logical-nc-config": "NeuronCores that one logical core is made of",
    "--optlevel": "how much to optimize",
    "--logfile": "where the log goes (log-neuron-cc.txt)",
    "--verbose": "what is printed: at least as grave as this (warning)",
    "--enable-mixed-precision-accumulation": "add up in float32 (the default)",
    "--disable-mixed-precision-accumulation": "add up in the type of the operands",
    "--enable-saturate-infinity": "infinities become the largest number in added transposes",
    "--enable-fast-context-switch": "load weights when they are first needed",
    "--enable-fast-loading-neuron-binaries": "leave the NEFF uncompressed",
}
# The tool's own options.
OWN = {
    "--output, -o X": "where the NEFF goes (file.neff)",
    "--pipeline compile [SaveTemps]": "SaveTemps keeps the program after every pass",
    "--workdir, --compile_workdir X": "the folder for that (neuronxcc-..., new in this one)",
    "--query-compute-placement": "only say where each instruction would run, as JSON",
}
WIDTH = 42

_GENERAL = """\
usage: neuronx-cc COMMAND ...

commands:
  compile          compile a model into a NEFF
  list-operators   list the supported operators

options:
  -h, --help       this text; after a command, that command's
  --version        the compiler's version

Exit status: 0 done, 1 the model is refused, 2 wrong command line, 70 a defect of the compiler,
74 a file cannot be read or written, or memory is short, 130 interrupted.
"""
_LIST = """\
usage: neuronx-cc list-operators --framework XLA

Prints the supported operators, one a line.
"""
_COMPILE = """\
usage: neuronx-cc compile MODEL --framework XLA --target TARGET [options]

MODEL is an HLO proto, HLO text, or StableHLO as text or bytecode.
Of an option given twice, the right-most counts.

options:
"""


def help_text(topic: Command | None) -> str:
    """The help of a command, or of the tool as a whole."""
    if topic is Command.LIST_OPERATORS:
        return _LIST
    if topic is Command.COMPILE:
        return _COMPILE + "".join(_options())
    return _GENERAL


def _options() -> list[str]:
    choices = {f: "{" + ",".join(o.choices) + "}" if o.choices else "X" for f, o in OPTIONS.items()}
    aliases: dict[str, list[str]] = {}
    for flag, option in OPTIONS.items():
        aliases.setdefault(option.name, []).append(flag)
    rows = [(", ".join(a), choices[a[0]], MEANINGS[a[0]]) for a in aliases.values()]
    rows += [(flag, "", MEANINGS[flag]) for flag in SWITCHES]
    rows += [(flag, "", meaning) for flag, meaning in OWN.items()]
    return [_row(f"{flags} {values}".rstrip(), meaning) for flags, values, meaning in rows]


def _row(left: str, meaning: str) -> str:
    if len(left) < WIDTH - 2:
        return f"  {left:<{WIDTH - 2}}{meaning}\n"
    return f"  {left}\n{'':<{WIDTH}}{meaning}\n"
