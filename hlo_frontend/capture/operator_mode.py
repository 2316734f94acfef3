"""Operators that reach the dispatcher while a program is captured: kept, rewritten or refused."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from hlo_frontend.capture import xla
from hlo_frontend.capture.corrections import CORRECTIONS
from hlo_frontend.capture.decompositions import (
    PREFERRED,
    applies,
    decomposition_of,
    is_composed,
)
from hlo_frontend.capture.masks import MASK_RULES
from hlo_frontend.capture.nested import mapped, tensors
from hlo_frontend.capture.precision import IN_FLOAT, IN_FLOAT32, in_float, in_float32
from hlo_frontend.capture.rewrites import REWRITES
from hlo_frontend.capture.scalars import SCALARS, at_least_one_dimension
from hlo_frontend.capture.session import Session
from hlo_frontend.errors import CaptureError

Operator = torch._ops.OpOverload
Rule = Callable[[Session, Operator, tuple[Any, ...], dict[str, Any]], Any]
_aten = torch.ops.aten


class OperatorMode(TorchDispatchMode):
    """Sees every operator, also those called from C++ or TorchScript, below `FunctionMode`."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session

    def __torch_dispatch__(
        self,
        func: Operator,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        session = self._session
        marker = xla.scope(f"@{session.places.number()}")
        try:
            with torch._C.DisableTorchFunction():  # calls made here are not the program's
                return _run(session, func, args, kwargs or {})
        finally:
            del marker


def _run(session: Session, func: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        with nullcontext() if _is_below_wrapper(args) else xla.through_wrapper():
            return rule_of(func)(session, func, args, kwargs)
    except RuntimeError as error:
        if isinstance(error, CaptureError):
            raise
        if xla.is_execution_error(error):
            if func in session.open:
                raise _outside(session, func) from None
            return _without_lowering(session, func, args, kwargs)  # what it calls has none
        if not _is_valid(func, args, kwargs):
            raise  # the program's own mistake
        if is_composed(func) and func not in session.open:
            return _decomposed(session, func, args, kwargs)
        raise _refused_by_xla(session, func, str(error)) from error


def _is_valid(func: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether PyTorch itself takes such operands, by its kernel for tensors without data."""
    meta = functools.partial(mapped, lambda t: torch.empty_like(t, device="meta"))
    if "device" in kwargs:
        kwargs = {**kwargs, "device": torch.device("meta")}
    try:
        with _disable_current_modes():
            func(*meta(args), **meta(kwargs))
    except (RuntimeError, NotImplementedError, TypeError, ValueError, IndexError):
        return False
    return True


def _refused_by_xla(session: Session, func: Operator, message: str) -> CaptureError:
    said = message.strip().partition("\n")[0]
    return session.refusal(_name(func), f"has no lowering to HLO for such operands ({said})")


@functools.cache
def rule_of(func: Operator) -> Rule:
    """How an operator is treated; decided once by its tags and kernels."""
    rule = _rule_of(func)
    for adapted, adapt in _ADAPTED:
        if func in adapted:
            rule = _adapted(adapt, rule)
    return rule


def _adapted(adapt: Callable[..., Any], rule: Rule) -> Rule:
    """A rule that sees its operands as `adapt` makes them."""

    def adapted_rule(
        session: Session, func: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        call = adapt(func, lambda args, kwargs: rule(session, func, args, kwargs))
        return call(_lazy(session, args), _lazy(session, kwargs))

    return adapted_rule


def _rule_of(func: Operator) -> Rule:
    if func in _RULES:
        return _RULES[func]
    if func in REWRITES or func in PREFERRED or func.namespace == "prims":
        return _decomposed
    if torch.Tag.data_dependent_output in func.tags:
        return _read
    if torch.Tag.dynamic_output_shape in func.tags:
        return _dynamic
    if not _has_lowering(func):
        return _without_lowering
    if torch.Tag.nondeterministic_seeded in func.tags:
        return _random
    return _with_device if _takes_device(func) else _plain


def _has_lowering(func: Operator) -> bool:
    keys = ("XLA", "CompositeImplicitAutograd", "CompositeExplicitAutograd")
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    return any(has(func.name(), key) for key in keys)


def _takes_device(func: Operator) -> bool:
    return any(argument.name == "device" for argument in func._schema.arguments)


def _plain(session: Session, func: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    args, kwargs = _lazy(session, args), _lazy(session, kwargs)
    if {torch.bfloat16, torch.float16} <= {t.dtype for t in tensors((args, kwargs))}:
        raise session.refusal(
            _name(func),
            "of bfloat16 and float16 would be computed in bfloat16",
            "convert both to float32 first",
        )
    return func(*args, **kwargs)


def _is_below_wrapper(args: tuple[Any, ...]) -> bool:
    """Whether the wrapper of lazy tensors called the operator: it gives and takes bare values."""
    return any(t.device.type == "xla" and not torch._is_functional_tensor(t) for t in tensors(args))


def _with_device(
    session: Session, func: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """What would be made on, or moved to, the CPU stays in the graph."""
    device = kwargs.get("device")
    makes = not any(isinstance(a, torch.Tensor) for a in args)
    if (device is None and makes) or (device is not None and device.type == "cpu"):
        kwargs = {**kwargs, "device": xla.device()}
    return _plain(session, func, args, kwargs)


def _random(session: Session, func: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if kwargs.get("generator") is not None:
        raise session.refusal(
            _name(func), "draws from a torch.Generator, which is not part of the graph"
        )
    session.draws_random = True
    return (_with_device if _takes_device(func) else _plain)(session, func, args, kwargs)


def _fresh(session: Session, func: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A tensor just made from Python data stays on the CPU until it is used."""
    return session.bindings.declare_made(args[0]) if args[0].is_cpu else args[0]


def _read(session: Session, func: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return _on_cpu(session, func, args, kwargs)


def _dynamic(
    session: Session, func: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    if not all(map(session.is_known, tensors((args, kwargs)))):
        raise session.refusal(
            _name(func),
            "has an output shape that depends on data, which a fixed graph cannot hold",
            "keep the shape fixed: torch.where or a mask that is multiplied in, "
            "or compute the indices outside the traced callable",
        )
    return _on_cpu(session, func, args, kwargs)


def _without_lowering(
    session: Session, func: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    operands = tensors((args, kwargs))
    if operands and all(map(session.is_known, operands)):
        return _on_cpu(session, func, args, kwargs)
    if decomposition_of(func) is None:
        raise _outside(session, func)
    return _decomposed(session, func, args, kwargs)


def _decomposed(
    session: Session, func: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """The operator made of others, which are treated as if the program had called them."""
    decomposition = decomposition_of(func)
    assert decomposition is not None
    if func in session.open or not applies(func, args, kwargs):
        # What a rewrite calls by its own name is torch_xla's lowering.
        if _has_lowering(func):
            return _plain(session, func, args, kwargs)
        raise _outside(session, func)
    below = _is_below_wrapper(args)
    args, kwargs = _lazy(session, args), _lazy(session, kwargs)
    if below:
        args, kwargs = mapped(_wrapped, args), mapped(_wrapped, kwargs)
    session.open.append(func)
    try:
        with OperatorMode(session), xla.through_wrapper():
            result = decomposition(*args, **kwargs)
    finally:
        session.open.pop()
    result = tuple(result) if isinstance(result, tuple) else result  # not one with names
    return mapped(xla.unwrapped, result) if below else result


def _wrapped(tensor: torch.Tensor) -> torch.Tensor:
    return xla.functional(tensor) if tensor.device.type == "xla" else tensor


def _outside(session: Session, func: Operator) -> CaptureError:
    return session.refusal(
        _name(func),
        "has no lowering to HLO and would run on the CPU, outside the graph",
        "write it with other operators, or run it outside the traced callable",
    )


def _on_cpu(session: Session, func: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The result on known operands, computed now: it is a constant of the graph."""
    if func._schema.is_mutable:
        raise session.refusal(_name(func), "updates a tensor in place, outside the graph")
    below = _is_below_wrapper(args)
    read = functools.partial(session.value, operator=_name(func))
    if "device" in kwargs:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    result = func(*mapped(read, args), **mapped(read, kwargs))

    def constant(tensor: torch.Tensor) -> torch.Tensor:
        lazy = session.constant(tensor)
        return xla.unwrapped(lazy) if below else lazy

    return mapped(constant, result)


def _lazy(session: Session, value: Any) -> Any:
    def lazy(tensor: torch.Tensor) -> torch.Tensor:
        if not tensor.is_cpu or (tensor.ndim == 0 and not session.bindings.is_known(tensor)):
            return tensor  # torch_xla takes a Python number as a 0-d CPU tensor: a constant
        return session.bindings.lazy(tensor)

    return mapped(lazy, value)


def _name(func: Operator) -> str:
    """The operator as programs call it: `aten::unfold` where the wrapper calls `unfold_copy`."""
    name = _SPOKEN.get(func._schema.name, func._schema.name)
    viewing = name.removesuffix("_copy")
    return viewing if viewing.removeprefix("aten::") in dir(torch.Tensor) else name


def _corrected(rule: Rule) -> Rule:
    """A correction sees lazy tensors only; what it calls is not corrected again."""
    return lambda session, func, args, kwargs: rule(
        session, func, _lazy(session, args), _lazy(session, kwargs)
    )


# From the innermost: what operands are turned into before a rule sees them.
_ADAPTED = ((IN_FLOAT32, in_float32), (IN_FLOAT, in_float), (SCALARS, at_least_one_dimension))
_SPOKEN = {"aten::_local_scalar_dense": "aten::item", "aten::_unique2": "aten::unique"}
_RULES: dict[Operator, Rule] = {
    _aten.lift_fresh.default: _fresh,
    **MASK_RULES,
    **{func: _corrected(rule) for func, rule in CORRECTIONS.items()},
}
