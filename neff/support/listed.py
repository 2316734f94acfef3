"""What the documents list as supported, as HLO opcodes; the rest compiles with a warning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from neff.support.custom_calls import DOCUMENTED
from neff.support.site import Site, leaves
from neff.support.topk import is_topk

# `neuronx-cc list-operators --framework XLA`, by the opcodes those names have in a module; where a
# note beside a name limits it (constant indices, reducers), models in the documents go beyond it.
OPERATORS: dict[str, str] = {
    "Abs": "abs",
    "Add": "add",
    "Allgather": "all-gather",
    "Allreduce": "all-reduce",
    "Atan2": "atan2",
    "Batchnorm": "batch-norm-training",
    "Batchnormgrad": "batch-norm-grad",
    "Batchnorminference": "batch-norm-inference",
    "BitcastConvertType": "bitcast-convert",
    "Broadcast": "broadcast",
    "BroadcastInDim": "broadcast",
    "Ceil": "ceil",
    "Clamp": "clamp",
    "Compare": "compare",
    "Concatenate": "concatenate",
    "Constant": "constant",
    "ConstantLiteral": "constant",
    "ConvertElementType": "convert",
    "Cos": "cosine",
    "Customcall": "custom-call",
    "Div": "divide",
    "Dot": "dot",
    "DotGeneral": "dot",
    "DynamicUpdateSlice": "dynamic-update-slice",
    "Eq": "compare",
    "Exp": "exponential",
    "Floor": "floor",
    "Gather": "gather",
    "Ge": "compare",
    "GetTupleElement": "get-tuple-element",
    "Gt": "compare",
    "Iota": "iota",
    "Le": "compare",
    "Log": "log",
    "LogicalAnd": "and",
    "LogicalNot": "not",
    "Lt": "compare",
    "Max": "maximum",
    "Min": "minimum",
    "Mul": "multiply",
    "Ne": "compare",
    "Neg": "negate",
    "Pad": "pad",
    "Pow": "power",
    "Reduce": "reduce",
    "Reshape": "reshape",
    "Rev (reverse)": "reverse",
    "RngBitGenerator": "rng-bit-generator",
    "RngUniform": "rng",
    "Rsqrt": "rsqrt",
    "Scatter": "scatter",
    "Select": "select",
    "SelectAndScatter": "select-and-scatter",
    "ShiftRightLogical": "shift-right-logical",
    "Sign": "sign",
    "Sin": "sine",
    "Slice": "slice",
    "Sqrt": "sqrt",
    "Sub": "subtract",
    "Tanh": "tanh",
    "Transpose": "transpose",
    "Tuple": "tuple",
}
# Ops whose error pages refuse one use and thereby document the others.
BY_ERROR_PAGE = frozenset(
    ["convolution", "reduce-scatter", "reduce-window", "shift-right-arithmetic", "topk"]
)
# Ops that the list has as a custom call: AwsNeuronErf, AwsNeuronSilu.
BY_CUSTOM_CALL = frozenset(["erf", "logistic"])
# What holds a module together and computes nothing.
STRUCTURE = frozenset(
    ["after-all", "bitcast", "call", "copy", "domain", "fusion", "opt-barrier", "parameter"]
)
LISTED = frozenset(OPERATORS.values()) | BY_ERROR_PAGE | BY_CUSTOM_CALL | STRUCTURE
UNLISTED_TYPES = frozenset(["f64", "s2", "s4", "u2", "u4"])
SHOWN = 6  # names in the warning


def unlisted(sites: Iterable[Site]) -> tuple[Counter[str], dict[str, str]]:
    """What the documents neither list nor refuse: how often, and the first source line of each."""
    counts: Counter[str] = Counter()
    lines: dict[str, str] = {}
    for s in sites:
        for name in _names(s):
            counts[name] += 1
            where = s.instruction.metadata
            if where.source_file and name not in lines:
                lines[name] = f"{where.source_file}:{where.source_line}"
    return counts, lines


def _names(s: Site) -> set[str]:
    i = s.instruction
    names = {shape.dtype for shape in leaves(i.shape)} & UNLISTED_TYPES
    if i.opcode == "custom-call":
        if i["custom_call_target"] not in DOCUMENTED:
            names.add(f"custom-call to {i['custom_call_target']}")
    elif i.opcode not in LISTED and not is_topk(s):
        names.add(i.opcode)
    return names


def describe(counts: Counter[str], lines: dict[str, str]) -> str:
    """`sort ×2 (model.py:41), f64 ×7 (model.py:3) and 4 more`, the most frequent first."""
    ranked = sorted(counts, key=lambda name: (-counts[name], name))
    shown = [_counted(name, counts[name], lines.get(name, "")) for name in ranked[:SHOWN]]
    rest = len(ranked) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def _counted(name: str, count: int, line: str) -> str:
    return f"{name} \N{MULTIPLICATION SIGN}{count}" + (f" ({line})" if line else "")
