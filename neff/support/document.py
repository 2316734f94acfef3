"""docs/refusals.md, from the tables: `python -m neff.support.document`."""

from __future__ import annotations

from neff.options import OPTIONS
from neff.support.codes import CODES, NEVER
from neff.support.custom_calls import EMULATED
from neff.support.listed import BY_CUSTOM_CALL, BY_ERROR_PAGE, STRUCTURE, UNLISTED_TYPES
from neff.targets import GIB, TARGETS, Target

# When a code is raised: on which targets, and for what.
WHEN: dict[str, tuple[str, str]] = {
    "NCC_EARG001": ("inf2, trn1, trn1n", "`--lnc=2`"),
    "NCC_EMOD025": ("all", "a shape in the file has a dimension without a fixed size"),
    "NCC_EOOM001": ("all", "inputs, outputs and the peak of intermediate values exceed one core"),
    "NCC_EOOM002": ("all", "they exceed it together with weights and states"),
    "NCC_ESFH002": (
        "all",
        "a `u64` constant above 2^32 - 1, unless 64-bit integers are native (trn2 and later)",
    ),
    "NCC_ESPP004": ("all", "a value of type `f4e2m1fn`"),
    "NCC_ESPP047": ("inf2, trn1, trn1n, trn2", "a value of type `f8e8m0fnu`"),
    "NCC_EVRF001": (
        "all",
        "`triangular-solve`, but not the one that `torch.inverse` makes, which the page names as "
        "the way round",
    ),
    "NCC_EVRF004": ("all", "a value of type `c128`; `c64` compiles (see below)"),
    "NCC_EVRF005": ("all", "a value of type `f8e4m3fnuz`, `f8e4m3b11fnuz` or `f8e5m2fnuz`"),
    "NCC_EVRF006": ("all", "`rng-bit-generator` with an algorithm but `rng_default`"),
    "NCC_EVRF010": ("all", "a convolution with base and window dilation above 1"),
    "NCC_EVRF011": ("all", "a convolution with stride and base dilation above 1"),
    "NCC_EVRF013": ("all", "TopK of `s32` or `s64`, also as torch_xla writes `torch.topk`"),
    "NCC_EVRF015": ("all", "a custom call whose target neither the page nor the list below has"),
    "NCC_EVRF016": (
        "all",
        "a scatter that combines booleans, or integers other than by add, multiply, minimum and "
        "maximum (those: NCC_EVRF060)",
    ),
    "NCC_EVRF017": ("all", "`reduce-window` with base dilation above 1"),
    "NCC_EVRF018": ("all", "`reduce-window` with window dilation above 1"),
    "NCC_EVRF019": ("all", "`reduce-window` of several arrays"),
    "NCC_EVRF022": (
        "all",
        "`shift-right-arithmetic` of what is not 32 bits wide; 64-bit integers count as 32 bits "
        "where they are narrowed",
    ),
    "NCC_EVRF031": ("all", "a scatter at indices made from an iota that lie outside its operand"),
    "NCC_EVRF035": (
        "all",
        "a dot of 64-bit integers, on trn2 and later of 32-bit ones too, unless "
        "`--implicit-integer-downcast` has `dot`",
    ),
    "NCC_EVRF036": ("all", "QuantizeMX: `backend_config` is no JSON object"),
    "NCC_EVRF037": ("all", "QuantizeMX: not one operand"),
    "NCC_EVRF038": ("all", "QuantizeMX: `dim` is not the last or second-to-last"),
    "NCC_EVRF039": ("all", "QuantizeMX: `block_size` is not 32"),
    "NCC_EVRF040": ("all", "QuantizeMX: `scale_method` is not EMAX"),
    "NCC_EVRF041": ("all", "QuantizeMX: the input is not bf16 or f16"),
    "NCC_EVRF042": ("all", "QuantizeMX: unknown `dtype`, or data that is not packed in u32"),
    "NCC_EVRF043": ("all", "ScaledMatmul (`__op$block_scaled_dot`): not four operands"),
    "NCC_EVRF044": ("all", "ScaledMatmul: the left operand is not packed u32"),
    "NCC_EVRF045": ("all", "ScaledMatmul: the result is not f32 or bf16"),
    "NCC_EVRF046": ("all", "ScaledMatmul: the left operand has fewer than two dimensions"),
    "NCC_EVRF047": ("all", "ScaledMatmul: the right operand has fewer than two dimensions"),
    "NCC_EVRF048": ("all", "ScaledMatmul: batch sizes whose products differ"),
    "NCC_EVRF049": ("all", "ScaledMatmul: `backend_config` is no JSON of integer arrays"),
    "NCC_EVRF050": ("all", "ScaledMatmul: contracting sizes differ"),
    "NCC_EVRF051": (
        "inf2, trn1, trn1n, trn2",
        "a value of type `f8e4m3fn`, or QuantizeMX to it",
    ),
    "NCC_EVRF052": ("none yet", "a value of type `f8e4m3` on a chip after Trainium3"),
    "NCC_EVRF053": ("all", "ScaledMatmul: a dimension is batch and contracting"),
    "NCC_EVRF054": ("all", "ScaledMatmul: a batch dimension that is not there"),
    "NCC_EVRF055": ("all", "ScaledMatmul: a contracting dimension that is not there"),
    "NCC_EVRF056": ("all", "a gather at indices made from an iota that lie outside its operand"),
    "NCC_EVRF057": ("all", "QuantizeMX: the result is not a pair"),
    "NCC_EVRF058": ("all", "QuantizeMX: the dimension is not a multiple of 4"),
    "NCC_EVRF060": (
        "all",
        "a scatter that adds, multiplies or takes the extreme of integers, unless "
        "`--implicit-integer-downcast` has `scatter`",
    ),
    "NCC_EVRF061": ("all", "`all-reduce` of 32- or 64-bit integers, unless it has `all_reduce`"),
    "NCC_EVRF062": ("all", "`power` of 64-bit integers, unless it has `pow`"),
    "NCC_EVRF063": (
        "all",
        "`reduce-scatter` of 32- or 64-bit integers, unless it has `reduce_scatter`",
    ),
    "NCC_EVRF064": ("all", "an instruction that the verifier does not accept; it says why"),
}

_HEAD = """# What is refused

Made by `python -m neff.support.document`; a test holds it to the tables it is made from.

A module is compiled unless AWS's documents say that it is not. Then the error is
`neff.errors.RefusedError`, its `code` is theirs, and so is the first line of its message (index of
error codes, Neuron SDK 2.32). Below stand the reason, the instruction, the user's line, and what
helps. Instructions that no result depends on are not refused.

To ask without compiling: `torch_neuronx.analyze(model, inputs)` checks each PyTorch operator by
itself, `neuronx-cc compile --query-compute-placement` each HLO instruction, and
`neff.support.refusals.refusals(module, options)` gives every refusal of a module without raising.

| code | targets | when |
|---|---|---|
"""

_NOTES = """
## Where documents disagree

- **Complex numbers.** The page of NCC_EVRF004 refuses all of them; the release notes of 2.32 say
  that complex64 is supported for some thirty operators. complex64 compiles, complex128 is refused.
- **Scatter of integers.** The page of NCC_EVRF016 refuses every reduction of integers and booleans;
  the newer page of NCC_EVRF060 lets `--implicit-integer-downcast` decide about integers, and the
  release notes of 2.32 say that its default compiles with a warning. The newer page wins.
- **64-bit integers.** By default they are narrowed to 32 bits, which warns where an engine then
  computes in floating point (NCC_EVRF035, 060, 061, 062, 063) and refuses only where the options do
  not allow it.
- **QuantizeMX and ScaledMatmul.** Older pages have 8-bit floats where newer ones have four of them
  packed in a u32. The newer ones win.
- **Limits in the list of operators.** The list that `neuronx-cc list-operators` prints has notes
  ("Reduce: only Min, Max, Add and Mul", "Pow: exponent must be a compile-time integer constant").
  Models in the documents go beyond them, so they refuse nothing.

## What the documents neither list nor refuse

compiles, and is named in one warning on the logger `Neuron`, with counts and source lines. Listed
are the operators that `neuronx-cc list-operators` prints, and these opcodes:

"""


def document() -> str:
    """docs/refusals.md."""
    rows = [
        f"| `{c.name}` {c.message} | {WHEN[c.name][0]} | {WHEN[c.name][1]} |"
        for c in CODES.values()
    ]
    never = [f"| `{name}` | {why} |" for name, why in NEVER.items()]
    memory = [
        f"| {t.name} | {t.chip.name} | NeuronCore-v{t.chip.core} | "
        + ", ".join(_memory(t, n) for n in t.logical_cores)
        + " |"
        for t in TARGETS.values()
    ]
    return "\n".join(
        (
            _HEAD + "\n".join(rows),
            "\n## Documented codes that are not raised\n\n| code | why |\n|---|---|",
            *never,
            "\n## Memory\n\nOf one logical NeuronCore, by target.\n",
            "| target | chip | core | memory |\n|---|---|---|---|",
            *memory,
            _NOTES + f"- {_names(BY_ERROR_PAGE)}: an error page refuses one use of each",
            f"- {_names(BY_CUSTOM_CALL)}: there are custom calls for them",
            f"- {_names(STRUCTURE)}: they compute nothing",
            f"\nElement types that the warning names: {_names(UNLISTED_TYPES)}.",
            f"\nCustom calls that it names, emulated all the same: {_names(EMULATED)}.",
            "",
        )
    )


def _memory(target: Target, cores: int) -> str:
    how = f"`--lnc={cores}`" if target.name in OPTIONS["--target"].choices else "neuron-cc"
    return f"{target.memory(cores) / GIB:g} GiB with {how}"


def _names(names: frozenset[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


if __name__ == "__main__":
    print(document(), end="")
