"""`python -m hlo_frontend`: look at an HLO file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from hlo_frontend.files import read_hlo_file
from hlo_frontend.hlo.errors import HloError
from hlo_frontend.hlo.verify import verify_module
from hlo_frontend.inspect.command import Commands
from hlo_frontend.inspect.console import run
from hlo_frontend.inspect.graph import Graph, graph_of_module

WHAT = "HLO as a proto, HLO text or StableHLO"


def read(path: str) -> Graph:
    """The graph of the module in a file. Raises OSError or HloError."""
    module = read_hlo_file(path)
    verify_module(module)
    return graph_of_module(module)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m hlo_frontend", description=__doc__)
    Commands(read, WHAT).add_to(parser.add_subparsers(required=True, metavar="COMMAND"))
    arguments = parser.parse_args(argv)
    return run("hlo_frontend", lambda: int(arguments.run(arguments)), HloError)


if __name__ == "__main__":
    sys.exit(main())
