"""The command line of the inspection tools: output, errors, sizes and counts for people."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

PLAIN_WIDTH = 120  # columns of a table where the output is no terminal
EXIT_OK, EXIT_DIFFERENT, EXIT_BAD, EXIT_INTERRUPTED = 0, 1, 2, 130


class _Output(Console):
    """A console that leaves it to `run` what a closed pipe means."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console() -> Console:
    """Standard output: coloured on a terminal, plain where it is piped or NO_COLOR is set."""
    out = _Output(highlight=False)
    return out if out.is_terminal else _Output(highlight=False, width=PLAIN_WIDTH)


def run(who: str, command: Callable[[], int], *errors: type[Exception]) -> int:
    """The exit status of a command; of the errors listed, one line on standard error."""
    try:
        status = command()
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader has seen enough; nothing more is written at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return fail(who, f"{place}{error.strerror or error}")
    except errors as error:
        return fail(who, str(error))


def fail(who: str, message: str) -> int:
    """Say on one line what is wrong."""
    line = "; ".join(filter(None, (part.strip() for part in message.splitlines())))
    print(f"{who}: error: {line}", file=sys.stderr)
    return EXIT_BAD


def print_json(document: Any) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False))


def bytes_text(count: int) -> str:
    """`12.3 MiB`."""
    size, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{size:.1f} {units[0]}" if units[0] != "B" else f"{count} B"


def count_text(count: int) -> str:
    """`12.3 M`, in powers of a thousand."""
    size, prefix = _scaled(count)
    return f"{size} {prefix}".rstrip()


def flops_text(count: int) -> str:
    """`12.3 MFLOP`."""
    size, prefix = _scaled(count)
    return f"{size} {prefix}FLOP"


def _scaled(count: int) -> tuple[str, str]:
    size, prefixes = float(count), ["", "k", "M", "G", "T", "P"]
    while size >= 1000 and len(prefixes) > 1:
        size, prefixes = size / 1000, prefixes[1:]
    return (f"{size:.3g}" if prefixes[0] else str(count)), prefixes[0]


def print_table(out: Console, made: Table) -> None:
    """Print a table, without the spaces at the ends of lines where they are not seen anyway."""
    if out.is_terminal:
        out.print(made)
        return
    with out.capture() as lines:
        out.print(made)
    for line in lines.get().splitlines():
        out.print(Text(line.rstrip()), soft_wrap=True)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> Table:
    """A table; a column whose name begins with `>` is aligned to the right."""
    made = Table(
        title=title or None, title_justify="left", title_style="bold", box=None, pad_edge=False,
        header_style="dim", padding=(0, 2, 0, 0), show_header=any(c.strip(">") for c in columns),
    )  # fmt: skip
    for column in columns:
        right = column.startswith(">")
        made.add_column(
            column.removeprefix(">"),
            justify="right" if right else "left",
            no_wrap=True,
            overflow="ellipsis",
        )
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return made
