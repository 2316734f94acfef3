"""The subcommands that modules and programs share: show, stats, diff, graph."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hlo_frontend.inspect import document
from hlo_frontend.inspect.console import EXIT_DIFFERENT, EXIT_OK, console, print_json
from hlo_frontend.inspect.difference import difference
from hlo_frontend.inspect.graph import Graph
from hlo_frontend.inspect.page import write_page
from hlo_frontend.inspect.report import print_difference, print_stats
from hlo_frontend.inspect.show import View, print_graph

Arguments = argparse.Namespace
Command = Callable[[Arguments], int]


@dataclass(frozen=True, slots=True)
class Commands:
    """The shared subcommands over files that `read` turns into graphs; `what` names the files."""

    read: Callable[[str], Graph]
    what: str

    def add_to(self, commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
        """Give a parser the subcommands; each sets `run` to what does the work."""
        show = self._parser(commands, "show", "list the instructions, by layer", self.show)
        show.add_argument(
            "--layer", default="", metavar="PATTERN", help="only these layers, '*' matches"
        )
        show.add_argument("--depth", type=_natural, help="collapse layers below this many names")
        show.add_argument("--all", action="store_true", help="leave nothing out")
        stats = self._parser(
            commands, "stats", "count operations, bytes and parameters by layer", self.stats
        )
        stats.add_argument("--depth", type=_natural, help="layers of at most this many names")
        diff = self._parser(
            commands,
            "diff",
            "what differs, by structure; exit status 1 if anything does",
            self.diff,
        )
        diff.add_argument("other", metavar="OTHER", help="the file to compare with")
        diff.add_argument("--all", action="store_true", help="leave nothing out")
        graph = self._parser(commands, "graph", "write a page to explore in a browser", self.graph)
        graph.add_argument("-o", "--output", metavar="OUT.html", help="default: FILE.html")

    def _parser(
        self,
        commands: argparse._SubParsersAction[argparse.ArgumentParser],
        name: str,
        text: str,
        run: Command,
    ) -> argparse.ArgumentParser:
        parser = commands.add_parser(name, help=text, description=text)
        parser.set_defaults(run=run)
        parser.add_argument("file", metavar="FILE", help=self.what)
        parser.add_argument("--json", action="store_true", help="print JSON")
        if name in ("show", "stats"):
            parser.add_argument(
                "--html", metavar="OUT.html", help="also write a page for a browser"
            )
        return parser

    def show(self, arguments: Arguments) -> int:
        graph = self._graph(arguments)
        if arguments.json:
            print_json(document.graph_document(graph))
        else:
            view = View(arguments.layer, arguments.depth, arguments.all)
            print_graph(console(), graph, view)
        return EXIT_OK

    def stats(self, arguments: Arguments) -> int:
        graph = self._graph(arguments)
        if arguments.json:
            print_json(document.stats_document(graph, arguments.depth))
        else:
            print_stats(console(), graph, arguments.depth)
        return EXIT_OK

    def diff(self, arguments: Arguments) -> int:
        found = difference(self.read(arguments.file), self.read(arguments.other))
        if arguments.json:
            print_json(document.difference_document(found))
        else:
            names = arguments.file, arguments.other
            print_difference(console(), found, names, everything=arguments.all)
        return EXIT_DIFFERENT if found else EXIT_OK

    def graph(self, arguments: Arguments) -> int:
        graph = self.read(arguments.file)
        path = Path(arguments.output or f"{arguments.file}.html")
        write_page(path, graph)
        if arguments.json:
            print_json(document.document("page", path=str(path), name=graph.name))
        else:
            print(path)
        return EXIT_OK

    def _graph(self, arguments: Arguments) -> Graph:
        graph = self.read(arguments.file)
        if arguments.html:
            write_page(Path(arguments.html), graph)
        return graph


def _natural(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value
