"""Measures the numerics contract's bounds and keeps them in docs/numerics_bounds.md."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.numerics import measure


def main() -> None:
    """Prints the page, or with `--write` keeps it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="keep the page in docs/")
    page = measure.document(measure.measure())
    if parser.parse_args().write:
        measure.PAGE.write_text(page)
    print(page, end="")


if __name__ == "__main__":
    main()
