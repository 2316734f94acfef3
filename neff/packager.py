"""`neuron-packager`: what a NEFF holds, its parts as a folder, a folder as a NEFF."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from hlo_frontend.inspect.console import EXIT_OK, bytes_text, console, print_json, run
from hlo_frontend.inspect.document import document
from neff.errors import CompileError, NeffError
from neff.files import write_atomically
from neff.inspect.describe import info_document, print_contents, print_header
from neff.inspect.file import contents, open_neff
from neff.inspect.folder import pack, unpack

Arguments = argparse.Namespace


def info(arguments: Arguments) -> int:
    """Print the header, then the contents; of a foreign file only the former can be read."""
    raw = open_neff(arguments.file)
    if arguments.json:
        print_json(info_document(raw, contents(raw).program))
        return EXIT_OK
    out = console()
    print_header(out, raw)
    print_contents(out, contents(raw).program, everything=arguments.all)
    return EXIT_OK


def unpack_file(arguments: Arguments) -> int:
    raw = open_neff(arguments.file)
    folder = Path(arguments.output or raw.path.stem)
    if not arguments.output and folder.absolute() == raw.path.absolute():
        raise NeffError(f"unpack: {folder} is the file itself\n  try: --output DIR")
    files = unpack(raw, folder)
    if arguments.json:
        print_json(document("unpack", folder=str(folder), files=[str(f) for f in files]))
    else:
        print(f"{folder}: {len(files)} files")
    return EXIT_OK


def pack_folder(arguments: Arguments) -> int:
    folder = Path(arguments.folder)
    path = Path(arguments.output or f"{folder.name or folder.resolve().name}.neff")
    data = pack(folder)
    write_atomically(path, data.data)
    if arguments.json:
        print_json(document("pack", file=str(path), bytes=len(data)))
    else:
        print(f"{path}: {bytes_text(len(data))}")
    return EXIT_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="neuron-packager", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, text, given, command in (
        ("info", "print the header, tensors, weights and streams", "file", info),
        ("unpack", "write the parts into a folder", "file", unpack_file),
        ("pack", "make a NEFF of a folder that unpack wrote", "folder", pack_folder),
    ):
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(run=command)
        made.add_argument(given, metavar=given.upper())
        made.add_argument("--json", action="store_true", help="print JSON")
        if command is info:
            made.add_argument("--all", action="store_true", help="list every tensor")
        else:
            what = "folder, default: the file's name" if command is unpack_file else "file"
            made.add_argument("-o", "--output", metavar="PATH", help=f"the {what} to write")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    return run("neuron-packager", lambda: int(arguments.run(arguments)), NeffError, CompileError)


if __name__ == "__main__":
    sys.exit(main())
