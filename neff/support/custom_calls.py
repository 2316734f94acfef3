"""Custom calls: the targets that are documented, those emulated beside them, and their checks."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

from hlo_frontend.hlo.types import Shape, TupleShape
from neff.support.site import Site

Finding = tuple[str, str]  # a code, and the reason

# Source: page of the error code NCC_EVRF015; the last two, pages of NCC_EVRF036 to NCC_EVRF058.
DOCUMENTED: frozenset[str] = frozenset(
    {
        "AwsNeuronErf",
        "AwsNeuronGelu",
        "AwsNeuronGeluApprxTanh",
        "AwsNeuronGeluBackward",
        "AwsNeuronSilu",
        "AwsNeuronSiluBackward",
        "AwsNeuronRmsNorm",
        "AwsNeuronSoftmax",
        "AwsNeuronSoftmaxBackward",
        "AwsNeuronCollectiveMatmul",
        "AwsNeuronIntMatmult",
        "AwsNeuronArgMax",
        "AwsNeuronArgMin",
        "AwsNeuronTopK",
        "AwsNeuronDropoutMaskV1",
        "AwsNeuronCustomNativeKernel",
        "AwsNeuronCustomOp",
        "AwsNeuronDevicePrint",
        "ResizeNearest",
        "ResizeBilinear",
        "ResizeNearestGrad",
        "AwsNeuronLNCShardingConstraint",
        "AwsNeuronTransferWithStaticRing",
        "AwsNeuronModuleMarkerStart-Forward",
        "AwsNeuronModuleMarkerStart-Backward",
        "AwsNeuronModuleMarkerEnd-Forward",
        "AwsNeuronModuleMarkerEnd-Backward",
        "NeuronBoundaryMarker-Start",
        "NeuronBoundaryMarker-End",
        "QuantizeMX",
        "__op$block_scaled_dot",
    }
)
# What XLA's own libraries leave in a module: undocumented for Neuron, and compiled with a warning.
EMULATED: frozenset[str] = frozenset(
    {
        "Qr",
        "ProductOfElementaryHouseholderReflectors",
        "Eigh",
        "TopK",
        "mhlo.topk",
        "Sharding",
        "SPMDFullToShardShape",
        "SPMDShardToFullShape",
        "annotate_device_placement",
        "MoveToHost",
        "MoveToDevice",
        "mhlo.acos",
        "mhlo.acosh",
        "mhlo.asin",
        "mhlo.asinh",
        "mhlo.atanh",
        "mhlo.cosh",
        "mhlo.erf",
        "mhlo.sinh",
        "mhlo.tan",
    }
)

FP8_NAMES = {"float8_e5m2": "f8e5m2", "float8_e4m3fn": "f8e4m3fn"}
BLOCK = 32  # elements that share a scale, by the OCP microscaling formats
PACKED = 4  # 8-bit floats in one u32


def check_custom_call(s: Site) -> Iterator[Finding]:
    """What the documents refuse of a custom call."""
    target = s.instruction["custom_call_target"]
    if target not in DOCUMENTED | EMULATED:
        yield "NCC_EVRF015", f"the target is {target!r}"
    elif target in CHECKS:
        yield from CHECKS[target](s)


def _config(s: Site) -> dict[str, Any] | None:
    """The JSON object of a custom call, None where there is none."""
    raw = dict(s.instruction.attrs).get("backend_config", b"")
    try:
        value = json.loads(raw)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _listed(s: Site) -> str:
    return ", ".join(map(str, s.operands)) or "none"


def _quantize(s: Site) -> Iterator[Finding]:
    config = _config(s)
    if config is None:
        yield "NCC_EVRF036", "backend_config must be a JSON object"
    elif len(s.operands) != 1 or not isinstance(s.operands[0], Shape):
        yield "NCC_EVRF037", f"operands are {_listed(s)}"
    elif not isinstance(s.instruction.shape, TupleShape) or len(s.instruction.shape.elements) != 2:
        yield "NCC_EVRF057", f"it returns {s.instruction.shape}"
    else:
        yield from _quantize_input(s, config)


def _quantize_input(s: Site, config: dict[str, Any]) -> Iterator[Finding]:
    source, dim = s.array(0), config.get("dim")
    allowed = [d for d in (-1, -2, source.rank - 1, source.rank - 2) if -source.rank <= d]
    if source.dtype not in ("bf16", "f16"):
        yield "NCC_EVRF041", f"the input is {source}"
    elif type(dim) is not int or dim not in allowed or not -source.rank <= dim < source.rank:
        yield "NCC_EVRF038", f"dim is {dim!r} for {source}"
    elif config.get("block_size") != BLOCK:
        yield "NCC_EVRF039", f"block_size is {config.get('block_size')!r}"
    elif config.get("scale_method") != "EMAX":
        yield "NCC_EVRF040", f"scale_method is {config.get('scale_method')!r}"
    elif source.dims[dim] % PACKED:
        yield "NCC_EVRF058", f"dimension {dim} of {source} is {source.dims[dim]}"
    else:
        yield from _quantize_output(s, source, dim, config.get("dtype"))


def _quantize_output(s: Site, source: Shape, dim: int, dtype: object) -> Iterator[Finding]:
    dims = list(source.dims)
    dims[dim] //= PACKED
    packed = Shape("u32", tuple(dims))
    assert isinstance(s.instruction.shape, TupleShape)
    made = s.instruction.shape.elements[0]
    if dtype not in FP8_NAMES:
        yield "NCC_EVRF042", f"dtype must be one of {', '.join(FP8_NAMES)}, got {dtype!r}"
    elif made != packed:
        yield "NCC_EVRF042", f"quantized_data must be {packed}, got {made}"
    elif FP8_NAMES[str(dtype)] not in s.target.narrow:
        yield "NCC_EVRF051", f"{s.target.name} ({s.target.chip.name}) has no {dtype}"


def _scaled(s: Site) -> Iterator[Finding]:
    if len(s.operands) != 4 or not all(isinstance(o, Shape) for o in s.operands):
        yield "NCC_EVRF043", f"operands are {_listed(s)}"
        return
    config, result = _scaled_dims(s), s.instruction.shape
    if s.array(0).rank < 2:
        yield "NCC_EVRF046", f"it is {s.array(0)}"
    elif s.array(1).rank < 2:
        yield "NCC_EVRF047", f"it is {s.array(1)}"
    elif s.array(0).dtype != "u32":
        yield "NCC_EVRF044", f"it is {s.array(0)}, packed u32 is what QuantizeMX returns"
    elif not isinstance(result, Shape) or result.dtype not in ("f32", "bf16"):
        yield "NCC_EVRF045", f"it is {result}"
    elif config is None:
        yield "NCC_EVRF049", "scaled_dot_backend_config must be a JSON object of integer arrays"
    else:
        yield from _scaled_numbers(s, config)


DIMENSIONS = tuple(
    f"{side}_{kind}_dimensions" for kind in ("batch", "contracting") for side in ("lhs", "rhs")
)


def _scaled_dims(s: Site) -> dict[str, list[int]] | None:
    config = _config(s)
    inner = None if config is None else config.get("scaled_dot_backend_config", {})
    if not isinstance(inner, dict):
        return None
    found = {name: inner.get(name, []) for name in DIMENSIONS}
    arrays = all(type(v) is list and all(type(n) is int for n in v) for v in found.values())
    return found if arrays else None


def _scaled_numbers(s: Site, config: dict[str, list[int]]) -> Iterator[Finding]:
    sizes: dict[str, list[int]] = {}
    for code, kind in (("NCC_EVRF054", "batch"), ("NCC_EVRF055", "contracting")):
        for number, side in enumerate(("lhs", "rhs")):
            name, shape = f"{side}_{kind}_dimensions", s.array(number)
            if not all(0 <= d < shape.rank for d in config[name]):
                yield code, f"{name} are {config[name]} for {shape}"
                return
            sizes[name] = [shape.dims[d] for d in config[name]]
    for side in ("lhs", "rhs"):
        both = {*config[f"{side}_batch_dimensions"]} & {*config[f"{side}_contracting_dimensions"]}
        if both:
            yield "NCC_EVRF053", f"dimension {min(both)} of {side} is both"
            return
    batch = [sizes[f"{side}_batch_dimensions"] for side in ("lhs", "rhs")]
    contracting = [sizes[f"{side}_contracting_dimensions"] for side in ("lhs", "rhs")]
    if math.prod(batch[0]) != math.prod(batch[1]):
        yield "NCC_EVRF048", f"sizes are {batch[0]} and {batch[1]}"
    elif contracting[0] != contracting[1]:
        yield "NCC_EVRF050", f"sizes are {contracting[0]} and {contracting[1]}"


CHECKS: dict[str, Callable[[Site], Iterator[Finding]]] = {
    "QuantizeMX": _quantize,
    "__op$block_scaled_dot": _scaled,
}
