"""Sweeps PyTorch's operator database and keeps the counts in docs/op_coverage.md."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.sweep import entries, report  # noqa: E402
from tests.sweep.process import Worker  # noqa: E402
from tests.sweep.verdict import Verdict  # noqa: E402

RESULTS = ROOT / "build" / "op_sweep.jsonl"
DOCUMENT = ROOT / "docs" / "op_coverage.md"


def main() -> int:
    """Judges what was asked for and is not known yet; 1 if anything that was judged fails."""
    arguments = _arguments()
    known = _known()
    if arguments.write:
        DOCUMENT.write_text(report.document(list(known.values())))
        return 0
    worker = Worker(arguments.timeout)
    failed = 0
    try:
        for name, kind in _chosen(arguments, known):
            verdict = worker.judge(name, kind, arguments.sample)
            _keep(verdict)
            failed += verdict.outcome == "fails"
            print(report.line(verdict), flush=True)
    finally:
        worker.close()
    return int(failed > 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/op_sweep", description=__doc__)
    parser.add_argument("--only", nargs="+", default=(), metavar="ENTRY", help="these, judged anew")
    parser.add_argument("--dtype", nargs="+", default=entries.DTYPES, choices=entries.DTYPES)
    parser.add_argument("--sample", type=int, metavar="N", help="at most N samples of each pair")
    parser.add_argument("--slice", metavar="SEED", help="60 pairs chosen by the seed, judged anew")
    parser.add_argument("--again", nargs="+", default=(), choices=("passes", "refused", "fails"),
                        help="judge anew what ended so")  # fmt: skip
    parser.add_argument("--timeout", type=float, default=120, help="seconds for one pair")
    parser.add_argument("--write", action="store_true", help="only write the document")
    return parser.parse_args()


def _chosen(
    arguments: argparse.Namespace, known: dict[tuple[str, str], Verdict]
) -> list[tuple[str, str]]:
    if arguments.slice is not None:
        return entries.slice_of(arguments.slice, 60)
    if arguments.only:
        return entries.pairs(arguments.only, arguments.dtype)
    every = entries.pairs(kinds=arguments.dtype)
    if arguments.again:
        return [p for p in every if p in known and known[p].outcome in arguments.again]
    return [p for p in every if p not in known]


def _known() -> dict[tuple[str, str], Verdict]:
    """The last verdict on each pair, in the order of the database."""
    if not RESULTS.exists():
        return {}
    made = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    found = {
        (m["name"], m["kind"]): Verdict(**{**m, "falls_back": tuple(m["falls_back"])}) for m in made
    }
    return {pair: found[pair] for pair in entries.pairs() if pair in found}


def _keep(verdict: Verdict) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a") as file:
        file.write(json.dumps(verdict.as_dict()) + "\n")


if __name__ == "__main__":
    sys.exit(main())
