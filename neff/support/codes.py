"""The documented error codes of the compiler: what each says, and what helps.

The messages are those of the index of error codes in the documentation of Neuron SDK 2.32.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """One code: its documented message, and a remedy the documents give, in our words."""

    name: str
    message: str
    remedy: str = ""


_MEMORY = (
    "The combined memory needed for the model's activation tensors exceeds the high-bandwidth "
    "memory limit."
)
_OPERATOR = "An unsupported operator was used."
_CUSTOM_CALL = (
    "The compiler encountered a custom call instruction with a target name that is not recognized."
)
_LISTED = "an operator that `neuronx-cc list-operators --framework XLA` lists"
_SMALLER = "a smaller batch, or the model split over several NeuronCores"
_DOWNCAST = "operands cast to a float type, or --implicit-integer-downcast="
_QUANTIZE = "QuantizeMX custom call "
_SCALED = "ScaledMatmul custom call "
_IN_RANGE = "dimension indices from 0 up to the rank"

CODES: dict[str, Code] = {
    c.name: c
    for c in (
        Code(
            "NCC_EARG001",
            "Unsupported Logical Neuron Core (LNC) configuration.",
            "--lnc=1, or a target whose cores can be paired",
        ),
        Code(
            "NCC_EMOD025",
            "Dynamic shape is not supported. The Neuron compiler requires all tensor dimensions "
            "to be statically sized.",
            "inputs padded, or sorted into buckets, of fixed size",
        ),
        Code("NCC_EOOM001", _MEMORY, _SMALLER),
        Code("NCC_EOOM002", _MEMORY, _SMALLER),
        Code(
            "NCC_ESFH002",
            "The compiler encountered a unsigned 64-bit integer constant with a value that cannot "
            "be safely converted to 32-bit representation.",
            "a uint32 constant, or --native-int64=enabled on trn2 and later",
        ),
        Code(
            "NCC_ESPP004",
            "The compiler encountered a data type that is not supported for code generation.",
            "a cast to float32, bfloat16 or float16",
        ),
        Code(
            "NCC_ESPP047",
            "Unsupported 8-bit floating-point data type.",
            "a cast to float16",
        ),
        Code("NCC_EVRF001", _OPERATOR, _LISTED),
        Code(
            "NCC_EVRF004",
            "Complex data types are not supported on the Neuron device.",
            "complex64, or real and imaginary parts as two tensors",
        ),
        Code(
            "NCC_EVRF005",
            "Unsupported F8E4M3FNUZ, F8E4M3B11FNUZ, or F8E5M2FNUZ data type.",
            "a cast to float16",
        ),
        Code(
            "NCC_EVRF006",
            "The compiler encountered a RNGBitGenerator operation using a random number generation "
            "algorithm other than RNG_DEFAULT.",
            "the random functions of the framework, without naming an algorithm",
        ),
        Code(
            "NCC_EVRF010",
            "The compiler encountered simultaneous use of input and kernel dilation, which is not "
            "supported.",
            "one of the two dilations written out with pad",
        ),
        Code(
            "NCC_EVRF011",
            "The compiler encountered strided convolution combined with dilated input, which is "
            "not supported.",
            "a convolution without stride, and a slice of its result",
        ),
        Code(
            "NCC_EVRF013",
            "TopK does not support integer input tensors (int32, int64).",
            "x.float() before topk",
        ),
        Code("NCC_EVRF015", _CUSTOM_CALL),
        Code(
            "NCC_EVRF016",
            "The scatter-reduce operation cannot perform reduction logic if the data being "
            "scattered or the destination tensor is using an integer or boolean data type.",
            "input and source cast to float32 or bfloat16",
        ),
        Code(
            "NCC_EVRF017",
            "Reduce-window operation with base dilation greater than 1 is not supported.",
            "a base dilation of 1, or interior padding",
        ),
        Code(
            "NCC_EVRF018",
            "Reduce-window operation with window dilation greater than 1 is not supported.",
            "a window dilation of 1",
        ),
        Code(
            "NCC_EVRF019",
            "The compiler encountered a reduce-window operation with more or less than 2 operands.",
            "one reduce-window for each operand",
        ),
        Code(
            "NCC_EVRF022",
            "Shift-right-arithmetic operation on non 32-bit inputs is not supported. Cast the "
            "first argument's data type to be S32, U32, or F32.",
        ),
        Code(
            "NCC_EVRF031",
            "The compiler encountered a scatter out-of-bounds error.",
            "an iota no longer than the operand's dimension",
        ),
        Code(
            "NCC_EVRF035",
            "Matrix multiplication (dot) does not support 32-bit or 64-bit integer operands on "
            "this target.",
            f"{_DOWNCAST}dot",
        ),
        Code("NCC_EVRF036", f"{_QUANTIZE}has invalid backend_config JSON."),
        Code("NCC_EVRF037", f"{_QUANTIZE}operand count must be exactly 1 (input tensor)."),
        Code("NCC_EVRF038", f"{_QUANTIZE}dim is invalid for input tensor rank.", "dim=-1"),
        Code("NCC_EVRF039", f"{_QUANTIZE}block_size must be 32.", "block_size=32"),
        Code("NCC_EVRF040", f"{_QUANTIZE}scale_method is unsupported.", 'scale_method="EMAX"'),
        Code("NCC_EVRF041", f"{_QUANTIZE}input type is unsupported.", "a cast to bf16 or f16"),
        Code("NCC_EVRF042", f"{_QUANTIZE}is malformed."),
        Code("NCC_EVRF043", f"{_SCALED}must have exactly 4 operands."),
        Code("NCC_EVRF044", f"{_SCALED}LHS input type is unsupported."),
        Code("NCC_EVRF045", f"{_SCALED}output type is unsupported.", "a result of f32 or bf16"),
        Code("NCC_EVRF046", f"{_SCALED}LHS tensor must have rank >= 2."),
        Code("NCC_EVRF047", f"{_SCALED}RHS tensor must have rank >= 2."),
        Code("NCC_EVRF048", f"{_SCALED}batch dimension mismatch."),
        Code("NCC_EVRF049", f"{_SCALED}could not parse backend_config."),
        Code("NCC_EVRF050", f"{_SCALED}contracting dimension sizes mismatch."),
        Code(
            "NCC_EVRF051",
            "Data type F8E4M3FN is not supported on TRN1/TRN2.",
            "--target=trn3, or F8E4M3",
        ),
        Code(
            "NCC_EVRF052",
            "Data type F8E4M3 is not supported on hardware newer than Trn3.",
            "F8E4M3FN",
        ),
        Code("NCC_EVRF053", f"{_SCALED}contracting dimension overlaps with batch dimension."),
        Code("NCC_EVRF054", f"{_SCALED}batch dimension index out of bounds.", _IN_RANGE),
        Code("NCC_EVRF055", f"{_SCALED}contracting dimension index out of bounds.", _IN_RANGE),
        Code(
            "NCC_EVRF056",
            "Operation gather encountered out of bound indices.",
            "a table at least as long as the sequence of indices (max_position_embeddings)",
        ),
        Code("NCC_EVRF057", f"{_QUANTIZE}must return a tuple with exactly 2 outputs."),
        Code("NCC_EVRF058", f"{_QUANTIZE}input dimension must be divisible by 4.", "padding"),
        Code(
            "NCC_EVRF060",
            "Scatter does not support integer operands on this target; they are converted to f32, "
            "which loses precision for values larger than 2^24.",
            f"{_DOWNCAST}scatter",
        ),
        Code(
            "NCC_EVRF061",
            "AllReduce performs its reduction compute in floating point (f32) and does not support "
            "32-bit or 64-bit integer operands on this target.",
            f"{_DOWNCAST}all_reduce",
        ),
        Code(
            "NCC_EVRF062",
            "Operation does not support 64-bit integer operands on this target; they are downcast "
            "to 32-bit integer, which loses precision for values larger than 2^31.",
            f"{_DOWNCAST}pow",
        ),
        Code(
            "NCC_EVRF063",
            "ReduceScatter performs its reduction compute in floating point (f32) and does not "
            "support 32-bit or 64-bit integer operands on this target.",
            f"{_DOWNCAST}reduce_scatter",
        ),
        Code(
            "NCC_EVRF064",
            "HLO verification failed since the input HLO graph contains an illegal instruction "
            "that violates XLA shape constraints.",
        ),
    )
}

# Documented codes that are never raised here, and why.
NEVER: dict[str, str] = {
    "NCC_EBIR023": "it concerns a kernel library of the compiler that is not emulated",
    "NCC_EBVF030": "the limit on generated instructions is not documented",
    "NCC_EHCA005": "the same condition and message as NCC_EVRF015, which comes first",
    "NCC_EUOC002": "the same condition and message as NCC_EVRF001, which comes first",
    "NCC_EVRF007": "the limit on generated instructions is not documented",
    "NCC_EVRF009": "the same condition and message as NCC_EOOM001",
    "NCC_EVRF059": "how an instruction names its kernel file is not documented",
    "NCC_EVRF065": "how an instruction states its NKI version is not documented",
    "NCC_EXSP001": "the same condition and message as NCC_EOOM001",
    "NCC_EXTP004": "the limit on generated instructions is not documented",
}
