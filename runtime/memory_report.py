"""The report of a NeuronCore that has run out of memory: what is in use, and by which NEFF."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from runtime.memory import Account, Needs, Usage, in_units

# The columns of the runtime's table. What only hardware needs (descriptor rings, buffers of the
# profiler, collectives) stays 0 here.
COLUMNS = (
    Usage.CODE,
    Usage.CONSTANTS,
    Usage.TENSORS,
    Usage.SHARED_SCRATCHPAD,
    "Scratchpad",
    "Runtime",
    "DMA Rings IO",
    "DMA Rings Spill",
    "DMA Rings Collectives",
    "DMA Rings Runtime",
    "Collectives",
    "XT CC",
    "Profiler Buffers",
)


def memory_table(
    device: int, core: int, account: Account, on_device: Sequence[Account] = ()
) -> str:
    """What is in use on a core: by its device's cores together, by itself, by each NEFF on it.

    Core and device count in the machine; a process sees what it uses itself.
    """
    models = account.models
    together: Counter[Usage] = Counter()
    for each in on_device or (account,):
        together.update(each.used)
    rows = [(f"ND {device}", dict(together)), (f"NC {core}", account.used)]
    rows += [(f"NEFF {n}", _used_by(needs)) for n, needs in enumerate(models)]
    cells = [_cells(name, used) for name, used in rows]
    header = ["", "TOTAL", *map(str, COLUMNS)]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    lines = [_line(row, widths) for row in (header, *cells)]
    names = [f"NEFF {n}: {needs.name}" for n, needs in enumerate(models)]
    title = f"Displaying Current Memory Utilization (limit {in_units(account.limit)}):"
    return "\n".join([title, *lines, "NEFF id to name mapping:", *names])


def _used_by(needs: Needs) -> dict[Usage, int]:
    """A model's own memory: the scratchpad belongs to all of them."""
    return {
        Usage.CODE: needs.code,
        Usage.CONSTANTS: needs.constants,
        Usage.TENSORS: needs.tensors,
    }


def _cells(name: str, used: Mapping[Usage, int]) -> list[str]:
    amounts: dict[str, int] = {str(usage): size for usage, size in used.items()}
    sizes = [sum(amounts.values()), *(amounts.get(str(c), 0) for c in COLUMNS)]
    return [name, *map(in_units, sizes)]


def _line(row: list[str], widths: list[int]) -> str:
    return " | ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))


def write_report(directory: Path, device: int, stack: int, text: str) -> Path:
    """Keep a report, over the one before. The runtime writes to `/tmp`, the emulator beside the
    locks of its machine, where no other user can have left a file of that name."""
    path = directory / f"neuron_mem_table_device_{device}_hbm_{stack}.log"
    path.write_text(text + "\n", encoding="utf-8")
    return path
