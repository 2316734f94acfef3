"""What the documents refuse of an instruction: one rule for each code, by opcode.

A rule gives the reason in one sentence, or None where it does not apply.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hlo_frontend.hlo.literal import AnyLiteral, Literal
from hlo_frontend.hlo.types import Shape
from neff.support.indices import gather_out_of_bounds, scatter_out_of_bounds
from neff.support.site import Site, leaves
from neff.support.topk import is_topk

Why = str | None


@dataclass(frozen=True, slots=True)
class Rule:
    """A code, the opcodes it may concern (none: every one) and when it does.

    `downcast` is the value of `--implicit-integer-downcast` that turns the refusal into a warning.
    """

    code: str
    opcodes: frozenset[str]
    check: Callable[[Site], Why]
    downcast: str = ""


# The error page for triangular-solve names torch.inverse as the way round, which torch_xla lowers
# through it: what comes from there compiles.
WAYS_ROUND = frozenset({"aten__inverse", "aten__linalg_inv_ex"})
ARITHMETIC = frozenset({"add", "multiply", "minimum", "maximum"})
UINT32_MAX = 2**32 - 1


def _unsupported_operator(s: Site) -> Why:
    if s.instruction.metadata.op_type in WAYS_ROUND:
        return None
    return f"{s.instruction.opcode} is documented as not supported"


def _complex(s: Site) -> Why:
    wide = any(shape.dtype == "c128" for shape in leaves(s.instruction.shape))
    return "complex128 has no counterpart on the device (complex64 has, in part)" if wide else None


def _types(*dtypes: str) -> Callable[[Site], Why]:
    """A rule for narrow floats that the target's chip may not have."""

    def check(s: Site) -> Why:
        for shape in leaves(s.instruction.shape):
            if shape.dtype in dtypes and shape.dtype not in s.target.narrow:
                return f"{s.target.name} ({s.target.chip.name}) has no {shape.dtype.upper()}"
        return None

    return check


def _wide_constant(s: Site) -> Why:
    if not s.options.narrows_int64:
        return None
    largest = _largest_u64(s.instruction["literal"])
    if largest <= UINT32_MAX:
        return None
    return f"the constant holds {largest}, more than {UINT32_MAX}"


def _largest_u64(literal: AnyLiteral) -> int:
    if not isinstance(literal, Literal):
        return max(map(_largest_u64, literal.elements), default=0)
    if literal.shape.dtype != "u64" or not literal.shape.size:
        return 0
    return int(np.max(literal.numpy()))


def _algorithm(s: Site) -> Why:
    algorithm = s.instruction["algorithm"]
    return None if algorithm == "rng_default" else f"the algorithm is {algorithm}"


def _two_dilations(s: Site) -> Why:
    window = s.instruction["window"]
    base, kernel = ([d.base_dilation for d in window], [d.window_dilation for d in window])
    if max(base, default=1) == 1 or max(kernel, default=1) == 1:
        return None
    return f"input dilation is {base} and kernel dilation {kernel}"


def _strided_dilated(s: Site) -> Why:
    window = s.instruction["window"]
    base, stride = [d.base_dilation for d in window], [d.stride for d in window]
    if max(base, default=1) == 1 or max(stride, default=1) == 1:
        return None
    return f"input dilation is {base} and stride {stride}"


def _window(field: str) -> Callable[[Site], Why]:
    def check(s: Site) -> Why:
        dilations = [getattr(d, field) for d in s.instruction["window"]]
        name = field.replace("_", " ")
        return f"{name} is {dilations}" if max(dilations, default=1) > 1 else None

    return check


def _reduce_window_operands(s: Site) -> Why:
    count = len(s.instruction.operands)
    return None if count == 2 else f"there are {count} operands"


def _integer_topk(s: Site) -> Why:
    source = s.operands[0] if s.operands else None  # a custom call may have anything
    if not isinstance(source, Shape) or source.dtype not in ("s32", "s64") or not is_topk(s):
        return None
    return f"the input is {source}"


def _reducer(s: Site) -> set[str]:
    """The opcodes that make the results of the computation an instruction reduces with."""
    body = s.module.computation(s.instruction.calls[0])
    root = body.instructions[body.root]
    made = [body.instructions[o] for o in root.operands] if root.opcode == "tuple" else [root]
    return {i.opcode for i in made}


def _scattered_kinds(s: Site) -> set[str]:
    """The kinds of data a scatter that reduces works on; nothing where it overwrites."""
    count = len(s.instruction.operands) // 2
    if _reducer(s) <= {"parameter"}:
        return set()
    return {s.element(n).kind for n in (*range(count), *range(count + 1, 2 * count + 1))}


def _scatter_logic(s: Site) -> Why:
    kinds = _scattered_kinds(s) & {"pred", "signed", "unsigned"}
    reducer = _reducer(s) - {"parameter"}
    if not kinds or (kinds <= {"signed", "unsigned"} and reducer <= ARITHMETIC):
        return None
    return f"{' and '.join(sorted(reducer))} combines {s.array(0)}"


def _scatter_integer(s: Site) -> Why:
    kinds = _scattered_kinds(s) & {"signed", "unsigned"}
    if not kinds or not _reducer(s) - {"parameter"} <= ARITHMETIC:
        return None
    return f"{' and '.join(sorted(_reducer(s) - {'parameter'}))} combines {s.array(0)}"


def _wide_integers(s: Site, *bits: int) -> list[str]:
    found = (s.element(n) for n in range(len(s.instruction.operands)))
    return sorted({e.name for e in found if e.kind in ("signed", "unsigned") and e.bits in bits})


def _integer_dot(s: Site) -> Why:
    # NeuronCore-v2 multiplies 32-bit integers; documented for the code.
    types = _wide_integers(s, 64) if s.target.chip.core <= 2 else _wide_integers(s, 32, 64)
    return f"operands are {' and '.join(types)}; the PE array computes in f32" if types else None


def _integer_collective(s: Site) -> Why:
    types = _wide_integers(s, 32, 64)
    if not types or not _reducer(s) <= ARITHMETIC:
        return None
    return f"operands are {' and '.join(types)}"


def _integer_power(s: Site) -> Why:
    types = _wide_integers(s, 64)
    return f"operands are {' and '.join(types)}" if types else None


def _shift(s: Site) -> Why:
    element = s.element(0)
    bits = 32 if element.bits == 64 and s.options.narrows_int64 else element.bits
    return None if bits == 32 else f"the first argument is {element.name}"


def _rule(code: str, opcodes: str, check: Callable[[Site], Why], downcast: str = "") -> Rule:
    return Rule(f"NCC_{code}", frozenset(opcodes.split()), check, downcast)


RULES: tuple[Rule, ...] = (
    _rule("EVRF001", "triangular-solve", _unsupported_operator),
    _rule("EVRF004", "", _complex),
    _rule("ESPP004", "", _types("f4e2m1fn")),
    _rule("ESPP047", "", _types("f8e3m4", "f8e5m2", "f8e8m0fnu")),
    _rule("EVRF005", "", _types("f8e4m3b11fnuz", "f8e4m3fnuz", "f8e5m2fnuz")),
    _rule("EVRF051", "", _types("f8e4m3fn")),
    _rule("EVRF052", "", _types("f8e4m3")),
    _rule("ESFH002", "constant", _wide_constant),
    _rule("EVRF006", "rng-bit-generator", _algorithm),
    _rule("EVRF010", "convolution", _two_dilations),
    _rule("EVRF011", "convolution", _strided_dilated),
    _rule("EVRF013", "topk sort custom-call", _integer_topk),
    _rule("EVRF016", "scatter", _scatter_logic),
    _rule("EVRF017", "reduce-window", _window("base_dilation")),
    _rule("EVRF018", "reduce-window", _window("window_dilation")),
    _rule("EVRF019", "reduce-window", _reduce_window_operands),
    _rule("EVRF022", "shift-right-arithmetic", _shift),
    _rule("EVRF031", "scatter", scatter_out_of_bounds),
    _rule("EVRF035", "dot", _integer_dot, "dot"),
    _rule("EVRF056", "gather", gather_out_of_bounds),
    _rule("EVRF060", "scatter", _scatter_integer, "scatter"),
    _rule("EVRF061", "all-reduce", _integer_collective, "all_reduce"),
    _rule("EVRF062", "power", _integer_power, "pow"),
    _rule("EVRF063", "reduce-scatter", _integer_collective, "reduce_scatter"),
)
