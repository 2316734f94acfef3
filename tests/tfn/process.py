"""Runs a program in a new process, with what a file beside the packages does when Python starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
START = "from hlo_frontend import aliases; aliases.install()\n"
LEGACY = {"TF_USE_LEGACY_KERAS": "1"}
# glibc keeps the memory that it frees: large weights come and go often.
MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 33)}


def start(program, *arguments, folder=None, **environment):
    """Start a program. `folder` is where it runs."""
    return subprocess.Popen(
        [sys.executable, "-c", START + program, *map(str, arguments)],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "CUDA_VISIBLE_DEVICES": "",
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    """What a program printed."""
    try:
        printed, errors = process.communicate(timeout=1800)
    finally:
        process.kill()
    assert process.returncode == 0, printed + errors
    return printed


def run(program, *arguments, folder=None, **environment):
    """Start a program, and wait for what it prints."""
    return finish(start(program, *arguments, folder=folder, **environment))
