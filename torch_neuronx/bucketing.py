"""`torch_neuronx.bucket_model_trace`: several traces of a model, for inputs of several shapes, in
one TorchScript module that picks the trace for each call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

Model = torch.nn.Module | Callable[..., Any]
Aliases = Mapping[torch.Tensor, int]


class BucketModelConfig:
    """How the bucket for an input is found, and what state the buckets share.

    `bucket_kernel()` returns a scripted function from the inputs, as a list, to the inputs that the
    bucket was traced with, and a tensor that holds the bucket's index.

    `shared_state_buffer` holds the initial values of the states that all buckets share, one for
    each alias of a bucket's model and as large as the largest bucket needs.
    `shared_state_buffer_preprocessor()` returns a scripted function from the shapes that each
    bucket has for its states, the buffers and the index of a bucket to the states of that bucket:
    views of the buffers, which take the states' new values. By default they are whole buffers.

    `func_kwargs` are the keywords of the function that makes the models: for all, or for each.
    Source: AWS Neuron documentation, PyTorch Neuron tracing API for inference, autobucketing.
    """

    def __init__(
        self,
        bucket_kernel: Callable[[], torch.jit.ScriptFunction],
        *,
        shared_state_buffer: Sequence[torch.Tensor] | None = None,
        shared_state_buffer_preprocessor: Callable[[], torch.jit.ScriptFunction] | None = None,
        func_kwargs: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        for name, function in (
            ("bucket_kernel", bucket_kernel),
            ("shared_state_buffer_preprocessor", shared_state_buffer_preprocessor),
        ):
            if function is not None and not callable(function):
                raise TypeError(
                    f"torch_neuronx.BucketModelConfig: {name} must be a function that returns a "
                    f"scripted function, got {function!r}"
                )
        self.bucket_kernel = bucket_kernel
        self.shared_state_buffer = list(shared_state_buffer or ())
        self.shared_state_buffer_preprocessor = shared_state_buffer_preprocessor
        self.func_kwargs = func_kwargs

    def keywords(self, buckets: int) -> list[dict[str, Any]]:
        """The keywords for each bucket. Raises ValueError where there are not as many."""
        given = self.func_kwargs
        if given is None or isinstance(given, Mapping):
            return [dict(given or {})] * buckets
        if len(given) != buckets:
            raise ValueError(
                "torch_neuronx.BucketModelConfig: func_kwargs must be one dictionary, or one for "
                f"each of the {buckets} buckets, got {len(given)}"
            )
        return [dict(keywords) for keywords in given]


def bucket_model_trace(
    func: Callable[..., tuple[Model, Aliases]],
    example_inputs: Sequence[torch.Tensor | Sequence[torch.Tensor]],
    bucket_config: BucketModelConfig,
    compiler_workdir: str | None = None,
    compiler_args: str | Sequence[str] | None = None,
) -> torch.jit.ScriptModule:
    """Trace a model once for each of the example inputs, into one TorchScript module.

    `func` returns a model and its `input_output_aliases`; it is called for each bucket. The result
    is called like the model, with tensors of any shape that the bucket kernel makes fit. Buckets
    are traced one after the other, each into a directory of its own below `compiler_workdir`.

    States that buckets share are kept on the host; a bucket's own stay on its NeuronCore.

    Raises ValueError where buckets, states and example inputs do not go together, and what
    `torch_neuronx.trace` raises.
    Source: AWS Neuron documentation, PyTorch Neuron tracing API for inference, autobucketing.
    """
    from torch_neuronx.bucket_module import bucket_module, trace_bucket

    examples = [_tensors(example, number) for number, example in enumerate(example_inputs)]
    if not examples:
        raise ValueError("torch_neuronx.bucket_model_trace: example_inputs must hold a bucket")
    shared = bucket_config.shared_state_buffer
    buckets, names = [], list[str]()
    keywords = bucket_config.keywords(len(examples))
    for number, (example, named) in enumerate(zip(examples, keywords, strict=True)):
        model, aliases = func(**named)
        if shared:
            _check_states(list(aliases), shared, number)
        workdir = _directory(compiler_workdir, number)
        buckets.append(trace_bucket(model, aliases, example, bool(shared), workdir, compiler_args))
        names = names or _names(model, len(example))
    return bucket_module(buckets, names, bucket_config)


def _tensors(example: torch.Tensor | Sequence[torch.Tensor], number: int) -> tuple[Any, ...]:
    tensors = (example,) if isinstance(example, torch.Tensor) else tuple(example)
    if not all(isinstance(tensor, torch.Tensor) for tensor in tensors):
        kinds = ", ".join(type(tensor).__name__ for tensor in tensors)
        raise TypeError(
            f"torch_neuronx.bucket_model_trace: example_inputs[{number}] must be a tensor or a "
            f"tuple of tensors, got {kinds}"
        )
    return tensors


def _check_states(
    states: Sequence[torch.Tensor], shared: Sequence[torch.Tensor], number: int
) -> None:
    if len(states) != len(shared):
        raise ValueError(
            f"torch_neuronx.bucket_model_trace: shared_state_buffer must hold a tensor for each "
            f"alias of a bucket's model, got {len(shared)} for the {len(states)} of bucket {number}"
        )
    for state, buffer in zip(states, shared, strict=True):
        if state.dtype != buffer.dtype:
            raise ValueError(
                "torch_neuronx.bucket_model_trace: a shared state must have its buffer's type, "
                f"got {state.dtype} in bucket {number} for a buffer of {buffer.dtype}"
            )


def _directory(workdir: str | None, number: int) -> str | None:
    return None if workdir is None else str(Path(workdir) / f"bucket_{number}")


def _names(model: Model, count: int) -> list[str]:
    """The names of the model's first arguments, where they have some."""
    called = model.forward if isinstance(model, torch.nn.Module) else model
    parameters = inspect.signature(called).parameters.values()
    named = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    return named[:count] if len(named) >= count else [f"input_{n}" for n in range(count)]
