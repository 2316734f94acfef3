"""`neuron-ls`: the emulated Neuron devices, and which process holds which NeuronCore."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from runtime.hardware import FIRST_PAIRED
from runtime.layout import Layout, layout
from runtime.links import linked, topology
from runtime.reservation import Holder, directory, holders
from runtime.version import RUNTIME_VERSION

INSTANCE_ID = "i-00000000000000000"  # of no machine
NO_NODE = "-1"  # what Linux says of a device that is on no NUMA node
COMMAND_WIDTH = 40
WIDE = 10_000  # columns: nothing is cut off or wrapped
GIB = 1 << 30


def main(argv: Sequence[str] | None = None) -> int:
    """Print the devices; the exit status."""
    parser = argparse.ArgumentParser(prog="neuron-ls", description=__doc__)
    parser.add_argument("-w", "--wide", action="store_true", help="whole commands, more columns")
    parser.add_argument(
        "-a", "--show-all-procs", action="store_true", help="also processes that run no model"
    )
    parser.add_argument("-t", "--topology", action="store_true", help="how devices are linked")
    parser.add_argument("-j", "--json-output", action="store_true", help="JSON instead of a table")
    arguments = parser.parse_args(argv)
    try:
        here = layout()
        processes = holders(directory(here.instance_type))
    except (OSError, ValueError) as error:
        print(f"neuron-ls: {error}", file=sys.stderr)
        return 1
    if arguments.show_all_procs:
        processes = [*processes, _this_process(here)]
    devices = describe(here, processes)
    if arguments.json_output:
        print(json.dumps(devices, indent=4))
        return 0
    console = Console(highlight=False)
    if arguments.wide or not console.is_terminal:
        console = Console(highlight=False, width=WIDE)
    _print_header(console, here)
    console.print(_table(devices, arguments.wide))
    if arguments.topology:
        console.print(topology(here.instance), markup=False)
    return 0


def _this_process(here: Layout) -> Holder:
    """neuron-ls itself: it looks at every device and holds no core."""
    command = " ".join(sys.argv)
    return Holder(os.getpid(), command, str(os.getpid()), RUNTIME_VERSION, (), False)


def describe(here: Layout, processes: Iterable[Holder]) -> list[dict[str, Any]]:
    """The devices by neuron-ls's published names.

    A process has besides: its tag, `neuroncore_ids`, the cores of the device that it uses, and
    whether it shares them with others.
    """
    processes = list(processes)
    return [_device(here, n, processes) for n in range(here.instance.devices)]


def _device(here: Layout, number: int, processes: Sequence[Holder]) -> dict[str, Any]:
    first = number * here.cores_per_device
    cores = range(first, first + here.cores_per_device)
    paired = here.instance.core >= FIRST_PAIRED
    found = [(h, sorted(set(h.cores) & set(cores))) for h in processes]
    return {
        "neuron_device": number,
        "bdf": f"{0x10 + number:02x}:00.0",
        "cpu_affinity": in_ranges(sorted(os.sched_getaffinity(0))),
        "numa_node": NO_NODE,
        "connected_to": linked(here.instance, number),
        "nc_count": here.cores_per_device,
        **({"logical_neuroncore_config": here.logical} if paired else {}),
        "memory_size": here.instance.chip.memory,
        "neuroncore_ids": list(cores),
        "neuron_processes": [_process(h, used) for h, used in found if used or not h.cores],
    }


def _process(holder: Holder, cores: list[int]) -> dict[str, Any]:
    return {
        "pid": holder.pid,
        "command": holder.command,
        "neuron_runtime_version": holder.runtime_version,
        "neuron_process_tag": holder.tag,
        "neuroncore_ids": cores,
        "shares": bool(cores) and not holder.exclusive,
    }


def in_ranges(numbers: Sequence[int]) -> str:
    """Increasing numbers as `0-3,8`."""
    runs: list[list[int]] = []
    for n in numbers:
        if runs and runs[-1][-1] == n - 1:
            runs[-1][1:] = [n]
        else:
            runs.append([n])
    return ",".join("-".join(map(str, run)) for run in runs)


def _print_header(console: Console, here: Layout) -> None:
    console.print(f"instance-type: {here.instance_type}")
    console.print(f"instance-id: {INSTANCE_ID}")
    if here.instance.core >= FIRST_PAIRED:
        console.print(f"logical-neuroncore-config: {here.logical}")


def _table(devices: Sequence[dict[str, Any]], wide: bool) -> Table:
    """A row for each device, and one for each further process on it."""
    names = ["NEURON DEVICE", "NEURON CORES", "NEURON CORE IDS", "NEURON MEMORY"]
    names += ["CONNECTED DEVICES", "PCI BDF"]
    names += ["CPU AFFINITY", "NUMA NODE"] if wide else []
    busy = any(d["neuron_processes"] for d in devices)
    names += ["PID", "USED CORE IDS", "COMMAND", "RUNTIME VERSION"] if busy else []
    table = Table(*(n.replace(" ", "\n", 1) for n in names), show_lines=True)
    for device in devices:
        cells = _device_cells(device, wide)
        table.add_row(*(Text(c) for c in (*cells, *_columns(device["neuron_processes"], wide))))
    return table


def _device_cells(device: dict[str, Any], wide: bool) -> list[str]:
    cells = [
        str(device["neuron_device"]),
        str(device["nc_count"]),
        in_ranges(device["neuroncore_ids"]),
        f"{device['memory_size'] // GIB} GB",
        ", ".join(map(str, device["connected_to"])),
        device["bdf"],
    ]
    return [*cells, device["cpu_affinity"], device["numa_node"]] if wide else cells


def _columns(processes: Sequence[dict[str, Any]], wide: bool) -> list[str]:
    """The processes of a device, one on a line; nothing where no device has any."""
    width = WIDE if wide else COMMAND_WIDTH
    rows = [
        (
            str(p["pid"]),
            in_ranges(p["neuroncore_ids"]) + (" (shared)" if p["shares"] else ""),
            _cut(p["command"], width),
            p["neuron_runtime_version"],
        )
        for p in processes
    ]
    return ["\n".join(column) for column in zip(*rows, strict=True)]


def _cut(text: str, width: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


if __name__ == "__main__":
    sys.exit(main())
