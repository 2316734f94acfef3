"""One small module for each documented code, and one beside it that the documents allow."""

from __future__ import annotations

import re
from dataclasses import dataclass

BODIES = {
    "add": "b = {t}[] parameter(1)\nROOT r = {t}[] add(a, b)",
    "xor": "b = {t}[] parameter(1)\nROOT r = {t}[] xor(a, b)",
    "new": "ROOT b = {t}[] parameter(1)",
}


@dataclass(frozen=True)
class Case:
    """A code, an entry computation's body that earns it, a body that does not, the options."""

    code: str
    refused: str
    allowed: str
    options: str = ""
    why: str = ""


def module(body: str) -> str:
    """A module with an entry of that body, and the reducers it names: `add_f32`."""
    called = sorted(set(re.findall(r"to_apply=(add|xor|new)_(\w+)", body)))
    before = "".join(
        f"{name}_{t} {{\na = {t}[] parameter(0)\n{BODIES[name].format(t=t)}\n}}\n"
        for name, t in called
    )
    return f"HloModule m\n{before}\nENTRY main {{\n{body}\n}}\n"


def conv(window: str, out: int) -> str:
    return (
        "x = f32[1,1,9] parameter(0)\nw = f32[1,1,3] parameter(1)\n"
        f"ROOT c = f32[1,1,{out}] convolution(x, w), window={{{window}}}, dim_labels=bf0_oi0->bf0"
    )


def scatter(dtype: str, reducer: str, indices: str = "i = s32[2,1] parameter(2)") -> str:
    return (
        f"x = {dtype}[3] parameter(0)\nu = {dtype}[2] parameter(1)\n{indices}\n"
        f"ROOT s = {dtype}[3] scatter(x, i, u), update_window_dims={{}}, "
        "inserted_window_dims={0}, scatter_dims_to_operand_dims={0}, index_vector_dim=1, "
        f"to_apply={reducer}_{dtype}"
    )


def gather(rows: int, indices: str) -> str:
    return (
        f"x = f32[{rows},4] parameter(0)\n{indices}\n"
        "ROOT g = f32[10,4] gather(x, i), offset_dims={1}, collapsed_slice_dims={0}, "
        "start_index_map={0}, index_vector_dim=1, slice_sizes={1,4}"
    )


def window(dilation: str, out: int) -> str:
    return (
        "x = f32[8] parameter(0)\nz = f32[] constant(0)\n"
        f"ROOT r = f32[{out}] reduce-window(x, z), window={{size=2 {dilation}}}, to_apply=add_f32"
    )


def typed(dtype: str) -> str:
    return f"x = f32[4] parameter(0)\nROOT c = {dtype}[4] convert(x)"


def dot(dtype: str) -> str:
    return (
        f"x = {dtype}[2,3] parameter(0)\ny = {dtype}[3,2] parameter(1)\n"
        f"ROOT d = {dtype}[2,2] dot(x, y), lhs_contracting_dims={{1}}, rhs_contracting_dims={{0}}"
    )


def elementwise(op: str, dtype: str) -> str:
    return (
        f"x = {dtype}[4] parameter(0)\ny = {dtype}[4] parameter(1)\nROOT r = {dtype}[4] {op}(x, y)"
    )


def bits(algorithm: str) -> str:
    return (
        "x = u64[2] parameter(0)\n"
        f"ROOT r = (u64[2], u32[4]) rng-bit-generator(x), algorithm={algorithm}"
    )


def constant(value: int, dtype: str = "u64") -> str:
    return f"ROOT c = {dtype}[] constant({value})"


def custom(target: str) -> str:
    return f'x = f32[4] parameter(0)\nROOT c = f32[4] custom-call(x), custom_call_target="{target}"'


def topk(dtype: str) -> str:
    return f"x = {dtype}[9] parameter(0)\nROOT t = ({dtype}[3], s32[3]) topk(x), k=3, largest=true"


def reduction(op: str, dtype: str) -> str:
    more = ", dimensions={0}" if op == "reduce-scatter" else ""
    return (
        f"x = {dtype}[4] parameter(0)\n"
        f"ROOT r = {dtype}[4] {op}(x), replica_groups={{{{0}}}}{more}, to_apply=add_{dtype}"
    )


def quantize(
    config: str = "",
    source: str = "bf16[8,64]",
    result: str = "(u32[8,16], u8[8,2])",
    operands: str = "x",
) -> str:
    config = config or settings()
    quoted = config.replace('"', r"\"")
    return (
        f"x = {source} parameter(0)\nROOT q = {result} custom-call({operands}), "
        f'custom_call_target="QuantizeMX", backend_config="{quoted}"'
    )


def settings(
    dtype: str = "float8_e5m2", dim: int = -1, block: int = 32, method: str = "EMAX"
) -> str:
    return f'{{"dtype":"{dtype}","dim":{dim},"block_size":{block},"scale_method":"{method}"}}'


def scaled(
    batch: str = "[0]",
    contracting: str = "[2]",
    lhs: str = "u32[4,8,16]",
    rhs: str = "u32[4,2,16]",
    result: str = "f32[4,8,2]",
    config: str = "",
    operands: str = "x, y, a, b",
) -> str:
    config = config or (
        f'{{"scaled_dot_backend_config":{{"lhs_batch_dimensions":{batch},'
        f'"rhs_batch_dimensions":[0],"lhs_contracting_dimensions":{contracting},'
        '"rhs_contracting_dimensions":[2]}}'
    )
    quoted = config.replace('"', r"\"")
    return (
        f"x = {lhs} parameter(0)\ny = {rhs} parameter(1)\n"
        "a = u8[4,8,2] parameter(2)\nb = u8[4,2,2] parameter(3)\n"
        f"ROOT s = {result} custom-call({operands}), "
        f'custom_call_target="__op$block_scaled_dot", backend_config="{quoted}"'
    )


IOTA = "n = s32[10] iota(), iota_dimension=0\ni = s32[10,1] reshape(n)"
RANGE = "i = s32[10,1] constant({{0},{1},{2},{3},{4},{5},{6},{7},{8},{9}})"
SOLVE = (
    "a = f32[3,3] parameter(0)\nb = f32[3,3] parameter(1)\n"
    "ROOT s = f32[3,3] triangular-solve(a, b), left_side=true, lower=true, "
    "transpose_a=NO_TRANSPOSE"
)
INVERSE = SOLVE + ', metadata={op_type="aten__inverse"}'
NONE = "--implicit-integer-downcast=none"
TWO_WINDOWS = """
two { a = f32[] parameter(0)
  b = f32[] parameter(1)
  c = f32[] parameter(2)
  d = f32[] parameter(3)
  e = f32[] add(a, c)
  f = f32[] add(b, d)
  ROOT r = (f32[], f32[]) tuple(e, f) }
"""
VARIADIC = (
    "x = f32[8] parameter(0)\nz = f32[] constant(0)\n"
    "ROOT r = (f32[7], f32[7]) reduce-window(x, x, z, z), window={size=2}, to_apply=two"
)
PACKED = quantize()
TRN2 = "--target=trn2"
DOT_S64 = f"{NONE} --target=trn1"

CASES: tuple[Case, ...] = (
    Case("EVRF001", SOLVE, INVERSE, why="triangular-solve is documented as not supported"),
    Case("EVRF004", typed("c128"), typed("c64"), why="complex128"),
    Case("EVRF051", typed("f8e4m3fn"), typed("f8e4m3"), why=r"inf2 \(Inferentia2\)"),
    Case("EVRF051", typed("f8e4m3fn"), typed("f8e5m2"), TRN2, r"trn2 \(Trainium2\)"),
    Case("ESPP004", typed("f4e2m1fn"), typed("f16"), why="f4e2m1fn"),
    Case("ESPP004", typed("f4e2m1fn"), typed("s4"), "--target=trn3"),
    Case("ESPP047", typed("f8e8m0fnu"), typed("f8e3m4"), why=r"inf2 \(Inferentia2\)"),
    Case("EVRF005", typed("f8e4m3fnuz"), typed("f8e5m2"), why="F8E4M3FNUZ"),
    Case("EVRF005", typed("f8e4m3b11fnuz"), typed("f8e4m3fn"), "--target=trn3"),
    Case("EVRF005", typed("f8e5m2fnuz"), typed("f8e5m2"), "--target=trn3"),
    Case("ESFH002", constant(2**32), constant(2**32 - 1), why="4294967296"),
    Case("ESFH002", constant(2**40), constant(2**40, "s64"), TRN2),
    Case("EVRF006", bits("rng_philox"), bits("rng_default"), why="rng_philox"),
    Case(
        "EVRF010",
        conv("size=3 lhs_dilate=2 rhs_dilate=2", 13),
        conv("size=3 lhs_dilate=2", 15),
        why=r"input dilation is \[2\] and kernel dilation \[2\]",
    ),
    Case(
        "EVRF011",
        conv("size=3 stride=2 lhs_dilate=2", 8),
        conv("size=3 stride=2 rhs_dilate=2", 3),
        why=r"input dilation is \[2\] and stride \[2\]",
    ),
    Case("EVRF013", topk("s32"), topk("f32"), why=r"s32\[9\]"),
    Case("EVRF013", topk("s64"), topk("s16")),
    Case("EVRF015", custom("UNRECOGNIZED_TARGET"), custom("AwsNeuronSilu"), why="UNRECOGNIZED"),
    Case("EVRF016", scatter("pred", "xor"), scatter("pred", "new"), why="xor"),
    Case("EVRF016", scatter("s32", "xor"), scatter("s32", "add")),
    Case("EVRF017", window("lhs_dilate=2", 14), window("stride=2", 4)),
    Case("EVRF018", window("rhs_dilate=2", 6), window("pad=1_0", 8)),
    Case("EVRF022", elementwise("shift-right-arithmetic", "s16"), elementwise("add", "s16")),
    Case(
        "EVRF022",
        elementwise("shift-right-arithmetic", "s64"),
        elementwise("shift-right-arithmetic", "u32"),
        f"{TRN2} --native-int64=enabled",
    ),
    Case(
        "EVRF031",
        scatter(
            "f32",
            "add",
            "n = s32[2] iota(), iota_dimension=0\nk = s32[] constant(2)\n"
            "b = s32[2] broadcast(k), dimensions={}\nm = s32[2] add(n, b)\n"
            "i = s32[2,1] reshape(m)",
        ),
        scatter("f32", "add", "n = s32[2] iota(), iota_dimension=0\ni = s32[2,1] reshape(n)"),
        why="from 2 to 3, dimension 0 of the operand holds 3",
    ),
    Case("EVRF035", dot("s64"), dot("s32"), DOT_S64, "operands are s64"),
    Case("EVRF035", dot("s32"), dot("s16"), f"{NONE} --target=trn2"),
    Case("EVRF056", gather(3, IOTA), gather(10, IOTA), why="indices from 0 to 9"),
    Case("EVRF056", gather(9, RANGE), gather(10, RANGE)),
    Case("EVRF060", scatter("s32", "add"), scatter("s32", "new"), NONE),
    Case("EVRF061", reduction("all-reduce", "s32"), typed("s32"), NONE),
    Case("EVRF062", elementwise("power", "s64"), elementwise("power", "s32"), NONE),
    Case("EVRF063", reduction("reduce-scatter", "s64"), typed("s64"), NONE),
    Case("EVRF036", quantize("{"), PACKED, why="JSON"),
    Case("EVRF037", quantize(operands="x, x"), PACKED),
    Case("EVRF037", quantize(source="(bf16[8,64])"), PACKED, why=r"operands are \(bf16"),
    Case(
        "EVRF038",
        quantize(settings(dim=-3)),
        quantize(settings(dim=-2), result="(u32[2,64], u8[1,64])"),
    ),
    Case("EVRF039", quantize(settings(block=16)), PACKED),
    Case("EVRF040", quantize(settings(method="MAX")), PACKED),
    Case("EVRF041", quantize(source="f32[8,64]"), quantize(source="f16[8,64]")),
    Case("EVRF042", quantize(settings(dtype="float8_e3m4")), PACKED, why="float8_e3m4"),
    Case("EVRF042", quantize(result="(u32[8,64], u8[8,2])"), PACKED, why=r"must be u32\[8,16\]"),
    Case("EVRF051", quantize(settings(dtype="float8_e4m3fn")), PACKED, TRN2),
    Case("EVRF057", quantize(result="u32[8,16]"), PACKED),
    Case("EVRF058", quantize(source="bf16[8,62]"), PACKED),
    Case("EVRF043", scaled(operands="x, y, a"), scaled()),
    Case("EVRF043", scaled(operands=""), scaled(), why="operands are none"),
    Case("EVRF044", scaled(lhs="f8e5m2[4,8,16]"), scaled()),
    Case("EVRF045", scaled(result="f16[4,8,2]"), scaled(result="bf16[4,8,2]")),
    Case("EVRF046", scaled(lhs="u32[16]"), scaled()),
    Case("EVRF047", scaled(rhs="u32[16]"), scaled()),
    Case("EVRF048", scaled(lhs="u32[5,8,16]"), scaled(), why=r"\[5\] and \[4\]"),
    Case("EVRF049", scaled(config="["), scaled(config="{}")),
    Case("EVRF049", scaled(batch='["0"]'), scaled()),
    Case("EVRF050", scaled(contracting="[1]"), scaled(), why=r"\[8\] and \[16\]"),
    Case("EVRF053", scaled(contracting="[0]"), scaled()),
    Case("EVRF054", scaled(batch="[3]"), scaled()),
    Case("EVRF055", scaled(contracting="[-1]"), scaled()),
)
