"""Sweep of timm and torchvision: every model prepared, timed, and compared with itself."""

from __future__ import annotations

import argparse
import fnmatch
import json
import random
import statistics
import sys
import time
import warnings
from collections import Counter
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from runtime.settings import setting  # noqa: E402
from tests.model_preparer.zoo import OUTCOMES, Result, measure, names  # noqa: E402

DOCUMENT = ROOT / "docs" / "model_preparer.md"
BEGIN, END = "<!-- made by scripts/prepare_sweep --write -->", "<!-- end -->"


def read_state(path: Path) -> dict[str, Result]:
    """The last result of every model."""
    if not path.exists():
        return {}
    results = [Result(**json.loads(line)) for line in path.read_text().splitlines()]
    return {r.name: r for r in results}


def sweep(todo: list[str], given: argparse.Namespace) -> None:
    """Measure these models, in an order that soon has something of each family."""
    random.Random(0).shuffle(todo)
    end = time.monotonic() + given.minutes * 60
    given.state.parent.mkdir(parents=True, exist_ok=True)
    with given.state.open("a") as file:
        for number, name in enumerate(todo, start=1):
            if time.monotonic() > end:
                break
            result = measure(name, given.largest * 1e6, given.pairs)
            print(json.dumps(asdict(result)), file=file, flush=True)
            ratio = "" if result.ratio is None else f"{result.ratio:.2f} x"
            print(f"{number}/{len(todo)} {name}: {result.outcome} {ratio} {result.reason}")


def summary(results: dict[str, Result], largest: float) -> list[str]:
    """The counts and the times as Markdown."""
    lines = ["| | models | " + " | ".join(OUTCOMES) + " |", "|---|" + "---:|" * 6]
    for library in ("timm", "torchvision"):
        of = Counter(r.outcome for r in results.values() if r.name.startswith(library + "/"))
        cells = [library, of.total(), *(of[outcome] for outcome in OUTCOMES)]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    ratios = sorted(r.ratio for r in results.values() if r.ratio is not None)
    most = ratios[len(ratios) * 95 // 100]
    worst = max((r for r in results.values() if r.ratio), key=lambda r: r.ratio or 0)
    lines += [
        "",
        f"Identical: equal bit for bit, compared where a model has at most {largest:.0f} million "
        "parameters; prepared: larger, not run. Each is prepared a second time, which changes "
        "nothing. Untraceable: `torch.fx.symbolic_trace` refuses it too.",
        "",
        f"Time, relative to `torch.fx.symbolic_trace` on the same model, {len(ratios)} models: "
        f"median {statistics.median(ratios):.2f}, 95 % below {most:.2f}, "
        f"largest {worst.ratio:.2f} ({worst.name}).",
    ]
    bad = [r for r in results.values() if r.outcome in ("fails", "broken")]
    return [*lines, *(f"- {r.name} ({r.outcome}): `{r.reason}`" for r in bad)]


def write(lines: list[str]) -> None:
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    DOCUMENT.write_text("\n".join([before + BEGIN, *lines, END + after]))


def main() -> int:
    parser = argparse.ArgumentParser(prog="prepare_sweep", description=__doc__)
    cache = Path(setting("XDG_CACHE_HOME") or Path.home() / ".cache")
    default = cache / "neuron-emulator" / "prepare_sweep.jsonl"
    parser.add_argument("--state", type=Path, default=default, help="results so far, JSON lines")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="as in timm/resnet*")
    parser.add_argument("--largest", type=float, default=25, help="millions of parameters to run")
    parser.add_argument("--pairs", type=int, default=3, help="times that both are measured")
    parser.add_argument("--minutes", type=float, default=600, help="after which no model is begun")
    parser.add_argument("--again", action="store_true", help="also what was measured before")
    parser.add_argument("--write", action="store_true", help=f"write into {DOCUMENT.name}")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    chosen = [name for name in names() if fnmatch.fnmatch(name, given.only)]
    before = {} if given.again else read_state(given.state)
    sweep([name for name in chosen if name not in before], given)
    results = read_state(given.state)
    lines = summary(results, given.largest)
    print("\n".join(lines))
    if given.write:
        write(lines)
    return 1 if any(r.outcome == "fails" for r in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
