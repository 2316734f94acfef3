"""Every environment variable the emulator reads, in one table."""

from __future__ import annotations

import os
from dataclasses import dataclass

from runtime.hardware import INSTANCES


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable: its default, the values it may have, and what it does."""

    name: str
    default: str
    choices: tuple[str, ...]
    meaning: str


SETTINGS: dict[str, Setting] = {
    s.name: s
    for s in (
        Setting(
            "NEURON_EMULATOR_INSTANCE_TYPE",
            "inf2.xlarge",
            tuple(INSTANCES),
            "The EC2 instance type that is emulated: how many NeuronCores there are.",
        ),
    )
}


def setting(name: str) -> str:
    """The value of a setting, now. Raises ValueError for a value outside its choices."""
    known = SETTINGS[name]
    value = os.environ.get(name, known.default)
    if known.choices and value not in known.choices:
        raise ValueError(f"{name}: must be one of {', '.join(known.choices)}, got {value!r}")
    return value
