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
            "NEURON_RT_STOCHASTIC_ROUNDING_EN",
            "0",
            ("0", "1"),
            "Round f32 to a shorter float up or down by chance, with the probability of what is "
            "cut off, instead of to nearest even. Read when a model is loaded.",
        ),
        Setting(
            "NEURON_RT_STOCHASTIC_ROUNDING_SEED",
            "0",
            (),
            "The seed of stochastic rounding: models loaded with one seed round alike.",
        ),
        Setting(
            "XDG_CACHE_HOME",
            "",
            (),
            "Where the compiled C++ library is kept, in `neuron-emulator/`; by default `~/.cache`.",
        ),
        Setting(
            "NEURON_CC_FLAGS",
            "",
            (),
            "Compiler options of `neuron_cc_wrapper`, before those on its command line; of the "
            "wrapper's own, `--cache_dir` wins over `NEURON_COMPILE_CACHE_URL`. "
            "`torch_neuronx.trace` takes `compiler_args` instead.",
        ),
        Setting(
            "NEURON_COMPILE_CACHE_URL",
            "/var/tmp/neuron-compile-cache",
            (),
            "The folder of the compile cache.",
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
