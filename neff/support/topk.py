"""Which instructions are a TopK, the operator the documents have, however it is written."""

from __future__ import annotations

from neff.support.site import Site

TARGETS = ("AwsNeuronTopK", "TopK", "mhlo.topk")


def is_topk(s: Site) -> bool:
    """Whether an instruction is a TopK: the opcode, a custom call, or what torch_xla makes of one.

    torch_xla writes PyTorch's topk as a sort of which it keeps the first; its sort, which it marks
    alike, keeps all.
    """
    i = s.instruction
    if i.opcode == "custom-call":
        return i["custom_call_target"] in TARGETS
    if i.opcode == "sort":
        return i.metadata.op_type == "aten__topk" and _is_cut(s)
    return i.opcode == "topk"


def _is_cut(s: Site) -> bool:
    """Whether a result of the sort is sliced to fewer elements."""
    known = s.computation.instructions
    results = {s.position}
    for p, i in enumerate(known):
        if i.opcode == "get-tuple-element" and i.operands[0] in results:
            results.add(p)
        elif i.opcode == "slice" and i.operands[0] in results:
            return i.shape != known[i.operands[0]].shape
    return False
