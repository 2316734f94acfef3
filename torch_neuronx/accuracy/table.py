"""An accuracy report in a terminal."""

from __future__ import annotations

import math
import re

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from hlo_frontend.inspect.console import PLAIN_WIDTH, table
from torch_neuronx.accuracy.report import (
    AccuracyReport,
    InstructionError,
    LayerError,
    OutputError,
    SettingReport,
)

NOWHERE = "outside all modules"
LAYER_CHARACTERS = 36
NUMBERS = (">relative", ">max", ">mean", ">cosine", ">argmax")
ERRORS = (">own", ">arriving", ">leaving", ">max", ">mean")
# A printed instruction: `%2 = f32[2,4] dot(%0, %1)`.
INSTRUCTION = re.compile(r"(%\d+) = .*? ([a-z-]+)\(")


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
    return Group(*parts, "", Text(report.recommendation(), "bold"))


def _settings(report: AccuracyReport) -> Table:
    title = f"{report.model}: outputs against {report.reference}, tolerance {report.tolerance:g}"
    rows: list[list[str | Text]] = []
    for setting in report.settings:
        if setting.refusal:
            rows.append([setting.label, *[""] * 6, Text("refused", "yellow")])
        for n, output in enumerate(setting.outputs):
            name = setting.label if n == 0 else ""
            rows.append([name, *_output(output, report.tolerance)])
    return table(title, ("setting", "output", *NUMBERS, ""), rows)


def _output(output: OutputError, tolerance: float) -> list[str | Text]:
    error, agreement = output.error, output.argmax_agreement
    within = error.relative <= tolerance
    return [
        f"{output.name} {output.shape}",
        _number(error.relative, tolerance),
        _number(error.max_abs),
        _number(error.mean_abs),
        f"{error.cosine:.6f}",
        "" if agreement is None else f"{agreement:.1%}",
        Text("within", "green") if within else Text("beyond", "red"),
    ]


def _refused(setting: SettingReport) -> Text:
    return Text(f"{setting.label} is refused: {setting.refusal.splitlines()[0]}", "yellow")


def _layers(setting: SettingReport, worst: list[LayerError], tolerance: float) -> Table:
    title = f"{setting.label}: {len(worst)} of {len(setting.layers)} layers, by their own error"
    rows: list[list[str | Text]] = [
        [
            elided(layer.layer or NOWHERE, LAYER_CHARACTERS),
            _number(layer.own.relative, tolerance),
            _number(layer.incoming, tolerance),
            _number(layer.error.relative, tolerance),
            _number(layer.error.max_abs),
            _number(layer.error.mean_abs),
            _origin(layer),
        ]
        for layer in worst
    ]
    made = table(title, ("layer", *ERRORS, "its own error starts at"), rows)
    made.columns[-1].no_wrap = False  # where space is short, this gives way
    made.columns[-1].overflow = "fold"
    return made


def _origin(layer: LayerError) -> str:
    """`%2 dot model.py:41`"""
    if layer.origin is None:
        return ""
    found = INSTRUCTION.match(layer.origin.text)
    assert found is not None
    source = layer.origin.source.rpartition("/")[2]
    return " ".join(filter(None, (*found.groups(), source)))


def _drift(drift: InstructionError, tolerance: float) -> Text:
    text = Text(f"first beyond {tolerance:g} is the layer ")
    text.append(drift.layer or NOWHERE, "bold").append(f", by {drift.error.relative:.1e}")
    text.append(f"\n  in  {drift.text}")
    return text.append(f"\n  from {drift.source}") if drift.source else text


def elided(layer: str, characters: int) -> str:
    """The last parts of a path that is longer: they say most."""
    if len(layer) <= characters:
        return layer
    tail = layer[1 - characters :]
    return f"…{tail.partition('.')[2] or tail}"


def _number(value: float, tolerance: float = math.inf) -> Text:
    return Text("0" if value == 0 else f"{value:.1e}", "red" if value > tolerance else "")
