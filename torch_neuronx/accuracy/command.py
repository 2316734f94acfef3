"""`python -m torch_neuronx accuracy`: an accuracy report of a model or of an HLO file."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from hlo_frontend.inspect.console import EXIT_DIFFERENT, EXIT_OK, console, print_json
from torch_neuronx.accuracy import AccuracyReport, accuracy_report
from torch_neuronx.accuracy.settings import DEFAULT_SETTINGS
from torch_neuronx.accuracy.table import render

EPILOG = """\
MODULE:NAME names a torch module, or something that is called without arguments and returns one,
or returns a module and its example inputs. MODULE is importable from the current directory, or a
.py file. Without settings, these are compared:
"""


def add_parser(commands: Any) -> None:
    """The `accuracy` command, for an argparse collection of commands."""
    parser = commands.add_parser(
        "accuracy",
        help="errors of a model under several cast settings",
        description="Compare a model under several cast settings with a reference.",
        epilog=EPILOG + "\n".join(f"  {s}" for s in DEFAULT_SETTINGS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", nargs="?", metavar="MODULE:NAME", help="the model")
    parser.add_argument("--inputs", metavar="MODULE:NAME", help="the example inputs")
    parser.add_argument(
        "--hlo",
        type=Path,
        metavar="FILE",
        help="an HLO module (proto or text) instead of a model; its inputs are random",
    )
    parser.add_argument("--seed", type=int, default=0, help="of random inputs and weights (0)")
    parser.add_argument(
        "--setting",
        action="append",
        metavar="OPTIONS",
        help="compiler options to compare, given several times",
    )
    parser.add_argument("--compiler-args", default="", metavar="OPTIONS", help="for all settings")
    parser.add_argument("--reference", default="fp32", choices=("fp32", "fp64"))
    parser.add_argument("--tolerance", type=float, default=1e-2, help="relative error (0.01)")
    parser.add_argument("--layers", type=int, default=5, help="layers in a table (5)")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="a .png or .svg file to draw")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--table", action="store_true", help="print tables (the default)")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Print the report; 0 where some setting stays within the tolerance, else 1."""
    if (given.model is None) == (given.hlo is None):
        raise ValueError("accuracy: give either MODULE:NAME or --hlo FILE, got both or neither")
    if given.plot is not None and not given.plot.resolve().parent.is_dir():
        raise ValueError(f"accuracy: --plot must be in a folder that exists, got {given.plot}")
    torch.manual_seed(given.seed)
    report = _of_file(given) if given.hlo is not None else _of_model(given)
    if given.plot is not None:
        report.plot(given.plot)
    if given.json:
        print_json(report.as_dict())
    if given.table or not given.json:
        console().print(render(report, given.layers))
    return EXIT_OK if report.within() else EXIT_DIFFERENT


def _of_model(given: argparse.Namespace) -> AccuracyReport:
    model, inputs = _model(given.model)
    if given.inputs is not None:
        named = _named(given.inputs)
        inputs = named() if callable(named) else named
    if inputs is None:
        raise ValueError(
            f"accuracy: {given.model} must return a module and its example inputs, got the module "
            "alone\n  try: --inputs MODULE:NAME"
        )
    return accuracy_report(
        model,
        inputs,
        given.setting,
        given.compiler_args,
        tolerance=given.tolerance,
        reference=given.reference,
    )


def _of_file(given: argparse.Namespace) -> AccuracyReport:
    from hlo_frontend.files import read_hlo_file
    from torch_neuronx.accuracy.run import report_of_module

    return report_of_module(
        read_hlo_file(given.hlo),
        None,
        given.setting,
        given.compiler_args,
        tolerance=given.tolerance,
        reference=given.reference,
        seed=given.seed,
    )


def _model(name: str) -> tuple[Callable[..., Any], Any]:
    """The model, and its example inputs if they come with it."""
    value = _named(name)
    if not isinstance(value, torch.nn.Module):
        if not callable(value):
            raise TypeError(
                f"accuracy: {name} must be a torch module or a function that makes one, "
                f"got {type(value).__name__}"
            )
        value = value()
    model, inputs = value if isinstance(value, tuple) and len(value) == 2 else (value, None)
    if not callable(model):
        raise TypeError(f"accuracy: {name} must make a torch module, got {type(model).__name__}")
    return model, inputs


def _named(name: str) -> Any:
    """What MODULE:NAME is. Raises ValueError where there is no such thing."""
    module_name, colon, path = name.partition(":")
    if not colon or not module_name or not path:
        raise ValueError(f"accuracy: expected MODULE:NAME, got {name!r}")
    value: Any = _module(module_name)
    for part in path.split("."):
        if not hasattr(value, part):
            raise ValueError(f"accuracy: {module_name} must have {path!r}, got no such name")
        value = getattr(value, part)
    return value


def _module(name: str) -> ModuleType:
    if not name.endswith(".py"):
        if importlib.util.find_spec(name.partition(".")[0]) is None:
            raise ValueError(f"accuracy: {name!r} must be importable from here, got no such module")
        return importlib.import_module(name)
    file = Path(name)
    if not file.is_file():
        raise ValueError(f"accuracy: MODULE must be a file that exists, got {name!r}")
    sys.path.insert(0, str(file.resolve().parent))  # its own imports, as if it were run
    return importlib.import_module(file.stem)
