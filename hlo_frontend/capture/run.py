"""Runs a callable once on lazy tensors and takes the graph that this leaves."""

from __future__ import annotations

import functools
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from types import FrameType
from typing import Any

import torch
from torch import nn

from hlo_frontend.capture import naming, xla
from hlo_frontend.capture.binding import Bindings
from hlo_frontend.capture.dtypes import element_type
from hlo_frontend.capture.finish import Finished, finish
from hlo_frontend.capture.function_mode import FunctionMode
from hlo_frontend.capture.lifting import lifted
from hlo_frontend.capture.operator_mode import OperatorMode
from hlo_frontend.capture.result import Capture, State, TensorSpec
from hlo_frontend.capture.script import expose_tensors, outermost
from hlo_frontend.capture.session import Session
from hlo_frontend.capture.source import Places
from hlo_frontend.capture.structure import (
    Items,
    Structure,
    flatten,
    leaf_names,
    require_scriptable,
    unflatten,
)
from hlo_frontend.capture.tracing import said_to_trace, without_fast_path
from hlo_frontend.errors import CaptureError
from hlo_frontend.restore import unchanged

_LOCK = threading.RLock()  # torch_xla keeps its graph in globals
_BEHAVES_DIFFERENTLY = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._BatchNorm)
_RETURN = (
    "return only tensors, or tuples, lists and dicts of them; of a result that also holds None "
    "or a cache, take the tensors (`attention(x, x, x)[0]`, use_cache=False)"
)

# Calls from inside TorchScript cannot be intercepted before PyTorch looks at their arguments.
# PyTorch counts the devices that gradients may be on once, when it first computes some.
_NO_GRADIENTS = (
    "capture: gradients cannot be part of the graph, because this process computed gradients on "
    "the CPU before it knew the device that programs are captured on\n"
    "  try: import torch_xla; torch_xla.device()  # before the first backward()"
)
_SCRIPT_UPDATE = (
    "capture: TorchScript code must not update a CPU tensor in place with a traced value\n"
    "  try: pass it a clone, or make the tensor a buffer of the script module"
)


def capture(
    func: Callable[..., Any],
    example_inputs: Any,
    *,
    input_output_aliases: Mapping[torch.Tensor, int] | None = None,
) -> Capture:
    """The program that a callable is, as one HLO module with its weights beside it.

    `func` is a module, a method or a function; it runs once, without gradients, in the mode it is
    in, and is left as it was. `example_inputs` is a tensor, a tuple or list of arguments, or a
    dict that is the one argument; they fix shapes and dtypes, their values are not looked at.
    Keys of `input_output_aliases` are tensors that the callable holds and updates, values the flat
    index of the output that is their new value.

    Raises TypeError or ValueError for arguments that cannot be right, UnsupportedOperatorError for
    an operator that no fixed graph can hold, CaptureError for other programs that have no graph,
    and what the callable raises itself.
    """
    if not callable(func):
        raise TypeError(f"capture: func must be callable, got {type(func).__name__}")
    aliases = dict(input_output_aliases or {})
    _require_aliases(aliases)
    args = _arguments(example_inputs)
    structure, flat = flatten(args, "example_inputs")
    require_scriptable(structure, "example_inputs", output=False)
    with _LOCK, xla.session():
        run = _Run(func, structure, flat, aliases)
        try:
            return run.capture()
        finally:
            xla.empty(run.living())  # the program may have put some where its user finds them


class _Run:
    """One capture: what is known of the callable, then the steps."""

    def __init__(
        self,
        func: Callable[..., Any],
        structure: Structure,
        flat: list[torch.Tensor],
        aliases: dict[torch.Tensor, int],
    ) -> None:
        self._func, self._structure, self._aliases = func, structure, aliases
        self._modules = naming.roots(func)
        self._layers = naming.layer_paths(self._modules)
        self._bindings = Bindings(naming.named_tensors(self._modules))
        self._places = Places(self._layers, _call.__code__)
        self._session = Session(self._bindings, self._places)
        for tensor, index in aliases.items():
            self._bindings.declare_state(tensor, index)
        self._inputs = _input_specs(func, structure, flat)
        self._lazy_inputs = [
            self._bindings.add_input(tensor, spec.name, index)
            for index, (tensor, spec) in enumerate(zip(flat, self._inputs, strict=True))
        ]

    def capture(self) -> Capture:
        _warn_of_training(self._modules)
        structure, outputs = self._outputs(self._run())
        names = leaf_names(structure, "output")
        specs = tuple(_spec(name, t) for name, t in zip(names, outputs, strict=True))
        self._require_alias_outputs(specs)
        self._bindings.require_updates_seen()
        done = finish(outputs, self._bindings, self._places.found, naming.display_name(self._func))
        self._require_aliases_used(done)
        self._warn_of_losses()
        return Capture(
            done.module, done.parameters, self._inputs, specs, self._structure, structure
        )

    def living(self) -> list[torch.Tensor]:
        """The lazy tensors that something still holds."""
        return self._bindings.forms.living()

    def _run(self) -> Any:
        args = unflatten(self._structure, self._lazy_inputs)
        held = [m for root in self._modules.values() for m in root.modules()]
        with ExitStack() as stack:
            stack.enter_context(unchanged([*held, getattr(self._func, "__self__", None)]))
            for module in outermost(self._modules.values()):
                expose_tensors(module, functools.partial(lifted, self._session))
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.no_grad())
            stack.enter_context(said_to_trace())
            stack.enter_context(without_fast_path())
            stack.enter_context(OperatorMode(self._session))
            stack.enter_context(FunctionMode(self._session))
            return _call(self._func, args, self._session)

    def _outputs(self, result: Any) -> tuple[Structure, list[torch.Tensor]]:
        try:
            structure, tensors = flatten(result, "output")
            if tensors:
                require_scriptable(structure, "output", output=True)
        except TypeError as error:
            raise CaptureError(f"capture: {error}\n  try: {_RETURN}") from None
        if not tensors:
            raise CaptureError(
                f"capture: the callable must return at least one tensor, got {result!r}"
            )
        for name, tensor in zip(leaf_names(structure, "output"), tensors, strict=True):
            element_type(tensor, name)
        return structure, [lifted(self._session, t).detach() for t in tensors]

    def _require_alias_outputs(self, outputs: tuple[TensorSpec, ...]) -> None:
        for tensor, index in self._aliases.items():
            what = self._described(tensor)
            if not 0 <= index < len(outputs):
                raise ValueError(
                    f"input_output_aliases: the output of {what} must be one of "
                    f"{len(outputs)} outputs (0 to {len(outputs) - 1}), got {index}"
                )
            own, output = _spec("", tensor), outputs[index]
            if (own.dtype, own.dims) != (output.dtype, output.dims):
                raise ValueError(
                    f"input_output_aliases: {what} and output {index} must have one shape and "
                    f"dtype, got {own.dtype}{list(own.dims)} and {output.dtype}{list(output.dims)}"
                )

    def _require_aliases_used(self, done: Finished) -> None:
        used = [p.tensor for p in done.parameters if isinstance(p, State)]
        for tensor in self._aliases:
            binding = self._bindings.find(tensor)
            if binding is None or all(binding.tensor is not t for t in used):
                raise ValueError(
                    f"input_output_aliases: {self._described(tensor)} must be a tensor that the "
                    "callable holds and uses, got one that the graph does not"
                )

    def _described(self, tensor: torch.Tensor) -> str:
        name = self._bindings.name_of(tensor)
        return repr(name) if name else f"a tensor of shape {list(tensor.shape)}"

    def _warn_of_losses(self) -> None:
        if self._session.draws_random:
            _warn(
                "capture: the callable draws random numbers; the graph has a fixed seed, so every "
                "call draws the same ones"
            )
        lost = [b.name for b in self._bindings if b.kind in ("weight", "input") and b.is_modified]
        if lost:
            _warn(
                f"capture: the callable updates {', '.join(lost)}; the update is lost after each "
                "call unless the new value is an output named in input_output_aliases"
            )


def _call(func: Callable[..., Any], args: Iterable[Any], session: Session) -> Any:
    """The result of the callable; the error first met if it met one, even if it caught it."""
    try:
        result = func(*args)
    except Exception as error:
        if session.error is not None and error is not session.error:
            raise session.error from error
        if "mutating a non-functional tensor with a functional tensor" in str(error):
            raise CaptureError(_SCRIPT_UPDATE) from error
        if "device_ready_queues_" in str(error):
            raise CaptureError(_NO_GRADIENTS) from error
        raise
    if session.error is not None:
        raise session.error
    return result


def _arguments(example_inputs: Any) -> tuple[Any, ...]:
    if isinstance(example_inputs, torch.Tensor | dict):
        return (example_inputs,)
    if isinstance(example_inputs, tuple | list):
        return tuple(example_inputs)
    raise TypeError(
        "example_inputs: expected a torch.Tensor, or a tuple, list or dict of them, "
        f"got {type(example_inputs).__name__}"
    )


def _require_aliases(aliases: Mapping[Any, Any]) -> None:
    for tensor, index in aliases.items():
        if not isinstance(tensor, torch.Tensor) or type(index) is not int:
            raise TypeError(
                "input_output_aliases: must map tensors to the index of an output, got "
                f"{type(tensor).__name__} to {index!r}"
            )


def _input_specs(
    func: Callable[..., Any], structure: Structure, flat: list[torch.Tensor]
) -> tuple[TensorSpec, ...]:
    assert isinstance(structure, Items)  # the arguments are a tuple
    arguments = structure.items
    names = [
        leaf
        for name, argument in zip(naming.input_names(func, len(arguments)), arguments, strict=True)
        for leaf in leaf_names(argument, name)
    ]
    return tuple(_spec(name, tensor) for name, tensor in zip(names, flat, strict=True))


def _spec(name: str, tensor: torch.Tensor) -> TensorSpec:
    return TensorSpec(name, element_type(tensor, name or "a tensor"), tuple(tensor.shape))


def _warn_of_training(modules: Mapping[str, nn.Module]) -> None:
    for name, root in modules.items():
        for module in root.modules():
            # a frozen script module has no mode any more
            if getattr(module, "training", False) and isinstance(module, _BEHAVES_DIFFERENTLY):
                _warn(
                    f"capture: {name or 'the model'} is in training mode and has "
                    f"{type(module).__name__}: what is traced is its behaviour in training; "
                    "call .eval() first for inference"
                )
                break


def _warn(message: str) -> None:
    """Warns at the user's line: that which called into the packages of this project."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and _package(frame) in _OWN:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)


def _package(frame: FrameType) -> str:
    return frame.f_globals.get("__name__", "").partition(".")[0]


_OWN = ("hlo_frontend", "torch_neuronx", "torch_neuron", "tensorflow_neuron")
