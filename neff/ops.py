"""What the compiler knows about each op beyond HLO: the engine that runs it, how it fuses."""

from __future__ import annotations

from hlo_frontend.hlo.ops import OPS, Trait
from neff.program import Engine, Instruction

_BY_ENGINE: dict[Engine, str] = {
    Engine.PE: "convolution dot",
    Engine.ACTIVATION: """
        abs acos acosh asin asinh atanh cbrt ceil convert cosh cosine erf exponential
        exponential-minus-one floor log log-plus-one logistic negate reduce-precision
        round-nearest-afz round-nearest-even rsqrt sign sine sinh sqrt stochastic-convert tan tanh
    """,
    Engine.DVE: """
        add and atan2 batch-norm-grad batch-norm-inference batch-norm-training clamp compare
        complex count-leading-zeros divide imag is-finite maximum minimum mulhi multiply not or
        popcnt power real reduce reduce-window remainder select select-and-scatter shift-left
        shift-right-arithmetic shift-right-logical subtract xor
    """,
    Engine.POOL: """
        all-gather all-reduce all-to-all call cholesky collective-broadcast collective-permute
        conditional custom-call fft fusion gather iota map partition-id reduce-scatter replica-id
        rng rng-bit-generator rng-get-and-update-state scatter sort topk triangular-solve while
    """,
    Engine.SP: """
        add-dependency after-all bitcast bitcast-convert broadcast concatenate constant copy domain
        dynamic-slice dynamic-update-slice get-dimension-size get-tuple-element opt-barrier pad
        parameter reshape reverse set-dimension-size slice transpose tuple
    """,
}
ENGINES: dict[str, Engine] = {op: e for e, ops in _BY_ENGINE.items() for op in ops.split()}


def _with(trait: Trait) -> frozenset[str]:
    return frozenset(name for name, op in OPS.items() if trait in op.traits)


# Two of these with equal operands are still two.
RANDOM = _with(Trait.RANDOM)
_SIDE_EFFECTS = _with(Trait.SIDE_EFFECT)
# `clamp` and `select` also take a scalar for all elements; on whole operands they are elementwise.
ELEMENTWISE = _with(Trait.ELEMENTWISE) | {"clamp", "select"}
# Ops that only rename, repeat or pick elements: they fuse into what reads them.
MOVEMENT = frozenset({"broadcast", "iota", "reshape", "reverse", "slice", "transpose"})


def has_side_effect(instruction: Instruction) -> bool:
    """Whether an instruction must stay, even where nothing reads its result."""
    declared = instruction.get("custom_call_has_side_effect")
    return instruction.op in _SIDE_EFFECTS or bool(declared)
