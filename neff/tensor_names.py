"""The names of a NEFF's tensors: those that frontend attributes of the HLO fix, else by position.

A parameter names its tensor by `neff_input_names="query"`, the root its results by
`neff_output_names="scores,weights"`. On the module, the same attributes name all tensors at once.
Several names stand between commas.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hlo_frontend.hlo.module import HloInstruction, HloModule
from hlo_frontend.hlo.types import AnyShape, TupleShape
from neff.errors import CompileError

INPUT_NAMES = "neff_input_names"
OUTPUT_NAMES = "neff_output_names"
Pairs = tuple[tuple[str, str], ...]


def input_names(module: HloModule) -> list[str]:
    """A name for each array the entry's parameters hold: `input0`, `input1`, … where none is fixed.

    Raises CompileError where names are not as many as tensors, or two tensors would share one.
    """
    entry = module.entry
    parameters = [entry.instructions[p] for p in entry.parameters]
    counts = [_leaves(p.shape) for p in parameters]
    found = _listed(module.frontend_attributes, INPUT_NAMES, sum(counts), module.name)
    if found is None:
        found, start = [], 0
        for parameter, count in zip(parameters, counts, strict=True):
            own = _listed(_attributes(parameter), INPUT_NAMES, count, f"%{parameter.name}")
            found += own or [f"input{n}" for n in range(start, start + count)]
            start += count
    return _distinct(found, module.name)


def output_names(module: HloModule, count: int) -> list[str]:
    """A name for each of the `count` arrays the entry returns. Raises CompileError as above."""
    root = module.entry.instructions[module.entry.root]
    found = _listed(module.frontend_attributes, OUTPUT_NAMES, count, module.name)
    if found is None:
        found = _listed(_attributes(root), OUTPUT_NAMES, count, f"%{root.name}")
    if found is None:
        found = [f"output{n}" for n in range(count)]
    return _distinct(found, module.name)


def _leaves(shape: AnyShape) -> int:
    return sum(map(_leaves, shape.elements)) if isinstance(shape, TupleShape) else 1


def _attributes(instruction: HloInstruction) -> Pairs:
    pairs: Pairs = dict(instruction.attrs).get("frontend_attributes", ())
    return pairs


def _listed(pairs: Pairs, key: str, count: int, where: str) -> list[str] | None:
    text = dict(pairs).get(key)
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")] if text.strip() else []
    if len(names) != count or not all(names):
        raise CompileError(
            f"lower: {key} of {where} must list {count} names between commas, got {text!r}"
        )
    return names


def _distinct(names: Sequence[str], where: str) -> list[str]:
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise CompileError(f"lower: tensors of {where} must have distinct names, got {twice}")
    return list(names)
