"""Counts and differences as tables and lines for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from rich.console import Console
from rich.text import Text

from hlo_frontend.inspect.console import bytes_text, count_text, print_table, table
from hlo_frontend.inspect.difference import BlockDifference, Difference, opcodes
from hlo_frontend.inspect.document import notes
from hlo_frontend.inspect.graph import Graph, Node
from hlo_frontend.inspect.show import attributes_text, headline, own_value
from hlo_frontend.inspect.stats import NO_LAYER, Count, by_engine, by_layer, by_opcode, totals

LIMIT = 100  # differing instructions of a function that are listed
BAR = 12  # columns of a full bar
_COUNT_COLUMNS = (">instructions", ">FLOP", "share", ">read", ">written")


def print_stats(out: Console, graph: Graph, depth: int | None) -> None:
    """Totals, then counts by layer, by opcode and, for a NEFF, by engine."""
    out.print(headline(graph), soft_wrap=True)
    whole = totals(graph).cost.flops
    layers = by_layer(graph, depth)
    if len(layers) > 1 or (layers and layers[0].name != NO_LAYER):
        columns = ("layer", *_COUNT_COLUMNS, ">parameters")
        rows = [[*_row(c, whole, _indented(c)), _parameters(c)] for c in layers]
        rows.append([*_row(totals(graph), whole, "total"), _parameters(totals(graph))])
        _print(out, "By layer", columns, rows)
    opcode_rows = [_row(c, whole, c.name) for c in by_opcode(graph)]
    opcode_rows.append(_row(totals(graph), whole, "total"))
    _print(out, "By opcode", ("opcode", *_COUNT_COLUMNS), opcode_rows)
    if engines := by_engine(graph):
        _print(
            out, "By engine", ("engine", *_COUNT_COLUMNS), [_row(c, whole, c.name) for c in engines]
        )
    for note in notes(graph):
        out.print(Text(f"note: {note}", "dim"), soft_wrap=True)


def _print(out: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    out.print()
    print_table(out, table(title, columns, rows))


def _indented(count: Count) -> str:
    return "  " * count.depth + (count.name.rpartition(".")[2] if count.depth else count.name)


def _row(count: Count, whole: int, name: str) -> list[str]:
    share = count.cost.flops / whole if whole else 0.0
    bar = "█" * round(share * BAR) or ("▏" if share else "")
    return [
        name,
        f"{count.instructions:,}",
        count_text(count.cost.flops),
        f"{100 * share:5.1f} % {bar}",
        bytes_text(count.cost.read),
        bytes_text(count.cost.written),
    ]


def _parameters(count: Count) -> str:
    return f"{count.parameters:,}" if count.parameters else ""


def print_difference(
    out: Console, difference: Difference, names: tuple[str, str], *, everything: bool = False
) -> None:
    """What is only on one side, and what changed; or that nothing differs."""
    if not difference:
        out.print(Text("no differences", "green"))
        return
    out.print(Text.assemble((f"--- {names[0]}\n", "red"), (f"+++ {names[1]}", "green")))
    for what, old, new in difference.interface:
        _change(out, f"{what}: ", old, new)
    for block in difference.blocks:
        if block:
            _print_block(out, block, everything)


def _change(out: Console, what: str, old: str, new: str) -> None:
    if old and new:
        text = Text.assemble("! ", what, (old, "red"), " → ", (new, "green"))
    else:
        text = Text.assemble((f"- {what}{old}", "red")) if old else Text(f"+ {what}{new}", "green")
    out.print(text, soft_wrap=True)


def _print_block(out: Console, block: BlockDifference, everything: bool) -> None:
    counts = f"{len(block.removed)} removed, {len(block.added)} added, "
    counts += f"{len(block.changed)} changed, {block.same} the same"
    out.print(Text.assemble((f"\n{block.name}", "bold"), f"  {counts}"), soft_wrap=True)
    if net := opcodes(block):
        out.print(Text("  " + opcodes_text(net), "dim"), soft_wrap=True)
    lines = list(_difference_lines(block))
    for line in lines if everything else lines[:LIMIT]:
        out.print(line, soft_wrap=True)
    if not everything and len(lines) > LIMIT:
        more = f"  … {len(lines) - LIMIT:,} more lines; --all shows them"
        out.print(Text(more, "dim"))


def opcodes_text(net: dict[str, int]) -> str:
    """`+14 convert, -8 transpose`."""
    return ", ".join(f"{n:+} {op}" for op, n in net.items())


def _difference_lines(block: BlockDifference) -> Iterator[Text]:
    """By kind of difference and layer."""
    yield from _sided("-", "red", block.removed)
    yield from _sided("+", "green", block.added)
    for change in block.changed:
        where = f"  [{'.'.join(change.after.layer)}]" if change.after.layer else ""
        names = change.before.name
        if change.after.name != names:
            names += f" → {change.after.name}"
        yield Text.assemble("  ! ", (change.after.op, "bold"), f" {names}", (where, "magenta"))
        for what, old, new in change.what:
            yield Text.assemble(
                f"      {what}: ", (old or "none", "red"), " → ", (new or "none", "green")
            )
    if block.results:
        old, new = block.results
        yield Text.assemble(
            "  ! returns: ", (old or "nothing", "red"), " → ", (new or "nothing", "green")
        )


def _sided(mark: str, style: str, nodes: Iterable[Node]) -> Iterator[Text]:
    for layer, members in groupby(nodes, lambda n: n.layer):
        if layer:
            yield Text(f"    {'.'.join(layer)}", "magenta")
        for n in members:
            operands = own_value(n) or "…" * bool(n.operands)
            text = f"  {mark} {n.name} = {n.type} {n.op}({operands}){attributes_text(n)}"
            yield Text.assemble((text, style), (f"  {n.source}" * bool(n.source), "blue"))
