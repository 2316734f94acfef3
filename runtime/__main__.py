"""`python -m runtime run F.neff`: run a NEFF on arrays in .npy files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neff.container import read_neff
from neff.errors import NeffError
from neff.program import Kind, Program, Variable
from runtime.core import NeuronRuntimeError, machine


class _RunError(ValueError):
    """The arrays do not fit the NEFF."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a NEFF; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m runtime", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run a NEFF once")
    run.add_argument("neff", type=Path)
    run.add_argument(
        "--input", action="append", default=[], metavar="[NAME=]X.npy", help="in order, or by name"
    )
    run.add_argument(
        "--output", action="append", default=[], type=Path, metavar="Y.npy", help="in order"
    )
    arguments = parser.parse_args(argv)
    try:
        _run(arguments.neff, arguments.input, arguments.output)
    except (NeffError, NeuronRuntimeError, OSError, _RunError) as error:
        print(f"python -m runtime: {error}", file=sys.stderr)
        return 1
    return 0


def _run(path: Path, inputs: list[str], outputs: list[Path]) -> None:
    program = read_neff(path.read_bytes()).program
    called = [v for v in program.inputs if v.kind is Kind.INPUT]
    arrays = _arrays(called, inputs)
    from runtime.model import Model  # jax is loaded when there is something to run

    model = Model(program, machine().next_core())
    made = model.execute(
        [memoryview(np.ascontiguousarray(a).reshape(-1).view(np.uint8).data) for a in arrays]
    )
    results = _results(program, [name for name, _, _ in model.outputs], made)
    if outputs and len(outputs) != len(results):
        raise _RunError(f"{len(results)} --output must be given, or none, got {len(outputs)}")
    for variable, _ in results:
        print(f"{variable.name} {variable.shape}")
    for target, (_, array) in zip(outputs, results, strict=False):
        np.save(target, array)


def _bytes(array: np.ndarray) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _arrays(called: Sequence[Variable], given: Sequence[str]) -> list[np.ndarray]:
    """The arrays of the program's inputs, named or in order."""
    names = [v.name for v in called]
    files: dict[str, str] = {}
    for position, text in enumerate(given):
        name, equals, file = text.partition("=")
        if not equals:
            name, file = names[position] if position < len(names) else "", text
        if name not in names or name in files:
            raise _RunError(f"each --input must be one of {', '.join(names)}, got {text}")
        files[name] = file
    missing = [n for n in names if n not in files]
    if missing:
        raise _RunError(f"--input must be given for {', '.join(missing)}")
    return [_array(v, files[v.name]) for v in called]


def _array(variable: Variable, file: str) -> np.ndarray:
    """An array of a variable's shape; types numpy has no name for are saved as plain bytes."""
    try:
        array: np.ndarray = np.load(file, allow_pickle=False)
    except ValueError as error:
        raise _RunError(f"{file}: must be a .npy file: {error}") from None
    wanted: Any = variable.shape.numpy
    if array.dtype.kind == "V" and array.dtype.itemsize == wanted.itemsize:
        array = array.view(wanted)
    if array.shape != variable.shape.dims or array.dtype != wanted:
        raise _RunError(
            f"{file}: input {variable.name} must be {wanted}{list(variable.shape.dims)}, got "
            f"{array.dtype}{list(array.shape)}"
        )
    return array


def _results(
    program: Program, names: Sequence[str], made: Sequence[np.ndarray]
) -> list[tuple[Variable, np.ndarray]]:
    by_name = {v.name: v for v in program.outputs}
    returned = [by_name[name] for name in names]
    return [
        (v, bytes_.view(v.shape.numpy).reshape(v.shape.dims))
        for v, bytes_ in zip(returned, made, strict=True)
    ]


if __name__ == "__main__":
    sys.exit(main())
