"""Runs a program in a new process, with what a file beside the packages does when Python starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
START = "from hlo_frontend import aliases; aliases.install()\n"


def run(program, *arguments, folder=None, **environment):
    """What the program prints. `folder` is where it runs."""
    done = subprocess.run(
        [sys.executable, "-c", START + program, *map(str, arguments)],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "CUDA_VISIBLE_DEVICES": "",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
