"""`--query-compute-placement`: where each instruction of a module would run, without compiling."""

from __future__ import annotations

import json
from typing import Any

from hlo_frontend.hlo.module import HloModule
from neff.options import CompileOptions
from neff.support.refusals import Refusal, refusals

NEURON, CPU = "Neuron", "CPU"


def placement(module: HloModule, options: CompileOptions) -> str:
    """A JSON document: the target, and for each computation its instructions in order.

    What the documents refuse for the target has `"placement": "CPU"`, its code and the reason.
    """
    refused = {(r.computation, r.position): r for r in reversed(refusals(module, options))}
    computations = {
        c.name: [
            _entry(i.name, i.opcode, refused.get((c.name, position)))
            for position, i in enumerate(c.instructions)
        ]
        for c in module.computations
    }
    return json.dumps({"target": options.target, "computations": computations}, indent=1) + "\n"


def _entry(name: str, opcode: str, refusal: Refusal | None) -> dict[str, Any]:
    entry = {"name": name, "opcode": opcode, "placement": NEURON if refusal is None else CPU}
    return entry if refusal is None else entry | {"code": refusal.code, "reason": refusal.why}
