"""How the Neuron devices of an instance are linked with each other."""

from __future__ import annotations

from math import prod

from runtime.hardware import Instance

# By NeuronCore version and number of devices, the sides of the torus they form (AWS, instance
# types). Others are a chain on Inferentia, a ring on what came after.
TORI = {
    (2, 16): (4, 4),
    (3, 16): (4, 4),
    (3, 64): (4, 4, 4),
    (4, 64): (4, 4, 4),
}
SWITCHED = {(4, 144)}  # every device with every other


def linked(instance: Instance, device: int) -> list[int]:
    """The devices that a device is linked with: in each dimension the one before, then after."""
    kind = (instance.core, instance.devices)
    if kind in SWITCHED:
        return [n for n in range(instance.devices) if n != device]
    if instance.core == 1:
        return [n for n in (device - 1, device + 1) if 0 <= n < instance.devices]
    sides = TORI.get(kind, (instance.devices,))
    steps = [prod(sides[n + 1 :]) for n in range(len(sides))]
    found: list[int] = []
    for by in (-1, 1):
        for side, step in zip(sides, steps, strict=True):
            place = device // step % side
            found.append(device + ((place + by) % side - place) * step)
    return [n for n in dict.fromkeys(found) if n != device]


def topology(instance: Instance) -> str:
    """The devices in rows, each linked with its neighbours and, in a torus, first with last."""
    sides = TORI.get((instance.core, instance.devices), (instance.devices,))
    row = sides[-1]
    rows = [
        "◄––►".join(f"[{n:^5}]" for n in range(first, first + row))
        for first in range(0, instance.devices, row)
    ]
    between = "◄––►".join("   ▲   " for _ in range(row)).replace("◄––►", "    ")
    return "\n".join(["Neuron Device Topology", *f"\n{between}\n".join(rows).splitlines()])
