"""`python -m libneuronxla.neuron_parallel_compile --command clean|clear-locks`: tend the cache."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from libneuronxla.neuron_cc_cache import CacheUrl, create_compile_cache


def main(argv: Sequence[str] | None = None) -> int:
    """Empty the cache or clear its locks; the exit status."""
    parser = argparse.ArgumentParser(prog="neuron_parallel_compile", description=__doc__)
    parser.add_argument("--command", choices=("clean", "clear-locks"), required=True)
    parser.add_argument("--cache_dir", help="by default as in docs/compiler.md")
    arguments = parser.parse_args(argv)
    try:
        cache = create_compile_cache(CacheUrl.get_cache_url(arguments.cache_dir))
        cache.clean() if arguments.command == "clean" else cache.clear_locks()
    except OSError as error:
        print(f"neuron_parallel_compile: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
