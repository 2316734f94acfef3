"""`python -m neff`: look into a NEFF file, or at what the compiler's passes make of a module."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from hlo_frontend.hlo.errors import HloError
from hlo_frontend.inspect.command import Commands
from hlo_frontend.inspect.console import EXIT_OK, print_json, run
from hlo_frontend.inspect.document import document
from hlo_frontend.inspect.graph import Graph
from neff.errors import CompileError, NeffError, OptionError
from neff.inspect.file import load_neff, verify_weights
from neff.inspect.graph import graph_of_program
from neff.inspect.passes_command import add_passes


def read(path: str) -> Graph:
    """The graph of the program in a file. Raises OSError or NeffError."""
    return graph_of_program(load_neff(path).program)


def verify(arguments: argparse.Namespace) -> int:
    """Check everything that must hold: header, hash, archive, weights, every instruction."""
    neff = load_neff(arguments.file)
    verify_weights(neff)
    program = neff.program
    count = sum(len(f.instructions) for f in program.functions)
    if arguments.json:
        print_json(document("verify", ok=True, name=program.name, instructions=count))
    else:
        weights = f"{len(program.weights)} weights"
        print(f"{arguments.file}: ok: {program.name}, {count} instructions, {weights}")
    return EXIT_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m neff", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    Commands(read, "a NEFF file").add_to(commands)
    text = "check the container, the weights and every instruction"
    checker = commands.add_parser("verify", help=text, description=text)
    checker.set_defaults(run=verify)
    checker.add_argument("file", metavar="FILE")
    checker.add_argument("--json", action="store_true", help="print JSON")
    add_passes(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    arguments, rest = _parser().parse_known_args(argv)
    if rest and arguments.run is not None and not hasattr(arguments, "options"):
        _parser().parse_args(argv)  # says which argument is not known
    arguments.options = rest
    errors = (NeffError, CompileError, HloError, OptionError, NotImplementedError)
    return run("neff", lambda: int(arguments.run(arguments)), *errors)


if __name__ == "__main__":
    sys.exit(main())
