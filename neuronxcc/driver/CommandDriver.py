"""The entry point of `neuronx-cc`: what the command line asks for, done; the exit status."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from neuronxcc.arguments import Arguments, Command, parse_arguments
from neuronxcc.failure import Failure
from neuronxcc.help import help_text
from neuronxcc.report import Report


def main(argv: Sequence[str] | None = None) -> int:
    """Run the compiler with the arguments of a command line, by default those of this process.

    Returns the exit status: 0 done, 1 the model is refused, 2 the command line is wrong, 70 the
    compiler has a defect, 74 a file cannot be read or written or memory is short, 130 interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    failure = Failure(words, sys.stderr)
    with failure:
        _run(parse_arguments(words))
    return failure.status


def _run(arguments: Arguments) -> None:
    match arguments.command:
        case Command.HELP:
            print(help_text(arguments.topic), end="")
        case Command.VERSION:
            from neuronxcc.version import __version__

            print(f"NeuronX Compiler version {__version__}")
        case Command.LIST_OPERATORS:
            from neuronxcc.operators import list_operators

            print(list_operators(), end="")
        case Command.COMPILE:
            # Imported when needed: the compiler brings numpy, which `--help` need not wait for.
            from neuronxcc.compilation import compile_file

            with Report(arguments.logfile, arguments.options.verbose) as report:
                compile_file(arguments, report)


if __name__ == "__main__":
    sys.exit(main())
