"""Counts what the compiler leaves in the programs of well-known models."""

from __future__ import annotations

import argparse

from tests.models import program_counts


def main() -> None:
    """Prints the table, or with `--write` keeps it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="keep the table in tests/models/")
    write = parser.parse_args().write
    table = program_counts.table()
    if write:
        program_counts.FILE.write_text(table)
    print(table, end="")


if __name__ == "__main__":
    main()
