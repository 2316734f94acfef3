"""The table that says what every HLO opcode is: arity, attributes, calls, shape rule.

One row per opcode that torch-xla, TensorFlow and JAX emit for programs of static shape. The
readers, the printers, the builder and the verifier are total over it. Attributes stand in the order
XLA prints them.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from hlo_frontend.hlo import rules_contract as contract
from hlo_frontend.hlo import rules_control as control
from hlo_frontend.hlo import rules_elementwise as elementwise
from hlo_frontend.hlo import rules_index as index
from hlo_frontend.hlo import rules_linalg as linalg
from hlo_frontend.hlo import rules_move as move
from hlo_frontend.hlo import rules_reduce as reduce
from hlo_frontend.hlo import rules_special as special
from hlo_frontend.hlo.errors import HloError
from hlo_frontend.hlo.module import Attributes
from hlo_frontend.hlo.types import AnyShape, Signature
from hlo_frontend.hlo.vocabulary import ATTRIBUTES

Rule = Callable[
    [tuple[AnyShape, ...], Mapping[str, Any], AnyShape, tuple[Signature, ...]], AnyShape
]


class Trait(enum.Enum):
    """What passes may rely on."""

    ELEMENTWISE = "each result element depends on the same element of every operand"
    COMMUTATIVE = "the two operands may be swapped"
    IDEMPOTENT = "applying it to its own result changes nothing"
    INVOLUTION = "applying it twice gives the operand back"
    MOVEMENT = "the result holds elements of the operands, unchanged"
    RANDOM = "two equal instructions may give different values"
    SIDE_EFFECT = "it may not be removed, merged or reordered"
    COLLECTIVE = "it exchanges data with other devices"


@dataclass(frozen=True, slots=True)
class Op:
    """One opcode. `attrs` maps an attribute name to whether it must be present.

    `arity` and `calls` are the exact count, a range of counts, or None for any count. `infer` is
    the shape rule: see `infer_shape`.
    """

    name: str
    arity: int | range | None
    attrs: Mapping[str, bool]
    calls: int | range | None
    infer: Rule
    traits: frozenset[Trait]


class _InstructionLike(Protocol):
    @property
    def opcode(self) -> str: ...
    @property
    def shape(self) -> AnyShape: ...
    @property
    def attrs(self) -> Attributes: ...


OPS: dict[str, Op] = {}
_ANYWHERE = "sharding? frontend_attributes? backend_config?"


def _define(
    names: str,
    arity: int | range | None,
    infer: Rule,
    *traits: Trait,
    attrs: str = "",
    calls: int | range | None = 0,
) -> None:
    """Rows for opcodes that differ in nothing but their name."""
    required = {a.rstrip("?"): not a.endswith("?") for a in f"{attrs} {_ANYWHERE}".split()}
    assert required.keys() <= ATTRIBUTES.keys()
    for name in names.split():
        OPS[name] = Op(name, arity, required, calls, _named(name, infer), frozenset(traits))


def _named(name: str, rule: Rule) -> Rule:
    """The rule, its errors opened with the opcode."""

    def infer(
        operands: tuple[AnyShape, ...],
        attrs: Mapping[str, Any],
        declared: AnyShape,
        called: tuple[Signature, ...] = (),
    ) -> AnyShape:
        try:
            return rule(operands, attrs, declared, called)
        except HloError as error:
            raise HloError(f"{name}: {error}") from None

    return infer


def _unary(names: str, infer: Rule, *traits: Trait) -> None:
    _define(names, 1, infer, Trait.ELEMENTWISE, *traits)


def _binary(names: str, infer: Rule, *traits: Trait) -> None:
    _define(names, 2, infer, Trait.ELEMENTWISE, *traits)


_unary(
    "acos acosh asin asinh atanh cosine cosh exponential exponential-minus-one log log-plus-one "
    "logistic rsqrt sine sinh sqrt tan tanh",
    elementwise.unary("float", "complex"),
)
_unary("cbrt erf", elementwise.unary("float"))
_unary("ceil floor", elementwise.unary("float"), Trait.IDEMPOTENT)
_unary(
    "round-nearest-afz round-nearest-even",
    elementwise.unary("float"),
    Trait.IDEMPOTENT,
)
_unary("negate", elementwise.unary("number"), Trait.INVOLUTION)
_unary("sign", elementwise.unary("signed", "float", "complex"))
_unary("abs", elementwise.absolute)
_unary("not", elementwise.unary("pred", "signed", "unsigned"), Trait.INVOLUTION)
_unary("popcnt count-leading-zeros", elementwise.unary("signed", "unsigned"))
_unary("is-finite", elementwise.is_finite)
_unary("real imag", elementwise.real_part)
_unary("convert", elementwise.convert)
_define(
    "reduce-precision",
    1,
    elementwise.unary("float"),
    Trait.ELEMENTWISE,
    Trait.IDEMPOTENT,
    attrs="exponent_bits mantissa_bits",
)
_binary("add multiply", elementwise.binary("pred", "number"), Trait.COMMUTATIVE)
_binary(
    "maximum minimum",
    elementwise.binary("pred", "signed", "unsigned", "float"),
    Trait.COMMUTATIVE,
)
_binary("subtract divide power", elementwise.binary("number"))
_binary("remainder", elementwise.binary("signed", "unsigned", "float"))
_binary("atan2", elementwise.binary("float", "complex"))
_binary("mulhi", elementwise.binary("signed", "unsigned"), Trait.COMMUTATIVE)
_binary("and or xor", elementwise.binary("pred", "signed", "unsigned"), Trait.COMMUTATIVE)
_binary(
    "shift-left shift-right-arithmetic shift-right-logical",
    elementwise.binary("signed", "unsigned"),
)
_binary("complex", elementwise.complex_number)
_binary("stochastic-convert", elementwise.stochastic_convert)
_define("compare", 2, elementwise.compare, Trait.ELEMENTWISE, attrs="direction type?")
_define("select", 3, elementwise.select)
_define("clamp", 3, elementwise.clamp)

_define("parameter", 0, special.parameter, attrs="number")
_define("constant", 0, special.constant, attrs="literal")
_define("iota", 0, special.iota, attrs="iota_dimension")
_define("partition-id replica-id", 0, special.device_id)
_define("rng", 2, special.rng, Trait.RANDOM, attrs="distribution")
_define("rng-bit-generator", 1, special.rng_bit_generator, attrs="algorithm")
_define(
    "rng-get-and-update-state",
    0,
    special.rng_state,
    Trait.RANDOM,
    Trait.SIDE_EFFECT,
    attrs="delta",
)
_define(
    "custom-call",
    None,
    special.custom_call,
    attrs="custom_call_target operand_layout_constraints? custom_call_has_side_effect? "
    "output_to_operand_aliasing? schedule? api_version?",
    calls=None,
)

_define("copy", 1, elementwise.same, Trait.MOVEMENT, Trait.IDEMPOTENT)
_define("domain", 1, elementwise.same, attrs="domain")
_define("opt-barrier", 1, elementwise.same)
_define("bitcast", 1, move.bitcast)
_define("bitcast-convert", 1, move.bitcast_convert)
_define("reshape", 1, move.reshape, Trait.MOVEMENT)
_define("broadcast", 1, move.broadcast, Trait.MOVEMENT, attrs="dimensions")
_define("transpose", 1, move.transpose, Trait.MOVEMENT, attrs="dimensions")
_define("reverse", 1, move.reverse, Trait.MOVEMENT, Trait.INVOLUTION, attrs="dimensions")
_define("slice", 1, move.slice_, Trait.MOVEMENT, attrs="slice")
_define("pad", 2, move.pad, Trait.MOVEMENT, attrs="padding")
_define("concatenate", range(1, 2**31), move.concatenate, Trait.MOVEMENT, attrs="dimensions")

_define(
    "dynamic-slice",
    range(1, 2**31),
    index.dynamic_slice,
    Trait.MOVEMENT,
    attrs="dynamic_slice_sizes",
)
_define("dynamic-update-slice", range(2, 2**31), index.dynamic_update_slice, Trait.MOVEMENT)
_define(
    "gather",
    2,
    index.gather,
    Trait.MOVEMENT,
    attrs="gather_dimension_numbers slice_sizes indices_are_sorted",
)
_define(
    "scatter",
    range(3, 2**31, 2),
    index.scatter,
    attrs="scatter_dimension_numbers indices_are_sorted unique_indices",
    calls=1,
)
_define("get-dimension-size", 1, index.get_dimension_size, attrs="dimensions")
_define("set-dimension-size", 2, index.set_dimension_size, attrs="dimensions")

_define("dot", 2, contract.dot, attrs="dot_dimension_numbers operand_precision? algorithm?")
_define(
    "convolution",
    2,
    contract.convolution,
    attrs="window dim_labels feature_group_count batch_group_count operand_precision?",
)

_define("reduce", range(2, 2**31, 2), reduce.reduce, attrs="dimensions", calls=1)
_define("map", range(1, 2**31), reduce.map_, attrs="dimensions", calls=1)
_define("reduce-window", range(2, 2**31, 2), reduce.reduce_window, attrs="window", calls=1)
_define("select-and-scatter", 3, reduce.select_and_scatter, attrs="window", calls=2)
_define("sort", range(1, 2**31), reduce.sort, attrs="dimensions is_stable", calls=1)
_define("topk", 1, reduce.topk, attrs="k largest")

_define("batch-norm-training", 3, linalg.batch_norm_training, attrs="epsilon feature_index")
_define(
    "batch-norm-inference",
    5,
    linalg.batch_norm_inference,
    attrs="epsilon feature_index",
)
_define("batch-norm-grad", 5, linalg.batch_norm_grad, attrs="epsilon feature_index")
_define("fft", 1, linalg.fft, attrs="fft_type fft_length")
_define("cholesky", 1, linalg.cholesky, attrs="lower")
_define(
    "triangular-solve",
    2,
    linalg.triangular_solve,
    attrs="left_side lower unit_diagonal transpose_a",
)

_define("tuple", None, control.tuple_)
_define("get-tuple-element", 1, control.get_tuple_element, attrs="index")
_define("while", 1, control.while_, calls=2)
_define("conditional", range(2, 2**31), control.conditional, calls=range(1, 2**31))
_define("call", None, control.call, attrs="is_composite?", calls=1)
_define("fusion", None, control.call, attrs="kind output_to_operand_aliasing?", calls=1)
_define("after-all", None, control.after_all)
_define("add-dependency", 2, control.add_dependency)
_define(
    "all-reduce",
    range(1, 2**31),
    control.all_reduce,
    Trait.COLLECTIVE,
    attrs="channel_id? replica_groups use_global_device_ids?",
    calls=1,
)
_define(
    "all-gather",
    range(1, 2**31),
    control.all_gather,
    Trait.COLLECTIVE,
    attrs="channel_id? replica_groups dimensions use_global_device_ids?",
)
_define(
    "reduce-scatter",
    range(1, 2**31),
    control.reduce_scatter,
    Trait.COLLECTIVE,
    attrs="channel_id? replica_groups dimensions use_global_device_ids?",
    calls=1,
)
_define(
    "all-to-all",
    range(1, 2**31),
    control.all_to_all,
    Trait.COLLECTIVE,
    attrs="channel_id? replica_groups dimensions? use_global_device_ids?",
)
_define(
    "collective-broadcast",
    range(1, 2**31),
    control.collective_same,
    Trait.COLLECTIVE,
    attrs="channel_id? replica_groups use_global_device_ids?",
)
_define(
    "collective-permute",
    range(1, 2**31),
    control.collective_same,
    Trait.COLLECTIVE,
    attrs="channel_id? source_target_pairs use_global_device_ids?",
)


def infer_shape(
    instruction: _InstructionLike,
    operand_shapes: tuple[AnyShape, ...],
    called: tuple[Signature, ...] = (),
) -> AnyShape:
    """Shape of an instruction's result, from the shapes of its operands and called computations.

    Where operands do not determine it (parameter, constant, iota, broadcast, reshape, convert, rng,
    custom-call and the like), the instruction's own shape is checked and returned. Raises HloError.
    """
    op = OPS[instruction.opcode]
    return op.infer(operand_shapes, dict(instruction.attrs), instruction.shape, called)
