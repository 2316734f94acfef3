"""An accuracy report in a terminal."""

from __future__ import annotations

import math

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from hlo_frontend.inspect.console import PLAIN_WIDTH
from torch_neuronx.accuracy.report import (
    AccuracyReport,
    InstructionError,
    LayerError,
    SettingReport,
)

NOWHERE = "outside all modules"


def as_text(report: AccuracyReport, layers: int) -> str:
    """The report without colours."""
    console = Console(width=PLAIN_WIDTH, no_color=True, force_terminal=False)
    with console.capture() as captured:
        console.print(render(report, layers))
    return captured.get()


def render(report: AccuracyReport, layers: int) -> RenderableType:
    """Settings and their outputs, the worst `layers` of each setting, the recommendation."""
    parts: list[RenderableType] = [_settings(report)]
    parts += [_refused(s) for s in report.settings if s.refusal]
    for setting in report.settings:
        worst = [y for y in setting.worst_layers() if y.own.relative or y.error.relative]
        if worst and layers > 0:
            parts += ["", _layers(setting, worst[:layers], report.tolerance)]
            if setting.first_drift is not None:
                parts.append(_drift(setting.first_drift, report.tolerance))
    recommendation = Text(report.recommendation(), "bold")
    return Group(*parts, "", recommendation)


def _settings(report: AccuracyReport) -> Table:
    table = Table(
        title=f"{report.model}: outputs against {report.reference}, tolerance {report.tolerance:g}",
        title_justify="left",
    )
    table.add_column("setting", no_wrap=True)
    table.add_column("output")
    for name in ("relative", "max", "mean", "cosine", "argmax"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for setting in report.settings:
        if setting.refusal:
            table.add_row(setting.label, *[""] * 6, Text("refused", "yellow"))
        for n, o in enumerate(setting.outputs):
            within = o.error.relative <= report.tolerance
            agreement = "" if o.argmax_agreement is None else f"{o.argmax_agreement:.1%}"
            table.add_row(
                setting.label if n == 0 else "",
                f"{o.name} {o.shape}",
                _number(o.error.relative, report.tolerance),
                _number(o.error.max_abs),
                _number(o.error.mean_abs),
                f"{o.error.cosine:.6f}",
                agreement,
                Text("within", "green") if within else Text("beyond", "red"),
            )
    return table


def _refused(setting: SettingReport) -> Text:
    return Text(f"{setting.label} is refused: {setting.refusal.splitlines()[0]}", "yellow")


def _layers(setting: SettingReport, worst: list[LayerError], tolerance: float) -> Table:
    table = Table(
        title=f"{setting.label}: {len(worst)} of {len(setting.layers)} layers, by their own error",
        title_justify="left",
    )
    table.add_column("layer", overflow="fold", ratio=3)
    for name in ("own", "arriving", "leaving", "max", "mean"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("its error starts at", overflow="fold", ratio=4)
    for layer in worst:
        table.add_row(
            layer.layer or NOWHERE,
            _number(layer.own.relative, tolerance),
            _number(layer.incoming, tolerance),
            _number(layer.error.relative, tolerance),
            _number(layer.error.max_abs),
            _number(layer.error.mean_abs),
            _origin(layer),
        )
    return table


def _origin(layer: LayerError) -> Text:
    if layer.origin is None:
        return Text(layer.source)
    text = Text(" ".join(filter(None, (layer.origin.operator, layer.origin.source))))
    return text.append(f"\n{shortened(layer.origin.text)}", "cyan")


def _drift(drift: InstructionError, tolerance: float) -> Text:
    text = Text(f"first beyond {tolerance:g} is the layer ")
    text.append(drift.layer or NOWHERE, "bold").append(f", by {drift.error.relative:.1e}")
    text.append(f"\n  in  {shortened(drift.text)}")
    return text.append(f"\n  from {drift.source}") if drift.source else text


def shortened(instruction: str) -> str:
    """Up to the operands: `%2 = f32[2,4] dot(%0, %1)`."""
    head, closing, _ = instruction.partition("), ")
    return head + closing.rstrip(", ")


def _number(value: float, tolerance: float = math.inf) -> Text:
    return Text("0" if value == 0 else f"{value:.1e}", "red" if value > tolerance else "")
