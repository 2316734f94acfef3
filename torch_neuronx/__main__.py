"""`python -m torch_neuronx`: what a user asks about a model before it runs on the chip."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from hlo_frontend.errors import CaptureError
from hlo_frontend.hlo.errors import HloError
from hlo_frontend.inspect.console import run
from neff.errors import CompileError, OptionError
from torch_neuronx.accuracy.command import add_parser

# What is wrong with the user's model, files or options; anything else is a fault of this program.
ERRORS = (
    *(CaptureError, CompileError, HloError, OptionError),
    *(ImportError, NotImplementedError, TypeError, ValueError),
)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m torch_neuronx", description=__doc__)
    add_parser(parser.add_subparsers(required=True, metavar="COMMAND"))
    arguments = parser.parse_args(argv)
    return run("torch_neuronx", lambda: int(arguments.run(arguments)), *ERRORS)


if __name__ == "__main__":
    sys.exit(main())
