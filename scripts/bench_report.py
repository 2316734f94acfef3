"""What `scripts/bench` measured: tables on the terminal, and in docs/performance.md with plots."""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from scripts.bench_contestants import CONTESTANTS
from scripts.bench_document import replaced
from scripts.bench_peers import kept
from scripts.bench_roofline import least_seconds

DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN = "<!-- made by scripts/bench --write: begin -->"
FP32_PEERS = ("inductor", "onnxruntime", "openvino")
EVERY_FP32 = ("eager", *FP32_PEERS)
Cells = list[str]


@dataclass(frozen=True, slots=True)
class Section:
    """A table with a title, and lines below it."""

    title: str
    head: Cells
    rows: list[Cells]
    notes: list[str]


@dataclass(frozen=True, slots=True)
class Row:
    """The seconds of a call of a model by contestant, and why some have none."""

    name: str
    seconds: Mapping[str, float]
    reasons: Mapping[str, str]
    work: Mapping[str, float]

    def ratio(self, ours: str, others: Iterable[str]) -> float | None:
        """Of ours to the best of others; None where one side was not measured."""
        best = min((self.seconds[o] for o in others if o in self.seconds), default=None)
        return None if best is None or ours not in self.seconds else self.seconds[ours] / best


def _rows(results: Mapping[str, Any]) -> list[Row]:
    made = []
    for key, row in results.get("peers", {}).items():
        found = row["contestants"]
        seconds = {n: statistics.median(r["turns"]) for n, r in found.items() if r.get("turns")}
        reasons = {n: r["reason"] for n, r in found.items() if "reason" in r}
        made.append(Row(key, seconds, reasons, row["work"]))
    return made


# Each: what it says, ours, those of whom the best is taken, the goal, whether it is for each model.
RATIOS: tuple[tuple[str, str, tuple[str, ...], float, bool], ...] = (
    ("fp32 / eager", "ours", ("eager",), 1.0, True),
    ("fp32 / best fp32", "ours", FP32_PEERS, 1.15, False),
    ("bf16 / OpenVINO bf16", "ours-bf16", ("openvino-bf16",), 1.15, False),
    ("bf16 / best fp32", "ours-bf16", EVERY_FP32, 1.0, True),
)


def digits(value: float) -> str:
    """Three significant digits."""
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}" if value > 0 else "0"


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def peers(results: Mapping[str, Any]) -> Iterator[Section]:
    """Milliseconds of a call, ratios, and how near the roofline ours are."""
    rows, machine = _rows(results), results.get("machine", {})
    if not rows:
        return
    marks: dict[str, int] = {}
    for row in rows:
        for name, reason in row.reasons.items():
            marks.setdefault(f"{name}: {reason}", len(marks) + 1)
    table = [[row.name, *(_time(row, name, marks) for name in CONTESTANTS)] for row in rows]
    notes = [f"{n}. {reason}" for reason, n in marks.items()]
    yield Section("Milliseconds of a call", ["model/batch", *CONTESTANTS], table, notes)
    head = ["model/batch", *(r[0] for r in RATIOS), "GFLOP", "of roofline fp32", "of roofline bf16"]
    table = []
    for row in rows:
        ratios = [_shown(row.ratio(ours, others)) for _, ours, others, _, _ in RATIOS]
        near = [_near(row, machine, name) for name in ("ours", "ours-bf16")]
        table.append([row.name, *ratios, digits(row.work["gflop"]), *near])
    yield Section(
        "Ratios of the medians; less than 1: ours is faster", head, table, list(_goals(rows))
    )


def _time(row: Row, name: str, marks: Mapping[str, int]) -> str:
    if name in row.seconds:
        return digits(row.seconds[name] * 1e3)
    return f"({marks[f'{name}: {row.reasons[name]}']})" if name in row.reasons else ""


def _near(row: Row, machine: Mapping[str, Any], name: str) -> str:
    if name not in row.seconds or not machine:
        return ""
    least = least_seconds(dict(row.work), dict(machine), name.endswith("bf16"))
    return f"{least / row.seconds[name]:.0%}"


def _goals(rows: Iterable[Row]) -> Iterator[str]:
    rows = list(rows)
    for text, ours, others, goal, each in RATIOS:
        found = {r.name: ratio for r in rows if (ratio := r.ratio(ours, others)) is not None}
        if not found:
            continue
        mean, worst = statistics.geometric_mean(found.values()), max(found, key=found.__getitem__)
        over = sum(ratio > goal for ratio in found.values())
        line = f"{text}: geometric mean {mean:.2f}, worst {found[worst]:.2f} ({worst})"
        if each:
            yield f"{line}; goal ≤ {goal} for each, {over} of {len(found)} are above it"
        else:
            yield f"{line}; goal ≤ {goal} as geometric mean"


def stages(results: Mapping[str, Any]) -> Iterator[Section]:
    """Seconds and memory of building and loading."""
    found = results.get("stages", {})
    if not found:
        return
    times = ("capture", "compile", "load", "first load", "second load")
    head = [
        "model/batch",
        *(f"{t}, s" for t in times),
        "weights, MB",
        "peak / weights",
        "instructions",
    ]
    table = [
        [
            name,
            *(f"{row[t]:.2f}" for t in times),
            f"{row['weights'] / 1e6:.0f}",
            f"{row['peak'] / row['weights']:.2f}",
            str(row["instructions"]),
        ]
        for name, row in found.items()
    ]
    notes = [
        "*load* is that of the trace itself. *first load* reads a saved file in a process that has "
        "only imported torch and torch_neuronx; *second load*, the median of three, does so again "
        "and finds what XLA compiled, where it has a part, in the cache of executables.",
        "*peak* is how much the process grows at most while it captures, compiles and loads.",
    ]
    yield Section("Building and loading", head, table, notes)


def growth(results: Mapping[str, Any]) -> Iterator[Section]:
    """How times grow with depth and batch."""
    for name, points in results.get("growth", {}).items():
        kinds = ("capture", "compile", "load", "call")
        table = [[at, *(digits(p[k] * 1e3) for k in kinds)] for at, p in points.items()]
        notes = [_line_through(points, kind) for kind in kinds[1:]]
        yield Section(f"Growth with {name}, milliseconds", [name, *kinds], table, notes)


CONSTANT = 2.0  # a series whose largest is less than so many times its least does not grow


def _line_through(points: Mapping[str, Mapping[str, float]], kind: str) -> str:
    x, y = [float(n) for n in points], [p[kind] for p in points.values()]
    if max(y) < CONSTANT * min(y):
        return f"*{kind}* does not grow: {digits(min(y) * 1e3)} to {digits(max(y) * 1e3)}"
    return f"straight line through *{kind}*: R² = {statistics.correlation(x, y) ** 2:.3f}"


SECTIONS: tuple[Callable[[Mapping[str, Any]], Iterator[Section]], ...] = (peers, stages, growth)


def main(given: argparse.Namespace, console: Console) -> None:
    """Show what the file holds; with `--write`, keep it in the document."""
    results = kept(given.json)
    sections = [section for make in SECTIONS for section in make(results)]
    for section in sections:
        table = Table(*section.head, title=section.title)
        for row in section.rows:
            table.add_row(*row)
        console.print(table)
        for note in section.notes:
            console.print(note)
    if given.write:
        pictures = plots(results, DOCUMENT.parent)
        DOCUMENT.write_text(merged(DOCUMENT.read_text(), markdown(results, sections, pictures)))


def markdown(results: Mapping[str, Any], sections: Iterable[Section], pictures: list[str]) -> str:
    """What stands between the markers of the document."""
    lines = list(_machine(results))
    for section in sections:
        lines += [f"### {section.title}", "", _line(section.head)]
        lines += ["|---|" + "---:|" * (len(section.head) - 1), *map(_line, section.rows), ""]
        lines += [line for note in section.notes for line in (f"- {note}",)] + [""]
    lines += [line for picture in pictures for line in (f"![{picture}]({picture})", "")]
    return "\n".join(lines)


def _machine(results: Mapping[str, Any]) -> Iterator[str]:
    if m := results.get("machine"):
        yield (
            f"Machine: {m['cpu']}, {m['threads']} threads; measured peaks: {m['f32']:.0f} GFLOP/s "
            f"in fp32 and {m['bf16']:.0f} in bf16 (PyTorch's matrix multiplication), "
            f"{m['bandwidth']:.0f} GB/s from memory."
        )
        yield ""
    if versions := results.get("versions"):
        named = {CONTESTANTS[n].distribution: v for n, v in versions.items() if v}
        yield "Versions: " + ", ".join(f"{name} {v}" for name, v in named.items()) + "."
        yield ""


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def merged(text: str, made: str) -> str:
    """A document with what is between its markers replaced. Raises ValueError without markers."""
    return replaced(text, BEGIN, made, DOCUMENT)


def plots(results: Mapping[str, Any], folder: Path) -> list[str]:
    """Pictures of the growth, where matplotlib is installed; their names."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return []
    series = results.get("growth", {})
    if not series:
        return []
    figure = Figure(figsize=(11, 4))
    for place, (name, points) in enumerate(series.items(), start=1):
        axes = figure.add_subplot(1, len(series), place)
        for kind in ("compile", "load", "call"):
            axes.plot(
                [int(n) for n in points], [p[kind] for p in points.values()], "o-", label=kind
            )
        axes.set(xlabel=name, ylabel="seconds", title=f"BERT by {name}")
        axes.legend()
    figure.tight_layout()
    figure.savefig(folder / "growth.png", dpi=80)
    return ["growth.png"]
