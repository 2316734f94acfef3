"""A compile in a process of its own, which can be ended: a folder with the job in, a NEFF out.

The child runs `main`; it imports the compiler alone.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hlo_frontend.hlo.module import HloModule
from hlo_frontend.hlo.proto import read_module, write_module
from hlo_frontend.hlo.types import Shape
from neff.compile import Compiled, compile_module
from neff.container import read_neff
from neff.encode import decode_shape, encode_shape
from neff.errors import CompileError, RefusedError
from neff.options import CompileOptions
from neff.pipeline import Observer, PassRecord
from neff.program import Kind, Variable, Weight

MODULE, JOB = "module.hlo", "job.json"
NEFF, METANEFF, RECORDS, ERROR = "out.neff", "metaneff.pb", "records.json", "error.json"
# The child finds what this process finds, and nothing of the user's program runs in it.
_CHILD = "import sys; sys.path[:] = {!r}; from neff.job import main; main(sys.argv[1])"


class ChildError(CompileError, subprocess.SubprocessError):
    """The compiler's process ended without a result; the message holds the last it said."""


def compile_in_child(
    module: HloModule,
    inputs: Sequence[Variable],
    binding: Sequence[int],
    *,
    options: CompileOptions,
    dump: Path | None = None,
    observe: Observer | None = None,
    timeout: float,
) -> Compiled:
    """What `neff.compile.compile_module` does, in a child that is ended after `timeout` seconds.

    Raises subprocess.TimeoutExpired then, what the compiler raises, and ChildError where its
    process ends otherwise.
    """
    with tempfile.TemporaryDirectory(prefix="neuron-cc-") as name:
        folder = Path(name)
        _write_job(folder, module, inputs, binding, options, dump)
        # A list, so that no shell stands between: the process that is ended is the compiler's.
        command = [sys.executable, "-c", _CHILD.format(sys.path), str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
        if (folder / ERROR).exists():
            raise _error(json.loads((folder / ERROR).read_text()))
        if done.returncode or not (folder / RECORDS).exists():
            raise ChildError(
                f"compile: the compiler's process must end with status 0, got {done.returncode}\n"
                f"{done.stderr[-2000:]}"
            )
        return _read_result(folder, observe)


def _write_job(
    folder: Path,
    module: HloModule,
    inputs: Sequence[Variable],
    binding: Sequence[int],
    options: CompileOptions,
    dump: Path | None,
) -> None:
    (folder / MODULE).write_bytes(write_module(module))
    weights = {v.weight.digest: v.weight for v in inputs if v.weight is not None}
    for digest, weight in weights.items():
        weight.array.reshape(-1).view(np.uint8).tofile(folder / digest)
    rows = [
        [v.name, encode_shape(v.shape), v.kind, v.weight.digest if v.weight else None]
        for v in inputs
    ]
    job = {
        "inputs": rows,
        "binding": list(binding),
        "options": dataclasses.asdict(options),
        "dump": None if dump is None else str(dump.absolute()),
    }
    (folder / JOB).write_text(json.dumps(job))


def _read_variable(folder: Path, row: list[Any]) -> Variable:
    name, encoded, kind, digest = row
    shape = decode_shape(encoded)
    assert isinstance(shape, Shape)  # as it was written
    if digest is None:
        return Variable(name, shape, Kind(kind))
    array = np.fromfile(folder / digest, np.uint8).view(shape.numpy).reshape(shape.dims)
    return Variable(name, shape, Kind(kind), Weight(digest, shape, array))


def _read_result(folder: Path, observe: Observer | None) -> Compiled:
    rows = json.loads((folder / RECORDS).read_text())
    records = tuple(PassRecord(*row) for row in rows)
    if observe is not None:
        for record in records:
            observe(record)
    neff = np.fromfile(folder / NEFF, np.uint8)
    program = read_neff(neff.data, verify=False).program
    return Compiled(program, neff, (folder / METANEFF).read_bytes(), records)


def _error(found: dict[str, str]) -> Exception:
    if found["code"]:
        return RefusedError(found["message"], found["code"])
    return CompileError(found["message"])


def main(name: str) -> None:
    """Compile the job in a folder. What the compiler refuses is left there as well."""
    folder = Path(name)
    job = json.loads((folder / JOB).read_text())
    options = job["options"] | {"ignored": tuple(map(tuple, job["options"]["ignored"]))}
    try:
        compiled = compile_module(
            read_module((folder / MODULE).read_bytes()),
            [_read_variable(folder, row) for row in job["inputs"]],
            job["binding"],
            options=CompileOptions(**options),
            dump=None if job["dump"] is None else Path(job["dump"]),
        )
    except CompileError as error:
        code = error.code if isinstance(error, RefusedError) else ""
        found = {"message": str(error), "code": code}
        (folder / ERROR).write_text(json.dumps(found))
        return
    compiled.neff.tofile(folder / NEFF)
    (folder / METANEFF).write_bytes(compiled.metaneff)
    rows = [dataclasses.astuple(record) for record in compiled.stages]
    (folder / RECORDS).write_text(json.dumps(rows))
