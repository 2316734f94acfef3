"""The TorchScript module of a model's buckets, each of which is a trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from hlo_frontend.capture import Dict, Leaf, Structure, flatten
from torch_neuronx.bucketing import BucketModelConfig
from torch_neuronx.xla_impl.module import pruned
from torch_neuronx.xla_impl.trace import trace


@dataclass(frozen=True, slots=True)
class Bucket:
    """A traced bucket: from `inputs` tensors and its shared states to a flat list of tensors.

    `returned` are the places in that list of the caller's results, nested as `structure` says,
    `kept` those of the states' new values.
    """

    trace: torch.jit.ScriptModule
    inputs: int
    shapes: tuple[list[int], ...]  # of the shared states
    returned: tuple[int, ...]
    kept: tuple[int, ...]
    structure: Structure


class Flat(torch.nn.Module):
    """A model that returns its result as a flat list. The tensors of `states` are arguments, after
    its own, whatever they are in the model."""

    def __init__(
        self,
        model: Callable[..., Any],
        states: Sequence[torch.Tensor],
        report: Callable[[Structure], None],
    ) -> None:
        super().__init__()
        self.model = model
        self._states = [_name(model, state) for state in states]
        # How the result nests: not an attribute, as tracing takes back what a call changes.
        self._report = report
        if isinstance(model, torch.nn.Module):
            self.training = model.training

    def forward(self, *arguments: torch.Tensor) -> list[torch.Tensor]:
        count = len(arguments) - len(self._states)
        with _replaced(self.model, dict(zip(self._states, arguments[count:], strict=True))):
            result = self.model(*arguments[:count])
        structure, leaves = flatten(result, "the bucket's result")
        self._report(structure)
        return leaves


@contextmanager
def _replaced(model: Callable[..., Any], tensors: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """Give a module other parameters and buffers, as torch.func.functional_call does, which refuses
    to while a model is being traced."""
    held: list[tuple[dict[str, Any], str, torch.Tensor]] = []
    for name, tensor in tensors.items():
        path, _, last = name.rpartition(".")
        assert isinstance(model, torch.nn.Module)  # where the name was found
        owner = model.get_submodule(path)
        table: dict[str, Any] = owner._buffers if last in owner._buffers else owner._parameters
        held.append((table, last, table[last]))
        table[last] = tensor
    try:
        yield
    finally:
        for table, last, tensor in held:
            table[last] = tensor


def _name(model: Callable[..., Any], state: torch.Tensor) -> str:
    tensors: dict[str, torch.Tensor] = {}
    if isinstance(model, torch.nn.Module):
        tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for name, tensor in tensors.items():
        if tensor is state:
            return name
    raise ValueError(
        "torch_neuronx.bucket_model_trace: a shared state must be a parameter or buffer of the "
        f"bucket's model, got an alias for another tensor of shape {list(state.shape)}"
    )


def trace_bucket(
    model: Callable[..., Any],
    aliases: Mapping[torch.Tensor, int],
    example: tuple[torch.Tensor, ...],
    shared: bool,
    workdir: str | None,
    compiler_args: str | Sequence[str] | None,
) -> Bucket:
    """Trace one bucket. Its states are arguments and results where they are `shared`; they stay on
    its NeuronCore where they are not."""
    states = list(aliases) if shared else []
    structures: list[Structure] = []
    flat = Flat(model, states, structures.append)
    traced = trace(
        flat,
        (*example, *(state.detach() for state in states)),
        input_output_aliases=None if shared else dict(aliases),
        compiler_workdir=workdir,
        compiler_args=compiler_args,
    )
    structure, own = structures[-1], set(aliases.values())
    results = [n for n in range(_leaves(structure)) if n not in own]
    return Bucket(
        traced,
        len(example),
        tuple(list(state.shape) for state in states),
        tuple(results if shared else range(len(results))),
        tuple(aliases.values()) if shared else (),
        pruned(structure, {n: place for place, n in enumerate(results)}),
    )


def _leaves(structure: Structure) -> int:
    return 1 if isinstance(structure, Leaf) else sum(map(_leaves, structure.items))


def bucket_module(
    buckets: Sequence[Bucket], names: Sequence[str], config: BucketModelConfig
) -> torch.jit.ScriptModule:
    """The module whose `forward` has `names` as arguments and runs the bucket they belong to."""
    if any(bucket.structure != buckets[0].structure for bucket in buckets):
        raise ValueError(
            "torch_neuronx.bucket_model_trace: the results of all buckets must nest alike, got "
            + ", ".join(_expression(bucket.structure) for bucket in buckets)
        )
    module = torch.nn.Module()
    module.kernel = config.bucket_kernel()  # type: ignore[assignment]
    for number, bucket in enumerate(buckets):
        module.add_module(f"bucket_{number}", bucket.trace)
    for number, state in enumerate(config.shared_state_buffer):
        module.register_buffer(f"state_{number}", state.detach().clone())
    if config.shared_state_buffer_preprocessor is not None:
        preprocess = config.shared_state_buffer_preprocessor()
        _check_preprocessor(preprocess, buckets, config.shared_state_buffer)
        module.preprocess = preprocess  # type: ignore[assignment]
    scripted = torch.jit.script(module.eval())
    scripted.define(_source(buckets, names, hasattr(module, "preprocess")))
    return scripted


def _check_preprocessor(
    preprocess: torch.jit.ScriptFunction, buckets: Sequence[Bucket], states: Sequence[torch.Tensor]
) -> None:
    """Refuse states that are not views: their new values would be lost."""
    shapes = [list(bucket.shapes) for bucket in buckets]
    storages = {state.untyped_storage().data_ptr() for state in states}
    for number, bucket in enumerate(buckets):
        made = preprocess(shapes, list(states), torch.tensor([number]))
        sizes = [list(state.shape) for state in made]
        views = all(state.untyped_storage().data_ptr() in storages for state in made)
        if sizes != list(bucket.shapes) or not views:
            raise ValueError(
                "torch_neuronx.bucket_model_trace: shared_state_buffer_preprocessor must return "
                f"views of the buffers with the shapes of bucket {number}, {list(bucket.shapes)}, "
                f"got {'views' if views else 'copies'} of {sizes}"
            )


def _source(buckets: Sequence[Bucket], names: Sequence[str], preprocessed: bool) -> str:
    """The TorchScript of `forward`."""
    states = [f"self.state_{n}" for n in range(len(buckets[0].shapes))]
    lines = [
        f"def forward(self, {', '.join(f'{name}: Tensor' for name in names)}):",
        f"    tensors, index = self.kernel([{', '.join(names)}])",
        "    bucket = int(index)",
        "    made: List[Tensor] = []",
        f"    states: List[Tensor] = [{', '.join(states)}]",
    ]
    if preprocessed:
        shapes = [list(bucket.shapes) for bucket in buckets]
        lines.append(f"    states = self.preprocess({shapes}, states, index)")
    for number, bucket in enumerate(buckets):
        lines += [f"    if bucket == {number}:", *_branch(number, bucket)]
    refusal = f"the bucket kernel must name one of {len(buckets)} buckets"
    lines += [
        f"    if bucket < 0 or bucket >= {len(buckets)}:",
        f"        raise ValueError({refusal!r} + ', got ' + str(bucket))",
        f"    return {_expression(buckets[0].structure)}",
    ]
    return "\n".join([*lines, ""])


def _branch(number: int, bucket: Bucket) -> list[str]:
    given = [f"tensors[{n}]" for n in range(bucket.inputs)]
    given += [f"states[{n}]" for n in range(len(bucket.shapes))]
    refusal = f"the bucket kernel must return the {bucket.inputs} inputs of bucket {number}"
    return [
        f"        if len(tensors) != {bucket.inputs}:",
        f"            raise ValueError({refusal!r} + ', got ' + str(len(tensors)))",
        f"        results_{number} = self.bucket_{number}({', '.join(given)})",
        *(
            f"        states[{n}].copy_(results_{number}[{place}])"
            for n, place in enumerate(bucket.kept)
        ),
        f"        made = [{', '.join(f'results_{number}[{place}]' for place in bucket.returned)}]",
    ]


def _expression(structure: Structure) -> str:
    """The nested result, from the list `made`."""
    if isinstance(structure, Leaf):
        return f"made[{structure.index}]"
    items = [_expression(item) for item in structure.items]
    if isinstance(structure, Dict):
        pairs = zip(structure.keys, items, strict=True)
        return "{" + ", ".join(f"{key!r}: {item}" for key, item in pairs) + "}"
    return f"({', '.join(items)},)" if structure.kind == "tuple" else f"[{', '.join(items)}]"
