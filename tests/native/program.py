"""Builds and runs run_model.cc, a C++ program that uses libtorch and our library alone."""

import os
import subprocess
from pathlib import Path

import torch

from runtime import library

SOURCE = Path(__file__).with_name("run_model.cc")


def build_program(directory: Path) -> Path:
    """Compiles the program the way docs tell users to; returns its path."""
    torch_directory = Path(torch.__file__).parent
    native = library.build()
    program = directory / "run_model"
    command = ["g++", "-std=c++17", "-O1", str(SOURCE), "-o", str(program)]
    includes = [torch_directory / "include", torch_directory / "include/torch/csrc/api/include"]
    command += [f"-isystem{path}" for path in includes]
    command += [f"-I{Path(library.__file__).parent / 'native'}"]
    for path in (native.parent, torch_directory / "lib"):
        command += [f"-L{path}", f"-Wl,-rpath,{path}"]
    command += [
        "-Wl,--no-as-needed",
        "-ltorchneuron",
        "-ltorch",
        "-ltorch_cpu",
        "-lc10",
        "-pthread",
    ]
    subprocess.run(command, check=True, timeout=300)
    return program


def run_program(program: Path, *arguments: str | Path, **env: str) -> subprocess.CompletedProcess:
    """Runs it in an environment that has no Python settings but those given."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return subprocess.run(
        [program, *map(str, arguments)],
        env={**clean, **env},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=300,
    )
