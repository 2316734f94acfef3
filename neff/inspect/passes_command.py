"""`python -m neff passes`: what each pass of the compiler changes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from hlo_frontend.files import read_hlo_file
from hlo_frontend.inspect.console import EXIT_OK, console, print_json, print_table, table
from hlo_frontend.inspect.difference import opcodes
from hlo_frontend.inspect.document import document
from hlo_frontend.inspect.report import opcodes_text, print_difference
from neff.errors import NeffError
from neff.header import HEADER_SIZE
from neff.inspect.dump import read_dump
from neff.inspect.stage import Stage, Step, compile_stages, step_value, steps
from neff.options import parse_options

DESCRIPTION = """What each pass changed. FILE is an HLO file, which is compiled with the options of
neuronx-cc that follow, or the folder of a compilation that kept its stages (compiler_workdir)."""


def add_passes(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "passes",
        help="what each pass of the compiler changes",
        description=DESCRIPTION,
        allow_abbrev=False,  # what this parser does not know is an option of the compiler
    )
    parser.set_defaults(run=passes, options=[])
    parser.add_argument("file", metavar="FILE", help="HLO, or a folder of NN-<pass>.txt files")
    parser.add_argument("--pass", dest="chosen", metavar="NAME", help="show what this pass changed")
    parser.add_argument("--all", action="store_true", help="leave nothing out")
    parser.add_argument("--json", action="store_true", help="print JSON")


def passes(arguments: argparse.Namespace) -> int:
    found = tuple(steps(_stages(Path(arguments.file), arguments.options)))
    chosen = [s for s in found if _is_chosen(s, arguments.chosen)]
    if not chosen:
        names = ", ".join(dict.fromkeys(s.stage.name for s in found))
        raise NeffError(f"passes: --pass must be one of {names}, got {arguments.chosen!r}")
    if arguments.json:
        values = [step_value(s, arguments.chosen is not None) for s in chosen]
        print_json(document("passes", file=arguments.file, passes=values))
    elif arguments.chosen is None:
        _print_summary(found)
    else:
        for step in chosen:
            _print_step(step, arguments.all)
    return EXIT_OK


def _stages(path: Path, options: Sequence[str]) -> list[Stage]:
    if path.is_dir():
        if options:
            raise NeffError(f"passes: a folder takes no compiler options, got {' '.join(options)}")
        return read_dump(path)
    with open(path, "rb") as file:
        if file.read(16)[8:] == HEADER_SIZE.to_bytes(8, "little"):
            raise NeffError(
                f"passes: {path} is a NEFF: it holds the program after the last pass only\n"
                "  try: the HLO file it was compiled from"
            )
    return compile_stages(read_hlo_file(path), parse_options(options))


def _is_chosen(step: Step, name: str | None) -> bool:
    return name in (None, step.stage.name, str(step.number), f"{step.number:02}")


def _print_summary(found: Sequence[Step]) -> None:
    rows: list[list[str | Text]] = [
        [
            f"{step.number:02}",
            Text(step.stage.name, "" if step.changes or not step.number else "dim"),
            "" if step.stage.seconds is None else f"{1000 * step.stage.seconds:.1f} ms",
            f"{step.after:,}",
            f"{step.after - step.before:+,}" if step.after != step.before else "",
            f"{step.changed:,}" if step.changed else "",
            f"{step.rewired:,}" if step.rewired else "",
            _what(step),
        ]
        for step in found
    ]
    columns = (">", "pass", ">time", ">instructions", ">+/-", ">changed", ">rewired", "opcodes")
    out = console()
    made = table("", columns, rows)
    made.columns[-1].no_wrap = False
    print_table(out, made)


def _what(step: Step) -> str:
    return ", ".join(filter(None, (opcodes_text(opcodes(step.entry)), *step.placement)))


def _print_step(step: Step, everything: bool) -> None:
    name = f"{step.number:02}-{step.stage.name}"
    names = f"before {name}", f"after {name}"
    print_difference(console(), step.difference, names, everything=everything)
