"""Every environment variable the emulator reads, in one table.

`python -m runtime.settings` prints the table as docs/env.md.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from runtime.hardware import INSTANCES


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable: its default, the values it may have (none: any), what it does."""

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
            "The EC2 instance type that is emulated: how many NeuronCores there are, and how much "
            "memory each has. Read when the first model is loaded.",
        ),
        Setting(
            "NEURON_EMULATOR_PYTHON",
            "",
            (),
            "The Python executable whose environment a program without Python runs models in; by "
            "default the one that built the C++ library.",
        ),
        Setting(
            "NEURON_EMULATOR_LIBPYTHON",
            "",
            (),
            "The shared libpython that a program without Python loads; by default that of the "
            "Python that built the C++ library.",
        ),
        Setting(
            "XDG_CACHE_HOME",
            "",
            (),
            "Where the compiled C++ library is kept, in `neuron-emulator/`; by default `~/.cache`.",
        ),
        Setting("CXX", "g++", (), "The C++17 compiler that builds the C++ library."),
    )
}


def setting(name: str) -> str:
    """The value of a setting, now. Raises ValueError for a value outside its choices."""
    known = SETTINGS[name]
    value = os.environ.get(name) or known.default
    if known.choices and value not in known.choices:
        raise ValueError(f"{name}: must be one of {', '.join(known.choices)}, got {value!r}")
    return value


def document() -> str:
    """docs/env.md."""
    lines = [
        "# Environment variables",
        "",
        "Made by `python -m runtime.settings`.",
        "",
        "| variable | default | values | meaning |",
        "|---|---|---|---|",
    ]
    for s in SETTINGS.values():
        values = ", ".join(f"`{c}`" for c in s.choices) or "any"
        default = f"`{s.default}`" if s.default else ""
        lines.append(f"| `{s.name}` | {default} | {values} | {s.meaning} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    print(document(), end="")
