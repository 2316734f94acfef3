"""Checks single operators in a process of its own: jobs as lines of JSON in, verdicts out.

A crash of torch_xla then costs one operator, and each process has its own graph.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from hlo_frontend.partition.operators import operator
from torch_neuronx.xla_impl.operators import Call, tensors_in

LOWERING, COMPILING = "Lowering to HLO", "neuronx-cc"  # the documented places of failure


def describe(call: Call) -> dict[str, Any]:
    """A call as JSON: what two calls share if one check serves both."""
    arguments = [_encode(a, k) for a, k in zip(call.arguments, call.known, strict=True)]
    return {"schema": call.schema, "arguments": arguments}


def _encode(value: Any, known: bool) -> Any:
    """An argument as JSON; a tensor by its values where they are known and can shape a graph."""
    if isinstance(value, torch.Tensor):
        encoded = {"dtype": str(value.dtype).removeprefix("torch."), "sizes": list(value.shape)}
        exact = value.numel() == 1 or not (value.is_floating_point() or value.is_complex())
        by_value = known and exact and not value.is_meta
        return {
            "tensor": encoded
            | (
                {"values": [_encode(v, known) for v in value.flatten().tolist()]}
                if by_value
                else {}
            )
        }
    if isinstance(value, list | tuple):
        return {"list": [_encode(item, known) for item in value]}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, torch.device):
        return {"device": str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(
        "torch_neuronx.analyze: an argument of an operator must be a tensor, a number, a string, "
        f"a device or a list of them, got {type(value).__name__}"
    )


def _decode(encoded: Any, inputs: list[torch.Tensor]) -> Any:
    """The argument again; a tensor whose values are not known joins the inputs."""
    if not isinstance(encoded, dict):
        return encoded
    ((kind, value),) = encoded.items()
    if kind == "list":
        return [_decode(item, inputs) for item in value]
    if kind == "complex":
        return complex(*value)
    if kind == "device":
        return torch.device(value)
    dtype = getattr(torch, value["dtype"])
    if "values" in value:
        flat = [_decode(v, inputs) for v in value["values"]]
        return torch.tensor(flat, dtype=dtype).reshape(value["sizes"])
    inputs.append(torch.zeros((), dtype=dtype).expand(value["sizes"]))  # no memory for its elements
    return _Place(len(inputs) - 1)


class _Place:
    """Stands for the input at an index."""

    def __init__(self, index: int) -> None:
        self.index = index


def _filled(value: Any, inputs: Sequence[torch.Tensor]) -> Any:
    if isinstance(value, _Place):
        return inputs[value.index]
    return [_filled(item, inputs) for item in value] if isinstance(value, list) else value


def check(job: dict[str, Any], file: Path | None) -> tuple[str, str]:
    """Where an operator fails and why; two empty strings if it compiles. Writes its HLO to `file`.

    Whatever the operator raises while it is captured is its failure, so nothing is let through.
    """
    from hlo_frontend.capture import capture
    from hlo_frontend.hlo.proto import write_module
    from neff.compile import compile_module
    from neff.errors import CompileError
    from neff.files import write_atomically

    inputs: list[torch.Tensor] = []
    arguments = [_decode(a, inputs) for a in job["arguments"]]
    try:
        run = operator(job["schema"])

        def call(*tensors: torch.Tensor) -> list[torch.Tensor]:
            return tensors_in(run(*(_filled(a, tensors) for a in arguments)))

        module = capture(call, tuple(inputs)).module
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the operator's failure
        return LOWERING, f"{type(error).__name__}: {error}"
    if file is not None:
        write_atomically(file, write_module(module))
    try:
        compile_module(module)
    except (CompileError, NotImplementedError) as error:
        return COMPILING, str(error)
    return "", ""


def main() -> None:
    """Read jobs from standard input, answer each with one line, as soon as it is known."""
    warnings.simplefilter("ignore")  # they concern a model, not one operator
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        job = json.loads(line)
        file = Path(job["file"]) if job["file"] else None
        print(json.dumps(check(job, file)), file=answers, flush=True)
