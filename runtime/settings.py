"""Every environment variable the emulator reads, in one table.

`python -m runtime.settings` prints the table as docs/env.md.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from runtime.hardware import DEFAULT_INSTANCE, INSTANCES


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable: its default, the values it may have (none: any), what it does."""

    name: str
    default: str
    choices: tuple[str, ...]
    meaning: str


SWITCH = ("0", "1", "FALSE", "TRUE", "false", "true")
LOGGERS = (
    ("", ""),
    *((f"_{part}", f"'s component {part}") for part in ("NRT", "NMGR", "TDRV")),
)
SETTINGS: dict[str, Setting] = {
    s.name: s
    for s in (
        Setting(
            "NEURON_EMULATOR_INSTANCE_TYPE",
            DEFAULT_INSTANCE,
            tuple(INSTANCES),
            "The EC2 instance type that is emulated: how many NeuronCores there are, and how much "
            "memory each has. Read when the first model is loaded; where it is not set and that "
            "model was compiled for inf1, the machine is an inf1.xlarge.",
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
            "Where compiled libraries and executables are kept, in `neuron-emulator/`; by default "
            "`~/.cache`.",
        ),
        Setting(
            "NEURON_CC_FLAGS",
            "",
            (),
            "Compiler options of `neuron_cc_wrapper`, before those on its command line; of the "
            "wrapper's own, `--cache_dir` wins over `NEURON_COMPILE_CACHE_URL`. "
            "`torch_neuronx.trace` takes `compiler_args` instead. What `tensorflow.neuron.trace` "
            "reads of it: docs/tensorflow.md.",
        ),
        Setting(
            "NEURON_COMPILE_CACHE_URL",
            "/var/tmp/neuron-compile-cache",
            (),
            "The folder of the compile cache.",
        ),
        Setting(
            "XDG_RUNTIME_DIR",
            "",
            (),
            "Where the emulated machine's locks are kept, in `neuron-emulator/`; by default a "
            "directory of the user's among the temporary files.",
        ),
        Setting(
            "NEURON_EMULATOR_RUNTIME_DIR",
            "",
            (),
            "In place of `XDG_RUNTIME_DIR`: processes that name the same directory share one "
            "emulated machine and its NeuronCores, others have machines of their own.",
        ),
        Setting(
            "NEURON_EMULATOR_EXCLUSIVE_CORES",
            "asked",
            ("asked", "always"),
            "Which processes hold NeuronCores for themselves: those that ask for cores by "
            "`NEURON_RT_VISIBLE_CORES` or `NEURON_RT_NUM_CORES`, or, as on the hardware, all.",
        ),
        Setting(
            "NEURON_EMULATOR_FAULTS",
            "",
            (),
            "Loads and executions that fail, are late or give NaN: see docs/faults.md.",
        ),
        Setting(
            "NEURON_LOGICAL_NC_CONFIG",
            "",
            ("1", "2"),
            "How many physical NeuronCores make the logical core that the runtime counts; by "
            "default 2 on trn2 and trn3, 1 elsewhere, where 2 is refused.",
        ),
        Setting("NEURON_RT_VIRTUAL_CORE_SIZE", "", ("1", "2"), "The same."),
        Setting(
            "NEURON_RT_VISIBLE_CORES",
            "",
            (),
            "The NeuronCores of this process, exclusively: an index, a range or a list of both, "
            "contiguous and increasing. Wins over `NEURON_RT_NUM_CORES`.",
        ),
        Setting(
            "NEURON_RT_NUM_CORES",
            "",
            (),
            "How many free NeuronCores this process takes, exclusively; 0 is all.",
        ),
        Setting(
            "NEURONCORE_GROUP_SIZES",
            "",
            (),
            "Deprecated: sizes of groups of NeuronCores (`1,2`, `[2,2]`, `1x4`), whose sum counts "
            "as `NEURON_RT_NUM_CORES` where that is not set; answered with a warning.",
        ),
        Setting(
            "NEURON_PROFILE",
            "",
            (),
            "Where AWS's runtime writes profiles of executions; answered with a warning: none are "
            "made.",
        ),
        Setting(
            "NEURON_RT_EXEC_TIMEOUT",
            "",
            (),
            "Seconds after which an execution ends with NRT_TIMEOUT; by default 30 on inf1, 600 "
            "elsewhere. Read when a model is loaded.",
        ),
        Setting(
            "NEURON_RT_ALLOW_LEGACY_NEFF",
            "0",
            SWITCH,
            "Whether to load a NEFF that was compiled for an older NeuronCore.",
        ),
        Setting(
            "NEURON_RT_VALIDATE_HASH",
            "0",
            SWITCH,
            "Whether to compare a NEFF's contents with the hash in its header at load. Without, "
            "every part is compared with a checksum, which takes a fifth of the time.",
        ),
        Setting(
            "NEURON_RT_NUMERICAL_ERRORS_VERBOSITY",
            "none",
            ("none", "critical"),
            "With `critical`, an execution whose outputs hold NaN ends with "
            "NRT_EXEC_COMPLETED_WITH_NUM_ERR.",
        ),
        Setting("NEURON_FAIL_ON_NAN", "0", SWITCH, "The same."),
        Setting(
            "NEURON_EMULATOR_KERNELS",
            "native",
            ("native", "avx2", "jax"),
            "What the regions of a program run on: kernels compiled for this processor, or for any "
            "with AVX2 (both need a C++ compiler once), or JAX alone. Read when a model is loaded.",
        ),
        Setting(
            "NEURON_EMULATOR_EXECUTABLE_CACHE",
            "512",
            (),
            "How many MiB of compiled executables are kept in `$XDG_CACHE_HOME/neuron-emulator/"
            "executables/`, so that a file that was loaded before loads faster; 0 keeps and uses "
            "none. Read when a model is loaded.",
        ),
        Setting(
            "XLA_FLAGS",
            "",
            (),
            "What XLA is told by its user; executables compiled with other flags are kept apart.",
        ),
        Setting(
            "NEURON_EMULATOR_CHECK_BOUNDS",
            "1",
            SWITCH,
            "Whether a gather or scatter that leaves its operand ends with NRT_EXEC_OOB, as on "
            "the hardware; if not, XLA clamps the index or drops the update.",
        ),
        Setting(
            "NEURON_RT_ENABLE_DEVICE_MEMORY_OOM_LOG",
            "1",
            SWITCH,
            "Whether a core that runs out of memory leaves its table of what is in use in the log "
            "and in a file beside the machine's locks.",
        ),
        Setting(
            "NEURON_RT_DBG_DUMP_INPUTS_ON_ERR",
            "0",
            (),
            "The number of a status: an execution that ends with it leaves its inputs in "
            "`./input_dump_<random>_h_nn_<execution>/`. 0 is none.",
        ),
        Setting(
            "NEURON_RT_MULTI_INSTANCE_SHARED_WEIGHTS",
            "1",
            SWITCH,
            "Whether the instances of a model on several cores share weights; in host memory the "
            "emulator keeps them once in any case, and each core's account counts them.",
        ),
        Setting(
            "NEURON_RT_ASYNC_EXEC_MAX_INFLIGHT_REQUESTS",
            "0",
            (),
            "Removed from the runtime; a value other than 0 is answered with a warning.",
        ),
        Setting(
            "NEURON_PROCESS_TAG", "", (), "What `neuron-ls` calls this process; by default its id."
        ),
        *(
            Setting(
                "NEURON_RT_LOG_LEVEL" + suffix,
                "",
                ("QUIET", "ERROR", "WARNING", "WARN", "INFO", "DEBUG", "TRACE"),
                f"How much the runtime{of} says; by default ERROR, INFO where it goes to syslog.",
            )
            for suffix, of in LOGGERS
        ),
        *(
            Setting(
                "NEURON_RT_LOG_LOCATION" + suffix,
                "" if suffix else "console",
                (),
                f"Where the runtime{of} says it: `console` (standard error), `syslog`, or a file.",
            )
            for suffix, of in LOGGERS
        ),
        Setting("CXX", "g++", (), "The C++17 compiler that builds the C++ library."),
    )
}


def setting(name: str) -> str:
    """The value of a setting, now. Raises ValueError for a value outside its choices."""
    known = SETTINGS[name]
    value = os.environ.get(name) or known.default
    if known.choices and value not in (*known.choices, known.default):
        raise ValueError(f"{name}: must be one of {', '.join(known.choices)}, got {value!r}")
    return value


def is_set(name: str) -> bool:
    """Whether a setting was given a value."""
    return bool(os.environ.get(SETTINGS[name].name))


def switched_on(name: str) -> bool:
    """Whether a setting that is on or off is on. Raises ValueError for other values."""
    return setting(name) in ("1", "TRUE", "true")


def number(name: str) -> int:
    """The value of a setting that is a number. Raises ValueError for other values."""
    value = setting(name)
    if not (value.isdecimal() and value.isascii()) or int(value) >= 1 << 31:
        raise ValueError(f"{name}: must be a number from 0 to {(1 << 31) - 1}, got {value!r}")
    return int(value)


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
