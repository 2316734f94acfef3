"""`prepare_model`: a model whose functions and reused modules are modules with names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import fx

from hlo_frontend.model_preparer.report import Report
from hlo_frontend.model_preparer.rewrite import Rewrite
from hlo_frontend.model_preparer.tracing import Tracer, require_exclusions, trace

# torch.fx carries what is under this key along when a graph module is copied.
_KEPT_BY_COPIES = "_user_preserved_attributes"


def prepare_model(
    model: torch.nn.Module,
    modules_to_exclude: Sequence[torch.nn.Module] | None = None,
    module_classes_to_exclude: Sequence[Callable[..., Any]] | None = None,
    concrete_args: Mapping[str, Any] | None = None,
) -> fx.GraphModule:
    """The same computation as a graph of modules, each called once, all with names.

    Functions and tensor methods of the table in docs/model_preparer.md become modules; a module
    that is called again becomes a copy that shares its parameters. The layers are the model's own,
    by reference; the model is not changed. `modules_to_exclude` are kept whole, and so are modules
    whose class is one of `module_classes_to_exclude` (not a subclass). `concrete_args` fixes
    arguments of forward that decide which way it goes. The result evaluates (`training` is False),
    and says in its `report` what was changed.

    Raises PrepareError (docs/model_preparer.md has the four limits of torch.fx) where the model
    cannot be traced, TypeError where an argument is of the wrong type.
    Source: AIMET, Model Preparer API.
    """
    if not isinstance(model, torch.nn.Module):
        raise TypeError(
            f"prepare_model: model must be a torch.nn.Module, got {type(model).__name__}"
        )
    tracer = Tracer(*require_exclusions(model, modules_to_exclude, module_classes_to_exclude))
    prepared = trace(model, tracer, concrete_args)
    report = Rewrite(prepared, model, tracer).run()
    _take_modes(prepared, model)
    prepared.graph.lint()
    prepared.recompile()
    _attach(prepared, report)
    return prepared


def _take_modes(prepared: fx.GraphModule, model: torch.nn.Module) -> None:
    """Containers, which are made anew, train where the model's containers do."""
    for path, module in prepared.named_modules():
        if path and type(module) is torch.nn.Module:
            module.training = model.get_submodule(path).training


def _attach(prepared: fx.GraphModule, report: Report) -> None:
    """The report as an attribute; a model's own attribute `report` keeps its name."""
    prepared.meta["report"] = report
    if not hasattr(prepared, "report"):
        prepared.__dict__["report"] = report
        prepared.meta[_KEPT_BY_COPIES] = {"report": report}
