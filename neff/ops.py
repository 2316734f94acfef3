"""What the compiler knows about each op beyond HLO: the engine it runs on, and its side effects."""

from __future__ import annotations

from neff.program import Engine

_BY_ENGINE: dict[Engine, tuple[str, ...]] = {
    Engine.PE: ("convolution", "dot"),
    Engine.ACTIVATION: (
        "acos acosh asin asinh atan atanh cbrt convert cosh cosine erf exponential "
        "exponential-minus-one log log-plus-one logistic negate abs rsqrt sine sinh sign sqrt "
        "tan tanh reduce-precision stochastic-convert round-nearest-afz round-nearest-even ceil "
        "floor"
    ).split(),
    Engine.DVE: (
        "add and atan2 batch-norm-grad batch-norm-inference batch-norm-training clamp compare "
        "complex conj count-leading-zeros divide imag is-finite maximum minimum multiply not or "
        "popcnt power real reduce reduce-window remainder select select-and-scatter shift-left "
        "shift-right-arithmetic shift-right-logical subtract xor"
    ).split(),
    Engine.POOL: (
        "all-gather all-reduce all-to-all call cholesky collective-broadcast collective-permute "
        "conditional custom-call fft fusion gather map partition-id reduce-scatter replica-id rng "
        "rng-bit-generator rng-get-and-update-state scatter sort topk triangular-solve while iota"
    ).split(),
    Engine.SP: (
        "add-dependency after-all bitcast bitcast-convert broadcast concatenate constant copy "
        "domain dynamic-slice dynamic-update-slice get-dimension-size get-tuple-element "
        "optimization-barrier pad parameter reshape reverse set-dimension-size slice transpose "
        "tuple"
    ).split(),
}  # type: ignore[dict-item]

ENGINES: dict[str, Engine] = {op: engine for engine, ops in _BY_ENGINE.items() for op in ops}

# Two of these with equal operands are still two: each moves a generator's state.
STATEFUL = frozenset({"rng", "rng-get-and-update-state", "stochastic-convert"})
# These are kept even where nothing reads their result. `custom-call` is decided by its attribute.
SIDE_EFFECTS = frozenset({"infeed", "outfeed", "send", "recv"})
# Ops that compute one element of the result from one element of each operand.
ELEMENTWISE = frozenset(
    op
    for op, engine in ENGINES.items()
    if engine in (Engine.ACTIVATION, Engine.DVE)
    and not op.startswith(("batch-norm", "reduce-window", "select-and"))
    and op != "reduce"
)
# Ops that only rename, repeat or move elements: they fuse into what reads them.
MOVEMENT = frozenset({"broadcast", "reshape", "transpose", "slice", "bitcast", "reverse", "iota"})
